"""The span table: steps of a trace that are no model call, by name; and a trace as records and spans together."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Column, Connection, Float, Index, MetaData, Table, Text, delete, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.erasure import PersonalTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations, PartitionByDay
from sizewise.telemetry.record_ids import IDS_A_SECOND
from sizewise.telemetry.spans import SPANS_TABLE
from sizewise.telemetry.tables import RECORDS

META = MetaData()
SPANS = Table(
    SPANS_TABLE,
    META,
    Column("id", BIG_INTEGER, primary_key=True, autoincrement=False),  # as of records: in the order of their end
    Column("span", Text, nullable=False),  # 16 hex digits
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("parent_span", Text),
    Column("operation", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", BIG_INTEGER, nullable=False),  # unix ms
    Column("total_ms", Float, nullable=False),
    Column("error", Text, nullable=False),
    Column("result_bytes", BIG_INTEGER),
    Column("session", Text),
)
BY_TRACE = Index("spans_trace", SPANS.c.tenant, SPANS.c.trace)
SCHEMA = Migrations(
    "spans", ((CreateTable(SPANS), CreateIndex(BY_TRACE)), (PartitionByDay(SPANS_TABLE, "id", IDS_A_SECOND),))
)
PERSONAL = PersonalTable(
    "spans", SPANS, SPANS.c.id, key=SPANS.c.key, conversation=SPANS.c.session, linked=(SPANS.c.trace, RECORDS.c.trace)
)
MAX_SPANS = 5_000
"""Of one trace that are read."""


class SpanRow(Struct, frozen=True):
    """`at`: unix ms of its begin. `error`: a code of errors.py, `cancelled`, `tool_error`, or the limit that cut an
    agent short; empty if it did its work. `kind`: of a flow's node, or the source of a tool.
    """

    id: int
    span: str
    tenant: str
    project: str
    key: str
    trace: str
    parent_span: str | None
    operation: str
    name: str
    kind: str
    at: int
    total_ms: float
    error: str
    result_bytes: int | None
    session: str | None


def spans_of_trace(connection: Connection, tenant: str, trace: str, project: str = "") -> list[SpanRow]:
    """The oldest MAX_SPANS. `trace`: a whole id. `project`: only of that one."""
    mine = (SPANS.c.tenant == tenant) & (SPANS.c.trace == trace)
    query = select(SPANS).where(mine & (SPANS.c.project == project) if project else mine)
    return [SpanRow(*row) for row in connection.execute(query.order_by(SPANS.c.id).limit(MAX_SPANS))]


def delete_spans(connection: Connection, tenant: str, key: str) -> int:
    """Deletes the spans of an API key (by id) and returns their number."""
    return connection.execute(delete(SPANS).where((SPANS.c.tenant == tenant) & (SPANS.c.key == key))).rowcount


def ended_spans(connection: Connection, after: int, until: int, limit: int) -> list[SpanRow]:
    """The first `limit` of all tenants with `after` < id <= `until`, in the order of their end."""
    range = (SPANS.c.id > after) & (SPANS.c.id <= until)
    return [SpanRow(*row) for row in connection.execute(select(SPANS).where(range).order_by(SPANS.c.id).limit(limit))]
