"""The idempotency key table: digests and encrypted outcomes only."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.database import UnitOfWork
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()

IDEMPOTENCY = Table(
    "idempotency",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("key", Text, nullable=False),  # SHA-256 in hex
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_KEY = Index("idempotency_key", IDEMPOTENCY.c.tenant, IDEMPOTENCY.c.project, IDEMPOTENCY.c.key, unique=True)
BY_AGE = Index("idempotency_age", IDEMPOTENCY.c.created, IDEMPOTENCY.c.bytes)

SCHEMA = Migrations("cache", ((CreateTable(IDEMPOTENCY), CreateIndex(BY_KEY), CreateIndex(BY_AGE)),))
SEALED = EncryptedTable(IDEMPOTENCY, ("project", "key"))


class IdempotencyLease(Struct, frozen=True):
    """The right to make a call once. `key`: SHA-256 of the client's key, in hex; `digest`: of its request."""

    tenant: str
    project: str
    key: str
    digest: bytes


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
    """
    found = connection.execute(
        select(IDEMPOTENCY.c.created, IDEMPOTENCY.c.sealed).where(_of_lease(lease)),
    ).one_or_none()
    if found is not None and found.created > since:
        there: bytes = found.sealed
        return there
    release_lease(connection, lease)
    row = {"tenant": lease.tenant, "project": lease.project, "key": lease.key, "created": now}
    connection.execute(insert(IDEMPOTENCY).values(**row, bytes=len(ciphertext), sealed=ciphertext))
    on_acquired(connection)
    return None


def complete_lease(connection: Connection, lease: IdempotencyLease, ciphertext: bytes) -> None:
    connection.execute(update(IDEMPOTENCY).where(_of_lease(lease)).values(sealed=ciphertext, bytes=len(ciphertext)))


def release_lease(connection: Connection, lease: IdempotencyLease) -> None:
    connection.execute(delete(IDEMPOTENCY).where(_of_lease(lease)))


def newest_sealed(connection: Connection) -> bytes | None:
    """The most recent ciphertext of any tenant."""
    return connection.scalar(select(IDEMPOTENCY.c.sealed).order_by(IDEMPOTENCY.c.number.desc()).limit(1))


def _of_lease(lease: IdempotencyLease) -> ColumnElement[bool]:
    its = IDEMPOTENCY.c
    return (its.tenant == lease.tenant) & (its.project == lease.project) & (its.key == lease.key)
