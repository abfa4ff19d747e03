"""The position of the OTLP export in records and spans, so that a restart goes on where it was."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, func, insert, select, update
from sqlalchemy.schema import CreateTable

from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.telemetry.span_tables import SPANS, SpanRow, ended_spans
from sizewise.telemetry.tables import RECORDS, RecordWithAttempts, ended_records

META = MetaData()
POSITIONS = Table(
    "otlp_position",
    META,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("tenant", Text, nullable=False),
    Column("position", BIG_INTEGER, nullable=False),  # the last exported id
)
SCHEMA = Migrations("otlp", ((CreateTable(POSITIONS),),))
TENANT = "*"
"""Spans of all organizations go to one collector."""


def read_position(connection: Connection) -> int | None:
    """None before the first export."""
    return connection.scalar(select(POSITIONS.c.position).where(POSITIONS.c.number == 0))


def store_position(connection: Connection, position: int) -> None:
    mine = POSITIONS.c.number == 0
    if not connection.execute(update(POSITIONS).where(mine).values(position=position)).rowcount:
        connection.execute(insert(POSITIONS).values(number=0, tenant=TENANT, position=position))


def next_rows(
    connection: Connection, after: int, until: int, limit: int
) -> tuple[list[RecordWithAttempts], list[SpanRow]]:
    """The first `limit` of each, with `after` < id <= `until`, in the order of their ids."""
    return ended_records(connection, after, until, limit), ended_spans(connection, after, until, limit)


def count_spans(connection: Connection, after: int, until: int) -> int:
    """The spans with `after` < id <= `until`: of requests, of their attempts, and of steps."""
    requests = func.count() + func.coalesce(func.sum(RECORDS.c.attempts), 0)
    return sum(
        int(connection.scalar(select(count).where((table.c.id > after) & (table.c.id <= until))) or 0)
        for table, count in ((RECORDS, requests), (SPANS, func.count()))
    )
