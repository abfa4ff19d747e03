"""The tables of who may ask: keys by the SHA-256 of their text, and a version that rises with every change."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table, Text, insert, select, update
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.db import BIG, Schema
from sizewise.egress import DataClass

META = MetaData()

KEYS = Table(
    "keys",
    META,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("may", Text, nullable=False),  # actions with blanks between
    Column("data_class", Text),
    Column("created", BIG, nullable=False),
    Column("expires", BIG),
    Column("revoked", BIG),
)
BY_DIGEST = Index("keys_digest", KEYS.c.digest, unique=True)

VERSIONS = Table(
    "key_versions",  # one row: whoever keeps keys in memory compares this number
    META,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)
EVERYONE = "*"
"""Keys are looked up before a tenant is known, so one version covers all of them."""

SCHEMA = Schema(
    "accounts",
    ((CreateTable(KEYS), CreateIndex(BY_DIGEST), CreateTable(VERSIONS)),),
)


class Key(Struct, frozen=True):
    """A key without its text. Times are unix ms; `expires` and `revoked` None: never. `digest`: SHA-256 in hex."""

    id: str
    tenant: str
    project: str
    name: str
    digest: str
    may: frozenset[str]
    data_class: DataClass | None
    created: int
    expires: int | None = None
    revoked: int | None = None


class Known(Struct, frozen=True):
    """Every key there is, of all tenants, as of `version`."""

    version: int
    keys: list[Key]


def add(connection: Connection, key: Key) -> Known:
    """Raises Conflict (at the transaction's edge) where the id or the digest is already known."""
    row = {column.name: getattr(key, column.name) for column in KEYS.columns}
    connection.execute(insert(KEYS).values({**row, "may": " ".join(sorted(key.may))}))
    return _changed(connection)


def revoke(connection: Connection, tenant: str, id: str, at: int) -> Known | None:
    """None where the tenant has no such key. A key that is already revoked keeps its first date (`at`: unix ms)."""
    mine = (KEYS.c.tenant == tenant) & (KEYS.c.id == id)
    if connection.execute(update(KEYS).where(mine, KEYS.c.revoked.is_(None)).values(revoked=at)).rowcount:
        return _changed(connection)
    return known(connection) if connection.scalar(select(KEYS.c.id).where(mine)) else None


def every(connection: Connection, tenant: str | None = None) -> list[Key]:
    """All keys of a tenant (None: of everyone), the revoked and expired too, oldest first."""
    query = select(KEYS).order_by(KEYS.c.created, KEYS.c.id)
    if tenant is not None:
        query = query.where(KEYS.c.tenant == tenant)
    return [
        Key(id, tenant, project, name, digest, frozenset(may.split()), data_class, created, expires, revoked)
        for id, tenant, project, name, digest, may, data_class, created, expires, revoked in connection.execute(query)
    ]


def known(connection: Connection) -> Known:
    return Known(connection.scalar(select(VERSIONS.c.version)) or 0, every(connection))


def _changed(connection: Connection) -> Known:
    if not connection.execute(update(VERSIONS).values(version=VERSIONS.c.version + 1)).rowcount:
        connection.execute(insert(VERSIONS).values(tenant=EVERYONE, version=1))
    return known(connection)
