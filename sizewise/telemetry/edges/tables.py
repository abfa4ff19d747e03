"""Tables of edges: where each belongs, what it runs and when it reported; ids of records, so that each counts once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Index, MetaData, Table, Text, delete, func, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.principal import Principal
from sizewise.storage.database import migration_statement
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent, upsert
from sizewise.telemetry.edges.report import EdgeAttempt, EdgeRecord, EdgeReport
from sizewise.telemetry.tables import ATTEMPTS, RECORDS, RecordWithAttempts, ended_records, join_tags

META = MetaData()


def _first() -> list[Column[Any]]:
    """The columns of version 1."""
    return [
        Column("tenant", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("project", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("release", Text, nullable=False),
        Column("build", Text, nullable=False),
        Column("version", Text, nullable=False),
        Column("seen", BIG_INTEGER, nullable=False),  # unix ms
        Column("records", BIG_INTEGER, nullable=False),
        Column("waiting", BIG_INTEGER, nullable=False),
        Column("lost", BIG_INTEGER, nullable=False),
        Column("note", Text, nullable=False),
    ]


EDGES = Table(
    "edges",
    META,
    *_first(),
    Column("environment", Text, nullable=False, server_default=""),  # of its key, as that names it
    Column("offered", Text, nullable=False, server_default=""),  # hash: what `note` is about; empty: it did not say
    Column("offered_since", BIG_INTEGER, nullable=False, server_default="0"),  # unix ms
)
ARRIVED = Table(
    "edge_records",
    META,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("seen", BIG_INTEGER, nullable=False),
)
BY_SEEN = Index("edge_records_seen", ARRIVED.c.seen)
POSITION = Table(
    "edge_position",  # one row: how far this server, as a machine, has reported its own records
    META,
    Column("tenant", Text, primary_key=True),
    Column("position", BIG_INTEGER, nullable=False),
)
SCHEMA = Migrations(
    "edges",
    (
        (
            CreateTable(Table("edges", MetaData(), *_first())),
            CreateTable(ARRIVED),
            CreateIndex(BY_SEEN),
            CreateTable(POSITION),
        ),
        (
            migration_statement("ALTER TABLE edges ADD COLUMN environment TEXT NOT NULL DEFAULT ''"),
            migration_statement("ALTER TABLE edges ADD COLUMN offered TEXT NOT NULL DEFAULT ''"),
            migration_statement("ALTER TABLE edges ADD COLUMN offered_since BIGINT NOT NULL DEFAULT 0"),
        ),
    ),
)
ALL_TENANTS = "*"
KEPT_DAYS = 90
"""Days for which a record that comes again is known: longer than any edge keeps one."""
DELETED_ROWS = 5_000


def store_report(connection: Connection, sender: Principal, report: EdgeReport, ids: Iterator[int], now: int) -> int:
    """Writes the records that did not come before, and returns their number. `sender`: the edge's own key; `now`: unix
    ms. A record gets the id of its arrival here, so that hours that were counted stay so.
    """
    tenant = sender.tenant
    mine = {each.id: each for each in report.records}
    known = select(ARRIVED.c.id).where(ARRIVED.c.tenant == tenant, ARRIVED.c.id.in_(mine))
    for id in connection.scalars(known).all():
        del mine[id]
    for id in sorted(mine):  # in one order: another server may write the same ones
        if not insert_if_absent(connection, ARRIVED, {"tenant": tenant, "id": id, "seen": now}):
            del mine[id]
    if mine:
        numbered = [(next(ids), each) for each in mine.values()]
        connection.execute(insert(RECORDS), [_record(number, each, sender, report, now) for number, each in numbered])
        attempts = [
            _attempt(number, place, tried, tenant, each.trace)
            for number, each in numbered
            for place, tried in enumerate(each.attempts, 1)
        ]
        if attempts:
            connection.execute(insert(ATTEMPTS), attempts)
    _update_edge(connection, sender, report, len(mine), now)
    return len(mine)


def _update_edge(connection: Connection, sender: Principal, report: EdgeReport, count: int, now: int) -> None:
    its = EDGES.c
    state: dict[str, Any] = {name: getattr(report, name) for name in REPORTED}
    state |= {"project": sender.project, "key": sender.key_id, "environment": sender.environment, "seen": now}
    key = {"tenant": sender.tenant, "name": report.edge}
    upsert(connection, EDGES, key, {**state, "records": count}, {**state, "records": its.records + count})


def _record(number: int, each: EdgeRecord, sender: Principal, report: EdgeReport, now: int) -> dict[str, Any]:
    tried = each.attempts
    costs = [attempt.cost for attempt in tried]
    return {
        "id": number,
        "tenant": sender.tenant,
        "project": (each.project if sender.all_projects else "") or sender.project,
        "key": each.key,
        "trace": each.trace,
        "at": min(each.at, now),
        "door": each.endpoint,
        "asked": each.asked,
        "policy": each.policy,
        "model": each.model,
        "why": each.why,
        "status": each.status,
        "error": each.error,
        "attempts": len(tried),
        **{name: sum(getattr(attempt, name) for attempt in tried) for name in TOKENS},
        "estimated": any(attempt.estimated for attempt in tried),
        "cost": None if None in costs else sum(cost or 0 for cost in costs),
        "first_ms": each.first_ms,
        "total_ms": each.total_ms,
        "stream": each.stream,
        "degraded": each.degraded,
        "data_class": each.data_class,
        "guards": each.guards,
        "tags": join_tags([f"edge:{report.edge}"]),
        "release": report.release or None,
    }


REPORTED = ("kind", "release", "build", "version", "waiting", "lost", "note", "offered", "offered_since")
TOKENS = ("input", "output", "cached", "cache_write", "reasoning")


def _attempt(number: int, place: int, tried: EdgeAttempt, tenant: str, trace: str) -> dict[str, Any]:
    said = {name: getattr(tried, name) for name in EdgeAttempt.__struct_fields__}
    return {"record": number, "number": place, "tenant": tenant, "trace": trace, **said}


class OwnRecords(NamedTuple):
    """The next records of a machine, and how many wait behind them."""

    records: list[RecordWithAttempts]
    waiting: int


def own_records(connection: Connection, after: int, until: int, limit: int) -> OwnRecords:
    """Those with `after` < id <= `until`."""
    found = ended_records(connection, after, until, limit)
    newest = found[-1].record.id if found else until
    waiting = select(func.count()).select_from(RECORDS).where(RECORDS.c.id > newest)
    return OwnRecords(found, (connection.scalar(waiting) or 0) if found else 0)


def read_position(connection: Connection) -> int | None:
    """None before the first report."""
    return connection.scalar(select(POSITION.c.position).where(POSITION.c.tenant == ALL_TENANTS))


def store_position(connection: Connection, position: int) -> None:
    mine = POSITION.c.tenant == ALL_TENANTS
    if not connection.execute(update(POSITION).where(mine).values(position=position)).rowcount:
        connection.execute(insert(POSITION).values(tenant=ALL_TENANTS, position=position))


def forget_arrivals(connection: Connection, now: int) -> bool:
    """Deletes some ids from before KEPT_DAYS; True: there are more."""
    old = select(ARRIVED.c.id).where(ARRIVED.c.seen < now - KEPT_DAYS * 86_400_000).limit(DELETED_ROWS)
    gone = connection.execute(delete(ARRIVED).where(ARRIVED.c.id.in_(old.scalar_subquery()))).rowcount
    return gone == DELETED_ROWS
