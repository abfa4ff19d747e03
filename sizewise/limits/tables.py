"""The tables of limits and of what was taken from each; every worker takes here, in turn, before it spends.

Invariant: of one limit and window, `taken` never rises above the limit by `take`; what a worker spends it has taken
before. `taken` may pass it only by `report` of a debt: an attempt that cost more than its worst case foresaw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, delete, insert, select, text, update
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import Deed
from sizewise.limits.rules import MONEY, Key, Limit, Set, Unit
from sizewise.storage.database import BIG, Schema, step

META = MetaData()

LIMITS = Table(
    "budget_limits",
    META,
    Column("tenant", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("requests_minute", BIG),
    Column("tokens_minute", BIG),
    Column("usd_day", BIG),  # pico-dollars
    Column("usd_month", BIG),
)
VERSIONS = Table(
    "budget_versions",  # one row: whoever keeps limits in memory compares this number
    META,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)
POTS = Table(
    "budget_pots",
    META,
    Column("tenant", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("since", BIG, primary_key=True),  # unix s at which its window began
    Column("taken", BIG, nullable=False),  # by workers, to be spent or given back
    Column("spent", BIG, nullable=False),  # as far as workers have told
    Column("alerted", Integer, nullable=False),  # the highest threshold that somebody was told of, in percent
)
EVERYONE = "*"

SCHEMA = Schema(
    "budgets",
    (
        (CreateTable(LIMITS), CreateTable(VERSIONS), CreateTable(POTS)),
        (  # American spelling, as in the settings
            step("UPDATE budget_limits SET scope = 'organization' WHERE scope = 'organisation'"),
            step("UPDATE budget_pots SET scope = 'organization' WHERE scope = 'organisation'"),
        ),
    ),
)

OPEN = (
    "INSERT INTO budget_pots (tenant, scope, unit, since, taken, spent, alerted)"
    " VALUES (:tenant, :scope, :unit, :since, 0, 0, 0) ON CONFLICT DO NOTHING"
)
THRESHOLDS = (50, 80, 100)
"""Percent of a money budget at which somebody is told."""
USED_UP = 80
"""Percent from which a budget in which a request finds no room counts as used up."""
RATES_S = 600
MONEY_S = 400 * 86_400
"""For how long pots are kept after their window began."""


class Want(Struct, frozen=True):
    """What a worker wants of one pot: at least `need`, gladly `more`; it has `spent` so much since it last told."""

    key: Key
    since: int
    limit: int
    need: int
    more: int = 0
    spent: int = 0


class Back(Struct, frozen=True):
    """What a worker gives back of one pot; below 0: it owes. It has `spent` so much since it last told;
    `full`: something found no room."""

    key: Key
    since: int
    limit: int
    back: int
    spent: int = 0
    full: bool = False


class Stands(Struct, frozen=True):
    """How a pot stands: what is taken and spent; what the worker got; thresholds that were reached just now."""

    got: int
    taken: int
    spent: int
    reached: tuple[int, ...] = ()


class Known(Struct, frozen=True):
    """Every limit there is, of all organisations, as of `version`."""

    version: int
    limits: list[Set]


def take(connection: Connection, wants: Sequence[Want]) -> tuple[bool, list[Stands]]:
    """All of the wants or none, and how the pots stand, in their order. Locked in one order, never in a circle."""
    stood = {want.key: _opened(connection, want.key, want.since) for want in sorted(wants, key=lambda each: each.key)}
    enough = all(want.limit - stood[want.key].taken >= want.need for want in wants)
    stands = []
    for want in wants:
        pot = stood[want.key]
        left = want.limit - pot.taken
        got = want.need + max(0, min(want.more, (left - want.need) // 8)) if enough else 0
        full = not enough and left < want.need
        stands.append(_noted(connection, want.key, want.since, pot, got, want.spent, want.limit, full))
    return enough, stands


def report(connection: Connection, backs: Sequence[Back]) -> list[Stands]:
    """What was spent and what is given back."""
    stands = {}
    for each in sorted(backs, key=lambda each: (each.key, each.since)):
        pot = _opened(connection, each.key, each.since)
        stands[each.key, each.since] = _noted(
            connection, each.key, each.since, pot, -each.back, each.spent, each.limit, each.full
        )
    return [stands[each.key, each.since] for each in backs]


class _Pot(Struct, frozen=True):
    taken: int
    spent: int
    alerted: int


def _opened(connection: Connection, key: Key, since: int) -> _Pot:
    """The pot, ours until the transaction ends: SQLite has one writer at a time, others lock the row."""
    tenant, scope, unit = key
    its = select(POTS.c.taken, POTS.c.spent, POTS.c.alerted).where(_its(key, since)).with_for_update()
    found = connection.execute(its).one_or_none()
    if found is None:
        connection.execute(text(OPEN), {"tenant": tenant, "scope": scope, "unit": unit, "since": since})
        found = connection.execute(its).one()
    return _Pot(*found)


def _noted(
    connection: Connection, key: Key, since: int, pot: _Pot, got: int, spent: int, limit: int, full: bool
) -> Stands:
    taken, told = pot.taken + got, pot.spent + spent
    reached = _reached(key[2], told, limit, pot.alerted, full)
    if got or spent or reached:
        alerted = max(reached, default=pot.alerted)
        connection.execute(update(POTS).where(_its(key, since)).values(taken=taken, spent=told, alerted=alerted))
    return Stands(got, taken, told, reached)


def _reached(unit: Unit, spent: int, limit: int, alerted: int, full: bool) -> tuple[int, ...]:
    if unit not in MONEY or not limit:
        return ()
    percent = spent * 100 // limit
    if full and percent >= USED_UP:
        percent = 100
    return tuple(each for each in THRESHOLDS if alerted < each <= percent)


def standing(connection: Connection, wanted: Iterable[tuple[Key, int]]) -> dict[tuple[Key, int], tuple[int, int]]:
    """(taken, spent) by key and beginning of its window; a pot that nobody has used is not among them."""
    found = {}
    for key, since in wanted:
        row = connection.execute(select(POTS.c.taken, POTS.c.spent).where(_its(key, since))).one_or_none()
        if row is not None:
            found[key, since] = (row.taken, row.spent)
    return found


def _its(key: Key, since: int) -> ColumnElement[bool]:
    tenant, scope, unit = key
    its = POTS.c
    return (its.tenant == tenant) & (its.scope == scope) & (its.unit == unit) & (its.since == since)


def version(connection: Connection) -> int:
    return connection.scalar(select(VERSIONS.c.version)) or 0


def known(connection: Connection) -> Known:
    found = []
    for row in connection.execute(select(LIMITS)):
        limit = Limit(row.requests_minute, row.tokens_minute, row.usd_day, row.usd_month)
        found.append(Set(row.tenant, row.scope, limit))
    return Known(version(connection), found)


def put(connection: Connection, each: Set, deed: Deed) -> Known:
    """In the place of what was set for its scope; nothing at all where it limits nothing."""
    audit.add(connection, deed)
    mine = (LIMITS.c.tenant == each.tenant) & (LIMITS.c.scope == each.scope)
    connection.execute(delete(LIMITS).where(mine))
    if each.limit != Limit():
        amounts = {name: getattr(each.limit, name) for name in Limit.__struct_fields__}
        connection.execute(insert(LIMITS).values(tenant=each.tenant, scope=each.scope, **amounts))
    if not connection.execute(update(VERSIONS).values(version=VERSIONS.c.version + 1)).rowcount:
        connection.execute(insert(VERSIONS).values(tenant=EVERYONE, version=1))
    return known(connection)


def forget(connection: Connection, now: float) -> bool:
    """A chore: pots of windows that are long over go."""
    money = POTS.c.unit.in_(sorted(MONEY))
    connection.execute(delete(POTS).where(~money, POTS.c.since < int(now) - RATES_S))
    connection.execute(delete(POTS).where(money, POTS.c.since < int(now) - MONEY_S))
    return False
