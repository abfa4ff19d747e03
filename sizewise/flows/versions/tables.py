"""Tables of flow versions (encrypted) and of the history of published versions."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, func, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.errors import Conflict
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.storage.database import migration_statement
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent

META = MetaData()

VERSIONS = Table(
    "flow_versions",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),  # SHA-256 of the flow's content, in hex
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("by", Text, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_VERSION = Index(
    "flow_versions_version",
    VERSIONS.c.tenant,
    VERSIONS.c.project,
    VERSIONS.c.name,
    VERSIONS.c.version,
    unique=True,
)


def _first_published() -> list[Column[Any]]:
    """The columns of version 1."""
    return [
        Column("number", BIG_INTEGER, primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("project", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("version", Text, nullable=False),  # empty: unpublished
        Column("at", BIG_INTEGER, nullable=False),  # unix ms
        Column("key", Text, nullable=False),  # the id of the key or session that published it
        Column("user", Text, nullable=False),
    ]


PUBLISHED = Table("flow_published", META, *_first_published(), Column("note", Text, nullable=False, server_default=""))
BY_NAME = Index("flow_published_name", PUBLISHED.c.tenant, PUBLISHED.c.project, PUBLISHED.c.name, PUBLISHED.c.number)

SCHEMA = Migrations(
    "flow_versions",
    (
        (
            CreateTable(VERSIONS),
            CreateTable(Table("flow_published", MetaData(), *_first_published())),
            CreateIndex(BY_VERSION),
            CreateIndex(BY_NAME),
        ),
        (migration_statement("ALTER TABLE flow_published ADD COLUMN note TEXT NOT NULL DEFAULT ''"),),
    ),
)
SEALED = EncryptedTable(VERSIONS, ("project", "name", "version"))


class FlowVersion(Struct, frozen=True):
    """`created`: unix ms; `by`: the id of the user or key that saved it."""

    name: str
    version: str
    created: int
    by: str


class FlowPublication(Struct, frozen=True):
    """That `version` became live `at` (unix ms). `by`: the id of a user or key; `note`: what they said of it."""

    version: str
    at: int
    by: str
    note: str


def insert_version(
    connection: Connection,
    tenant: str,
    project: str,
    version: FlowVersion,
    sealed: bytes,
    audit_event: AuditEvent,
) -> bool:
    """False, and nothing is written, if the version exists."""
    row = {name: getattr(version, name) for name in FlowVersion.__struct_fields__}
    whole = {"tenant": tenant, "project": project, **row, "bytes": len(sealed), "sealed": sealed}
    if not insert_if_absent(connection, VERSIONS, whole):
        return False
    audit.append_event(connection, audit_event)
    return True


def find_version(connection: Connection, tenant: str, project: str, name: str, version: str) -> bytes | None:
    its = VERSIONS.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.name == name) & (its.version == version)
    return connection.scalar(select(its.sealed).where(mine))


def list_versions(connection: Connection, tenant: str, project: str, name: str, limit: int) -> list[FlowVersion]:
    """Newest first."""
    its = VERSIONS.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.name == name)
    query = select(its.name, its.version, its.created, its.by).where(mine).order_by(its.number.desc()).limit(limit)
    return [FlowVersion(*row) for row in connection.execute(query)]


def insert_published(
    connection: Connection,
    published: PublishedFlow,
    audit_event: AuditEvent,
    expected: str | None = None,
    note: str = "",
) -> list[PublishedFlow]:
    """Publishes a flow instead of its current version; an empty version unpublishes it. Returns all published flows.

    `expected`: the version to replace; empty: there is none. Raises Conflict if it is another.
    """
    audit.append_event(connection, audit_event)  # first: whoever writes the same chain waits here for our end
    if expected is not None:
        current = list_published(connection, published.tenant, published.project, published.name)
        require_version(published.name, current[0].version if current else "", expected)
    row = {name: getattr(published, name) for name in PublishedFlow.__struct_fields__}
    connection.execute(insert(PUBLISHED).values({**row, "note": note}))
    return list_published(connection)


def list_publications(
    connection: Connection, tenant: str, project: str, name: str, limit: int
) -> list[FlowPublication]:
    """Newest first."""
    its = PUBLISHED.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.name == name) & (its.version != "")
    query = select(its.version, its.at, its.user, its.key, its.note).where(mine).order_by(its.number.desc())
    return [
        FlowPublication(version, at, user or key, note)
        for version, at, user, key, note in connection.execute(query.limit(limit))
    ]


def require_version(name: str, current: str, expected: str) -> None:
    """Raises Conflict."""
    if current != expected:
        now = f"version {current[:12]}" if current else "not published"
        raise Conflict(
            f"the flow {name!r} was changed meanwhile: it is {now}",
            "compare it with yours, and publish again with that version as expectedVersion",
        )


def list_published(connection: Connection, tenant: str = "", project: str = "", name: str = "") -> list[PublishedFlow]:
    """Published flows; empty arguments do not filter."""
    its = PUBLISHED.c
    newest = select(func.max(its.number)).group_by(its.tenant, its.project, its.name)
    query = select(*(its[each] for each in PublishedFlow.__struct_fields__)).where(
        its.number.in_(newest),
        its.version != "",
    )
    for column, wanted in ((its.tenant, tenant), (its.project, project), (its.name, name)):
        if wanted:
            query = query.where(column == wanted)
    return [PublishedFlow(*row) for row in connection.execute(query.order_by(its.tenant, its.project, its.name))]
