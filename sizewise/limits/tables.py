"""Tables of limits and of the quota allocated from each window; every worker leases here before it spends.

Invariant: `lease_quota` never raises `allocated` of a window above the limit, and a worker spends only what it has
leased. `allocated` exceeds the limit only if `return_quota` returns a debt: an attempt that cost more than its worst
case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, delete, insert, select, text, update
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.limits.rules import MONEY_UNITS, Limit, LimitKey, ScopedLimit, Unit
from sizewise.storage.database import UnitOfWork, migration_statement
from sizewise.storage.database_clock import database_time_ms
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import upsert

META = MetaData()

LIMITS = Table(
    "budget_limits",
    META,
    Column("tenant", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("requests_minute", BIG_INTEGER),
    Column("tokens_minute", BIG_INTEGER),
    Column("usd_day", BIG_INTEGER),  # pico-dollars
    Column("usd_month", BIG_INTEGER),
)
VERSIONS = Table(
    "budget_versions",  # one row: a worker with cached limits compares this number
    META,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)
WINDOWS = Table(
    "budget_pots",
    META,
    Column("tenant", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("since", BIG_INTEGER, primary_key=True),  # unix s at which the window began
    Column("taken", BIG_INTEGER, nullable=False),  # leased by workers, to be spent or returned
    Column("spent", BIG_INTEGER, nullable=False),  # as far as reported by workers
    Column("alerted", Integer, nullable=False),  # the highest threshold that raised an alert, in percent
)
VERSION_TENANT = "*"

SCHEMA = Migrations(
    "budgets",
    (
        (CreateTable(LIMITS), CreateTable(VERSIONS), CreateTable(WINDOWS)),
        (  # American spelling, as in the settings
            migration_statement("UPDATE budget_limits SET scope = 'organization' WHERE scope = 'organisation'"),
            migration_statement("UPDATE budget_pots SET scope = 'organization' WHERE scope = 'organisation'"),
        ),
    ),
)

INSERT_WINDOW = (
    "INSERT INTO budget_pots (tenant, scope, unit, since, taken, spent, alerted)"
    " VALUES (:tenant, :scope, :unit, :since, 0, 0, 0) ON CONFLICT DO NOTHING"
)
THRESHOLDS = (50, 80, 100)
"""Percent of a money budget at which an alert is sent."""
EXHAUSTED_PERCENT = 80
"""Percent from which a budget that rejects a request counts as exhausted."""
RATE_RETENTION_S = 600
MONEY_RETENTION_S = 400 * 86_400
"""Seconds for which windows are kept after their start."""


class LeaseRequest(Struct, frozen=True):
    """A worker's lease from one window: at least `required`, plus `extra` if plenty is left; `spent` since its last
    report."""

    key: LimitKey
    starts_at: int
    limit: int
    required: int
    extra: int = 0
    spent: int = 0


class LeaseReturn(Struct, frozen=True):
    """Quota of one window that a worker returns; below 0: a debt. `spent`: since its last report; `exhausted`: a
    request was rejected.
    """

    key: LimitKey
    starts_at: int
    limit: int
    amount: int
    spent: int = 0
    exhausted: bool = False


class WindowState(Struct, frozen=True):
    """State of a window: what this worker got, what is allocated and spent, and the thresholds just crossed."""

    leased: int
    allocated: int
    spent: int
    thresholds: tuple[int, ...] = ()


class BudgetAlert(Struct, frozen=True):
    """A window of a budget that has just crossed a threshold; `percent` of the limit is spent."""

    key: LimitKey
    starts_at: int
    limit: int
    spent: int
    percent: int


AddAlert = Callable[[BudgetAlert], UnitOfWork[None]]
"""The work that adds the event of an alert, in the transaction that crosses the threshold."""


class LimitSnapshot(Struct, frozen=True):
    """Every limit of all organizations, as of `read_version`."""

    version: int
    limits: list[ScopedLimit]


def lease_quota(
    connection: Connection, requests: Sequence[LeaseRequest], alert: AddAlert | None = None
) -> tuple[bool, list[WindowState]]:
    """Grants all requests or none; window states in the order of `requests`. Sorted locking prevents deadlocks."""
    stood = {
        want.key: _open_window(connection, want.key, want.starts_at)
        for want in sorted(requests, key=lambda each: each.key)
    }
    enough = all(want.limit - stood[want.key].taken >= want.required for want in requests)
    stands = []
    for want in requests:
        pot = stood[want.key]
        left = want.limit - pot.taken
        got = want.required + max(0, min(want.extra, (left - want.required) // 8)) if enough else 0
        full = not enough and left < want.required
        state = _update_window(connection, want.key, want.starts_at, pot, got, want.spent, want.limit, full)
        _add_alerts(connection, want, state, alert)
        stands.append(state)
    return enough, stands


def return_quota(
    connection: Connection, returns: Sequence[LeaseReturn], alert: AddAlert | None = None
) -> list[WindowState]:
    """Window states in the order of `returns`."""
    stands = {}
    for each in sorted(returns, key=lambda each: (each.key, each.starts_at)):
        pot = _open_window(connection, each.key, each.starts_at)
        stands[each.key, each.starts_at] = state = _update_window(
            connection,
            each.key,
            each.starts_at,
            pot,
            -each.amount,
            each.spent,
            each.limit,
            each.exhausted,
        )
        _add_alerts(connection, each, state, alert)
    return [stands[each.key, each.starts_at] for each in returns]


def _add_alerts(
    connection: Connection, change: LeaseRequest | LeaseReturn, state: WindowState, alert: AddAlert | None
) -> None:
    if alert is not None:
        for percent in state.thresholds:
            found = BudgetAlert(
                key=change.key,
                starts_at=change.starts_at,
                limit=change.limit,
                spent=state.spent,
                percent=percent,
            )
            alert(found)(connection)


class _WindowRow(Struct, frozen=True):
    taken: int
    spent: int
    alerted: int


def _open_window(connection: Connection, key: LimitKey, starts_at: int) -> _WindowRow:
    """The window, locked until the transaction ends: SQLite has one writer at a time, other databases lock the row."""
    tenant, scope, unit = key
    its = (
        select(WINDOWS.c.taken, WINDOWS.c.spent, WINDOWS.c.alerted)
        .where(_window_filter(key, starts_at))
        .with_for_update()
    )
    found = connection.execute(its).one_or_none()
    if found is None:
        connection.execute(text(INSERT_WINDOW), {"tenant": tenant, "scope": scope, "unit": unit, "since": starts_at})
        found = connection.execute(its).one()
    return _WindowRow(*found)


def _update_window(
    connection: Connection,
    key: LimitKey,
    starts_at: int,
    row: _WindowRow,
    leased: int,
    spent: int,
    limit: int,
    exhausted: bool,
) -> WindowState:
    taken, told = row.taken + leased, row.spent + spent
    reached = _crossed_thresholds(key[2], told, limit, row.alerted, exhausted)
    if leased or spent or reached:
        alerted = max(reached, default=row.alerted)
        connection.execute(
            update(WINDOWS).where(_window_filter(key, starts_at)).values(taken=taken, spent=told, alerted=alerted),
        )
    return WindowState(leased, taken, told, reached)


def _crossed_thresholds(unit: Unit, spent: int, limit: int, alerted: int, exhausted: bool) -> tuple[int, ...]:
    if unit not in MONEY_UNITS or not limit:
        return ()
    percent = spent * 100 // limit
    if exhausted and percent >= EXHAUSTED_PERCENT:
        percent = 100
    return tuple(each for each in THRESHOLDS if alerted < each <= percent)


def read_windows(
    connection: Connection,
    keys: Iterable[tuple[LimitKey, int]],
) -> dict[tuple[LimitKey, int], tuple[int, int]]:
    """(allocated, spent) by key and start of the window; unused windows are missing."""
    found = {}
    for key, since in keys:
        row = connection.execute(
            select(WINDOWS.c.taken, WINDOWS.c.spent).where(_window_filter(key, since)),
        ).one_or_none()
        if row is not None:
            found[key, since] = (row.taken, row.spent)
    return found


def money_windows(connection: Connection, since: int) -> list[tuple[LimitKey, int, int]]:
    """Key, start and spent pico-dollars of the windows of budgets that began at unix seconds `since` or later."""
    its = WINDOWS.c
    mine = its.unit.in_(sorted(MONEY_UNITS)) & (its.since >= since)
    rows = connection.execute(select(its.tenant, its.scope, its.unit, its.since, its.spent).where(mine))
    return [((tenant, scope, unit), starts, int(spent)) for tenant, scope, unit, starts, spent in rows]


def _window_filter(key: LimitKey, starts_at: int) -> ColumnElement[bool]:
    tenant, scope, unit = key
    its = WINDOWS.c
    return (its.tenant == tenant) & (its.scope == scope) & (its.unit == unit) & (its.since == starts_at)


def read_clock(connection: Connection) -> float:
    """Unix seconds by the store's clock: with SQLite this machine's."""
    return database_time_ms(connection) / 1_000


def read_version(connection: Connection) -> int:
    return connection.scalar(select(VERSIONS.c.version)) or 0


def read_snapshot(connection: Connection) -> LimitSnapshot:
    found = []
    for row in connection.execute(select(LIMITS)):
        limit = Limit(row.requests_minute, row.tokens_minute, row.usd_day, row.usd_month)
        found.append(ScopedLimit(row.tenant, row.scope, limit))
    return LimitSnapshot(read_version(connection), found)


def set_limit(connection: Connection, limit: ScopedLimit, event: AuditEvent) -> LimitSnapshot:
    """Replaces the stored limit of its scope; an empty limit is deleted."""
    audit.append_event(connection, event)
    mine = (LIMITS.c.tenant == limit.tenant) & (LIMITS.c.scope == limit.scope)
    connection.execute(delete(LIMITS).where(mine))
    if limit.limit != Limit():
        amounts = {name: getattr(limit.limit, name) for name in Limit.__struct_fields__}
        connection.execute(insert(LIMITS).values(tenant=limit.tenant, scope=limit.scope, **amounts))
    upsert(connection, VERSIONS, {"tenant": VERSION_TENANT}, {"version": 1}, {"version": VERSIONS.c.version + 1})
    return read_snapshot(connection)


def delete_expired_windows(connection: Connection, now: float) -> bool:
    """Deletes windows past their retention; returns False: nothing is left to delete."""
    money = WINDOWS.c.unit.in_(sorted(MONEY_UNITS))
    connection.execute(delete(WINDOWS).where(~money, WINDOWS.c.since < int(now) - RATE_RETENTION_S))
    connection.execute(delete(WINDOWS).where(money, WINDOWS.c.since < int(now) - MONEY_RETENTION_S))
    return False
