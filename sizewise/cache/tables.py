"""The table of idempotency keys: whose, since when; the key only as a digest, and what came of it only sealed."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.database import BIG, Schema
from sizewise.storage.keys.tables import SealedTable

META = MetaData()

IDEMPOTENCY = Table(
    "idempotency",
    META,
    Column("number", BIG, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("key", Text, nullable=False),  # SHA-256 in hex
    Column("created", BIG, nullable=False),  # unix ms
    Column("bytes", BIG, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_KEY = Index("idempotency_key", IDEMPOTENCY.c.tenant, IDEMPOTENCY.c.project, IDEMPOTENCY.c.key, unique=True)
BY_AGE = Index("idempotency_age", IDEMPOTENCY.c.created, IDEMPOTENCY.c.bytes)

SCHEMA = Schema("cache", ((CreateTable(IDEMPOTENCY), CreateIndex(BY_KEY), CreateIndex(BY_AGE)),))
SEALED = SealedTable(IDEMPOTENCY, ("project", "key"))


class Lease(Struct, frozen=True):
    """The right to make a call once. `key`: SHA-256 of what the client gave, in hex; `digest` that of its request."""

    tenant: str
    project: str
    key: str
    digest: bytes


def take(connection: Connection, lease: Lease, sealed: bytes, now: int, since: int) -> bytes | None:
    """Leaves `sealed` there and gives None; or gives what is there already, if it was left after `since` (unix ms)."""
    found = connection.execute(select(IDEMPOTENCY.c.created, IDEMPOTENCY.c.sealed).where(_its(lease))).one_or_none()
    if found is not None and found.created > since:
        there: bytes = found.sealed
        return there
    release(connection, lease)
    row = {"tenant": lease.tenant, "project": lease.project, "key": lease.key, "created": now}
    connection.execute(insert(IDEMPOTENCY).values(**row, bytes=len(sealed), sealed=sealed))
    return None


def settle(connection: Connection, lease: Lease, sealed: bytes) -> None:
    connection.execute(update(IDEMPOTENCY).where(_its(lease)).values(sealed=sealed, bytes=len(sealed)))


def release(connection: Connection, lease: Lease) -> None:
    connection.execute(delete(IDEMPOTENCY).where(_its(lease)))


def newest(connection: Connection) -> bytes | None:
    """What was sealed last, of anybody's."""
    return connection.scalar(select(IDEMPOTENCY.c.sealed).order_by(IDEMPOTENCY.c.number.desc()).limit(1))


def _its(lease: Lease) -> ColumnElement[bool]:
    its = IDEMPOTENCY.c
    return (its.tenant == lease.tenant) & (its.project == lease.project) & (its.key == lease.key)
