"""The table of hash keys: a key of each tenant, encrypted, with which the names of its end users are hashed."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent

META = MetaData()
NAME = "end_user_keys"
HASH_KEYS = Table(
    NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_TENANT = Index("end_user_keys_tenant", HASH_KEYS.c.tenant, unique=True)
SCHEMA = Migrations("end_users", ((CreateTable(HASH_KEYS), CreateIndex(BY_TENANT)),))
SEALED = EncryptedTable(HASH_KEYS, ("tenant",))


def find_hash_key(connection: Connection, tenant: str) -> bytes | None:
    return connection.scalar(select(HASH_KEYS.c.sealed).where(HASH_KEYS.c.tenant == tenant))


def add_hash_key(connection: Connection, tenant: str, sealed: bytes) -> bytes:
    """The tenant's key: `sealed`, or that of whoever was first."""
    insert_if_absent(connection, HASH_KEYS, {"tenant": tenant, "sealed": sealed, "bytes": len(sealed)})
    return find_hash_key(connection, tenant) or sealed
