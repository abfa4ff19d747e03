"""Tables of releases: manifests, and parts stored once by their hash (encrypted)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_absent, insert_if_absent

META = MetaData()

RELEASES = Table(
    "releases",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("hash", Text, nullable=False),  # SHA-256 of the manifest, in hex
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("by", Text, nullable=False),
    Column("manifest", Text, nullable=False),  # names and hashes
)
BY_HASH = Index("releases_hash", RELEASES.c.tenant, RELEASES.c.project, RELEASES.c.hash, unique=True)

PARTS = Table(
    "release_parts",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),  # SHA-256 of its meaning, in hex
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_VERSION = Index(
    "release_parts_version",
    PARTS.c.tenant,
    PARTS.c.project,
    PARTS.c.kind,
    PARTS.c.name,
    PARTS.c.version,
    unique=True,
)

SCHEMA = Migrations(
    "releases", ((CreateTable(RELEASES), CreateTable(PARTS), CreateIndex(BY_HASH), CreateIndex(BY_VERSION)),)
)
SEALED = EncryptedTable(PARTS, ("project", "kind", "name", "version"))

MAX_LISTED = 1_000


class ReleaseRow(Struct, frozen=True):
    """`created`: unix ms; `by`: the id of the user or key that saved it; `manifest`: JSON."""

    hash: str
    created: int
    by: str
    manifest: str


class PartRow(Struct, frozen=True):
    kind: str
    name: str
    version: str
    sealed: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.name, self.version


def insert_release(
    connection: Connection,
    tenant: str,
    project: str,
    release: ReleaseRow,
    parts: Iterable[PartRow],
    audit_event: AuditEvent,
) -> bool:
    """False, and nothing is written, if the release exists. Parts that exist are left as they are."""
    if find_releases(connection, tenant, project, release.hash):
        return False
    row = {name: getattr(release, name) for name in ReleaseRow.__struct_fields__}
    if not insert_if_absent(connection, RELEASES, {"tenant": tenant, "project": project, **row}):
        return False
    where = {"tenant": tenant, "project": project}
    names = PartRow.__struct_fields__
    new = [{name: getattr(each, name) for name in names} | where | {"bytes": len(each.sealed)} for each in parts]
    insert_absent(connection, PARTS, new)
    audit.append_event(connection, audit_event)
    return True


def find_releases(connection: Connection, tenant: str, project: str, prefix: str) -> list[ReleaseRow]:
    """At most two whose hash begins with `prefix`, which is hex."""
    return _list(connection, tenant, project, 2, prefix)


def list_releases(connection: Connection, tenant: str, project: str, limit: int) -> list[ReleaseRow]:
    """Newest first."""
    return _list(connection, tenant, project, limit, "")


def _list(connection: Connection, tenant: str, project: str, limit: int, prefix: str) -> list[ReleaseRow]:
    its = RELEASES.c
    query = select(*(its[name] for name in ReleaseRow.__struct_fields__)).where(
        its.tenant == tenant, its.project == project
    )
    if prefix:
        query = query.where(its.hash >= prefix, its.hash < f"{prefix}g")
    found = connection.execute(query.order_by(its.number.desc()).limit(min(limit, MAX_LISTED)))
    return [ReleaseRow(*row) for row in found]


def find_part(connection: Connection, tenant: str, project: str, kind: str, name: str, version: str) -> bytes | None:
    its = PARTS.c
    mine = (its.tenant == tenant) & (its.project == project)
    same = (its.kind == kind) & (its.name == name) & (its.version == version)
    return connection.scalar(select(its.sealed).where(mine & same))
