"""Tables of releases for edges: a gateway's keys that sign (encrypted), and what a machine made of the last offer."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    select,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent, upsert

META = MetaData()
SIGNING_KEYS = Table(
    "edge_signing_keys",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_PROJECT = Index("edge_signing_keys_project", SIGNING_KEYS.c.tenant, SIGNING_KEYS.c.project, unique=True)
TAKEN = Table(
    "edge_offers",
    META,
    Column("tenant", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("release", Text, nullable=False),
    Column("since", BIG_INTEGER, nullable=False),  # unix ms
    Column("refused", Text, nullable=False),
)
SCHEMA = Migrations("edge_releases", ((CreateTable(SIGNING_KEYS), CreateIndex(BY_PROJECT), CreateTable(TAKEN)),))
SEALED = EncryptedTable(SIGNING_KEYS, ("project",))

Place = tuple[str, str, str]


class HandledOffer(Struct, frozen=True):
    """The last offer that was taken or refused. `refused`: why; empty: it was taken."""

    release: str
    since: int
    refused: str = ""


def find_key(connection: Connection, tenant: str, project: str) -> bytes | None:
    """Sealed."""
    its = SIGNING_KEYS.c
    return connection.scalar(select(its.sealed).where(its.tenant == tenant, its.project == project))


def insert_key(connection: Connection, tenant: str, project: str, sealed: bytes, now: int) -> bytes:
    """What is stored then: this key, or the one of whoever was first. `now`: unix ms."""
    row = {"tenant": tenant, "project": project, "created": now, "bytes": len(sealed), "sealed": sealed}
    insert_if_absent(connection, SIGNING_KEYS, row)
    return find_key(connection, tenant, project) or sealed


def find_handled(connection: Connection, place: Place) -> HandledOffer | None:
    its = TAKEN.c
    row = connection.execute(select(its.release, its.since, its.refused).where(_at(place))).first()
    return None if row is None else HandledOffer(*row)


def store_handled(connection: Connection, place: Place, handled: HandledOffer) -> None:
    values = {name: getattr(handled, name) for name in HandledOffer.__struct_fields__}
    tenant, project, environment = place
    upsert(connection, TAKEN, {"tenant": tenant, "project": project, "environment": environment}, values)


def _at(place: Place) -> ColumnElement[bool]:
    tenant, project, environment = place
    return (TAKEN.c.tenant == tenant) & (TAKEN.c.project == project) & (TAKEN.c.environment == environment)
