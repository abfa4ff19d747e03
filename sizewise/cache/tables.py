"""The idempotency key table: digests and encrypted outcomes only."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, select, text, update
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.database import UnitOfWork
from sizewise.storage.erasure import (
    ANYBODY,
    Caller,
    PersonalTable,
    caller_columns,
    caller_index,
    caller_migration,
)
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()


def _first() -> list[Column[Any]]:
    """The columns of version 1."""
    return [
        Column("number", BIG_INTEGER, primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("project", Text, nullable=False),
        Column("key", Text, nullable=False),  # SHA-256 in hex
        Column("created", BIG_INTEGER, nullable=False),  # unix ms
        Column("bytes", BIG_INTEGER, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
    ]


IDEMPOTENCY_V1 = Table("idempotency", MetaData(), *_first())
IDEMPOTENCY = Table("idempotency", META, *_first(), *caller_columns())
BY_KEY = Index("idempotency_key", IDEMPOTENCY.c.tenant, IDEMPOTENCY.c.project, IDEMPOTENCY.c.key, unique=True)
BY_AGE = Index("idempotency_age", IDEMPOTENCY.c.created, IDEMPOTENCY.c.bytes)

SCHEMA = Migrations(
    "cache",
    (
        (CreateTable(IDEMPOTENCY_V1), CreateIndex(BY_KEY), CreateIndex(BY_AGE)),
        caller_migration(caller_index(IDEMPOTENCY)),
    ),
)
_NAMES = tuple(column.name for column in IDEMPOTENCY.columns if not column.primary_key)
INSERT_LEASE = f"INSERT INTO idempotency ({', '.join(_NAMES)}) VALUES (:{', :'.join(_NAMES)}) ON CONFLICT DO NOTHING"
PERSONAL = PersonalTable("idempotent answers", IDEMPOTENCY, IDEMPOTENCY.c.number)
SEALED = EncryptedTable(IDEMPOTENCY, ("project", "key"))


class IdempotencyLease(Struct, frozen=True):
    """The right to make a call once. `key`: SHA-256 of the client's key, in hex; `digest`: of its request. `caller`:
    who called first.
    """

    tenant: str
    project: str
    key: str
    digest: bytes
    caller: Caller = ANYBODY


def acquire_lease(
    connection: Connection,
    lease: IdempotencyLease,
    ciphertext: bytes,
    now: int,
    since: int,
    on_acquired: UnitOfWork[None],
) -> bytes | None:
    """Stores `ciphertext`, does `on_acquired` and returns None; or returns the existing ciphertext if created after
    `since` (unix ms).

    Of servers that share a Postgres one inserts, and the others wait for what it commits: only what is too old is
    deleted, since a statement sees what was committed after the one before it.
    """
    its = IDEMPOTENCY.c
    row = {"tenant": lease.tenant, "project": lease.project, "key": lease.key, **lease.caller.values}
    found: bytes | None = None
    while found is None:  # again, if it was released meanwhile
        connection.execute(delete(IDEMPOTENCY).where(_of_lease(lease) & (its.created <= since)))
        values = {**row, "created": now, "bytes": len(ciphertext), "sealed": ciphertext}
        if connection.execute(text(INSERT_LEASE), values).rowcount:
            on_acquired(connection)
            return None
        found = connection.scalar(select(its.sealed).where(_of_lease(lease)))
    return found


def complete_lease(connection: Connection, lease: IdempotencyLease, ciphertext: bytes) -> None:
    connection.execute(update(IDEMPOTENCY).where(_of_lease(lease)).values(sealed=ciphertext, bytes=len(ciphertext)))


def release_lease(connection: Connection, lease: IdempotencyLease) -> None:
    connection.execute(delete(IDEMPOTENCY).where(_of_lease(lease)))


def _of_lease(lease: IdempotencyLease) -> ColumnElement[bool]:
    its = IDEMPOTENCY.c
    return (its.tenant == lease.tenant) & (its.project == lease.project) & (its.key == lease.key)
