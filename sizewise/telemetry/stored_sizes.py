"""How much records, spans and contents take: rows, bytes, and the oldest; and the table of the last look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, func, insert, select
from sqlalchemy.schema import CreateTable

from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.telemetry.payload_tables import CONTENTS
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.span_tables import SPANS
from sizewise.telemetry.tables import ATTEMPTS, RECORDS

META = MetaData()
StoredKind = Literal["contents", "spans", "records"]
KINDS: tuple[StoredKind, ...] = get_args(StoredKind)
"""In the order in which they are deleted."""
SIZES = Table(
    "stored_sizes",
    META,
    Column("tenant", Text, nullable=False),
    Column("kind", Text, primary_key=True),
    Column("rows", BIG_INTEGER, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("oldest", BIG_INTEGER),  # unix ms; null: no row
    Column("cut", BIG_INTEGER),  # unix ms of the last time that the oldest were deleted for their size; null: never
)
TENANT = "*"
SCHEMA = Migrations("stored_sizes", ((CreateTable(SIZES),),))

SAMPLE = 500
"""Rows, of the oldest and of the newest each, whose texts are measured."""
FIXED_BYTES: Mapping[str, int] = {"records": 205, "attempts": 50, "spans": 100}
"""Of a row besides its texts: numbers, index entries, free space of pages; as measured in SQLite."""
BATCH_ROWS = 100
CONTENT_BYTES = 500
"""Of a row of contents besides what is encrypted."""


class StoredSize(Struct, frozen=True):
    """`bytes`: about. `oldest`: unix ms; None: there is no row."""

    kind: StoredKind
    rows: int
    bytes: int
    oldest: int | None


def measure(connection: Connection) -> tuple[StoredSize, ...]:
    """Reads tables in the order in which days are dropped: otherwise both could wait for each other."""
    its = CONTENTS.c
    rows, size, oldest = connection.execute(
        select(func.count(), func.coalesce(func.sum(its.bytes), 0), func.min(its.created))
    ).one()
    contents = StoredSize("contents", rows, int(size) + rows * CONTENT_BYTES, oldest)
    records = _in_order_of_time(connection, "records", RECORDS)
    attempts = _count(connection, ATTEMPTS) * _row_bytes(connection, ATTEMPTS, ATTEMPTS.c.record)
    spans = _in_order_of_time(connection, "spans", SPANS)
    return contents, spans, replace(records, bytes=records.bytes + attempts)


def nth_oldest(connection: Connection, kind: StoredKind, number: int) -> int | None:
    """The key of row `number` from the oldest, from 1; None if there are fewer."""
    key = KEYS[kind]
    found: int | None = connection.scalar(select(key).order_by(key).offset(number - 1).limit(1))
    return found


KEYS: Mapping[StoredKind, Column[int]] = {"contents": CONTENTS.c.number, "spans": SPANS.c.id, "records": RECORDS.c.id}


def delete_contents(connection: Connection, until: int) -> bool:
    """Deletes some of the contents up to this number; True if more are left."""
    number = CONTENTS.c.number
    gone = list(connection.scalars(select(number).where(number <= until).order_by(number).limit(BATCH_ROWS)))
    connection.execute(delete(CONTENTS).where(number.in_(gone)))
    return len(gone) == BATCH_ROWS


def store_sizes(connection: Connection, sizes: Sequence[StoredSize], cut_at: int | None) -> None:
    """`cut_at`: None: nothing was deleted for its size now."""
    before = connection.scalar(select(func.max(SIZES.c.cut)))
    connection.execute(delete(SIZES))
    rows = [
        {"tenant": TENANT, "kind": each.kind, "rows": each.rows, "bytes": each.bytes, "oldest": each.oldest}
        | {"cut": cut_at or before}
        for each in sizes
    ]
    connection.execute(insert(SIZES), rows)


def read_sizes(connection: Connection) -> tuple[StoredSize, ...]:
    """As of the last look."""
    its = SIZES.c
    return tuple(StoredSize(*row) for row in connection.execute(select(its.kind, its.rows, its.bytes, its.oldest)))


def read_cut(connection: Connection) -> int | None:
    """Unix ms of the last time that the oldest were deleted for their size; None: never."""
    found: int | None = connection.scalar(select(func.max(SIZES.c.cut)))
    return found


def _in_order_of_time(connection: Connection, kind: StoredKind, table: Table) -> StoredSize:
    rows, first = _count(connection, table), connection.scalar(select(func.min(table.c.id)))
    size = rows * _row_bytes(connection, table, table.c.id)
    return StoredSize(kind, rows, size, None if first is None else (first >> PROCESS_BITS) // 1_000)


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _row_bytes(connection: Connection, table: Table, key: Column[int]) -> int:
    texts = [func.coalesce(func.length(each), 0) for each in table.columns if isinstance(each.type, Text)]
    length = sum(texts[1:], texts[0])
    samples = [
        select(length.label("length")).order_by(order).limit(SAMPLE).subquery() for order in (key.asc(), key.desc())
    ]
    found = [connection.scalar(select(func.avg(each.c.length))) for each in samples]
    return FIXED_BYTES[table.name] + int(sum(float(each or 0) for each in found) / len(found))
