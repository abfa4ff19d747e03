"""Tables of alerts: the present state of each series, the history of states, and silences; evaluates none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.alerts.series_state import Series
from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()

STATES = Table(
    "alert_states",
    META,
    Column("tenant", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("level", Integer, nullable=False),
    Column("value", Float),
    Column("since", BIG_INTEGER, nullable=False),  # unix ms, as all times here
    Column("reason", Text, nullable=False),
    Column("sent", BIG_INTEGER, nullable=False),
    Column("sent_level", Integer, nullable=False),
    Column("seen", BIG_INTEGER, nullable=False),
)
HISTORY = Table(
    "alert_history",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("level", Integer, nullable=False),
    Column("value", Float),
    Column("at", BIG_INTEGER, nullable=False),
    Column("reason", Text, nullable=False),
)
SILENCES = Table(
    "alert_silences",
    META,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("rule", Text, nullable=False),  # empty: all
    Column("labels", Text, nullable=False),  # JSON: those that a series must have
    Column("created", BIG_INTEGER, nullable=False),
    Column("ends", BIG_INTEGER, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
BY_TENANT = Index("alert_history_tenant", HISTORY.c.tenant, HISTORY.c.number)
BY_END = Index("alert_silences_end", SILENCES.c.ends)

SCHEMA = Migrations(
    "alerts",
    ((*(CreateTable(table) for table in (STATES, HISTORY, SILENCES)), CreateIndex(BY_TENANT), CreateIndex(BY_END)),),
)

MAX_HISTORY = 100_000
HISTORY_MS = 90 * 86_400_000
ALERT_LEVEL = 2
"""Of AlertRule.level; 1 is a warning."""
UNSEEN_MS = 86_400_000
"""After which a series that is over and was not measured is forgotten."""
BATCH = 1_000


class Transition(Struct, frozen=True):
    """A change of a series' state. `at`: unix ms."""

    number: int
    tenant: str
    rule: str
    labels: str
    state: str
    level: int
    value: float | None
    at: int
    reason: str


class Silence(Struct, frozen=True):
    """Series of a rule (empty: of all) that have `labels` are not sent until `ends` (unix ms)."""

    id: str
    tenant: str
    rule: str
    labels: str
    created: int
    ends: int
    author: str
    reason: str


def series_of(connection: Connection, rule: str, tenant: str = "") -> list[Series]:
    """`tenant`: empty for all."""
    mine = (STATES.c.rule == rule) & ((STATES.c.tenant == tenant) if tenant else True)
    query = select(*(STATES.c[name] for name in Series.__struct_fields__)).where(mine)
    return [Series(*row) for row in connection.execute(query.order_by(STATES.c.labels))]


def firing_series(connection: Connection, tenant: str) -> list[Series]:
    """Those that fire as alerts; warnings do not count."""
    mine = (STATES.c.tenant == tenant) & (STATES.c.state == "firing") & (STATES.c.level == ALERT_LEVEL)
    query = select(*(STATES.c[name] for name in Series.__struct_fields__)).where(mine)
    return [Series(*row) for row in connection.execute(query.order_by(STATES.c.since))]


def save_series(connection: Connection, changes: Sequence[tuple[Series | None, Series]]) -> None:
    """Writes series, and the transitions of those whose state has changed. A change: before (None if new), and now."""
    its = STATES.c
    fresh = [_values(now) for before, now in changes if before is None]
    if fresh:
        connection.execute(insert(STATES), fresh)
    for before, now in changes:
        if before is not None:
            mine = (its.tenant == now.tenant) & (its.rule == now.rule) & (its.labels == now.labels)
            connection.execute(update(STATES).where(mine).values(_values(now)))
    names = ("tenant", "rule", "labels", "state", "level", "value", "reason")
    transitions = [
        {name: getattr(now, name) for name in names} | {"at": now.since}
        for before, now in changes
        if now.state != (before.state if before is not None else "ok")
    ]
    if transitions:
        connection.execute(insert(HISTORY), transitions)


def _values(series: Series) -> dict[str, object]:
    return {name: getattr(series, name) for name in Series.__struct_fields__}


def forget_series(connection: Connection, rules: Sequence[str], now: int) -> None:
    """Those that are over and long unseen, and those of rules that are no longer in the settings (`rules` are)."""
    its = STATES.c
    over = its.state.in_(("ok", "resolved")) & (its.sent_level == 0) & (its.seen < now - UNSEEN_MS)
    connection.execute(delete(STATES).where(over | its.rule.not_in(rules)))


def history(connection: Connection, tenant: str, rule: str, before: int, limit: int) -> list[Transition]:
    """The newest first. `rule`: empty for all; `before`: a number, 0: the newest."""
    its = HISTORY.c
    mine = its.tenant == tenant
    if rule:
        mine &= its.rule == rule
    if before:
        mine &= its.number < before
    query = select(*(its[name] for name in Transition.__struct_fields__)).where(mine)
    return [Transition(*row) for row in connection.execute(query.order_by(its.number.desc()).limit(limit))]


def newest_transition(connection: Connection, tenant: str) -> int:
    """Its number; 0: there is none."""
    return connection.scalar(select(func.max(HISTORY.c.number)).where(HISTORY.c.tenant == tenant)) or 0


def silences(connection: Connection, now: int, tenant: str = "") -> list[Silence]:
    """Those that have not ended. `tenant`: empty for all."""
    mine = (SILENCES.c.ends > now) & ((SILENCES.c.tenant == tenant) if tenant else True)
    query = select(*(SILENCES.c[name] for name in Silence.__struct_fields__)).where(mine).order_by(SILENCES.c.created)
    return [Silence(*row) for row in connection.execute(query)]


def add_silence(connection: Connection, silence: Silence, event: AuditEvent) -> None:
    audit.append_event(connection, event)
    connection.execute(insert(SILENCES).values({name: getattr(silence, name) for name in Silence.__struct_fields__}))


def end_silence(connection: Connection, id: str, tenant: str, now: int, event: AuditEvent) -> bool:
    """False if there is none that has not ended."""
    mine = (SILENCES.c.id == id) & (SILENCES.c.tenant == tenant) & (SILENCES.c.ends > now)
    if not connection.execute(update(SILENCES).where(mine).values(ends=now)).rowcount:
        return False
    audit.append_event(connection, event)
    return True


def delete_old(connection: Connection, now: int) -> bool:
    """Deletes a batch of history and ended silences; True if more is left."""
    connection.execute(delete(SILENCES).where(SILENCES.c.ends < now - HISTORY_MS))
    its = HISTORY.c
    excess = (connection.scalar(select(func.count()).select_from(HISTORY)) or 0) - MAX_HISTORY
    rows: Iterable[tuple[int, int]] = connection.execute(
        select(its.number, its.at).order_by(its.number).limit(BATCH)
    ).tuples()
    gone = [number for place, (number, at) in enumerate(rows) if at < now - HISTORY_MS or place < excess]
    connection.execute(delete(HISTORY).where(its.number.in_(gone)))
    return len(gone) == BATCH
