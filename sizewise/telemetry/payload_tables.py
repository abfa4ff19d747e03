"""The payload log table: record and tenant in clear, prompts and replies encrypted."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.erasure import PersonalTable
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.telemetry.tables import RECORDS

META = MetaData()

CONTENTS = Table(
    "contents",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("record", BIG_INTEGER, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key", Text, nullable=False),  # id of the API key of the request
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_RECORD = Index("contents_record", CONTENTS.c.record)
BY_AGE = Index("contents_age", CONTENTS.c.created, CONTENTS.c.bytes)

SCHEMA = Migrations("contents", ((CreateTable(CONTENTS), CreateIndex(BY_RECORD), CreateIndex(BY_AGE)),))
SEALED = EncryptedTable(CONTENTS, ("record",))
PERSONAL = PersonalTable(
    "prompts and replies", CONTENTS, CONTENTS.c.number, key=CONTENTS.c.key, linked=(CONTENTS.c.record, RECORDS.c.id)
)


class PayloadRow(Struct, frozen=True):
    record: int
    tenant: str
    key: str
    created: int
    sealed: bytes


def insert_payloads(connection: Connection, rows: Sequence[PayloadRow]) -> None:
    values = [
        {name: getattr(row, name) for name in PayloadRow.__struct_fields__} | {"bytes": len(row.sealed)} for row in rows
    ]
    connection.execute(insert(CONTENTS), values)


def delete_payloads(connection: Connection, tenant: str, key: str) -> int:
    """Deletes the payloads of an API key (by id) and returns their number."""
    mine = (CONTENTS.c.tenant == tenant) & (CONTENTS.c.key == key)
    return connection.execute(delete(CONTENTS).where(mine)).rowcount


def find_payload(connection: Connection, tenant: str, record: int) -> bytes | None:
    """The encrypted payload of a record; None if it was not stored or is deleted."""
    its = CONTENTS.c
    return connection.scalar(select(its.sealed).where((its.record == record) & (its.tenant == tenant)).limit(1))
