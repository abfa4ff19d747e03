"""Table of drafts (encrypted), one per user and flow."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, func, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.erasure import PersonalTable
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
Transaction = Connection
"""Name of a connection for callers that write no SQL."""
DRAFTS = Table(
    "flow_drafts",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("base_version", Text, nullable=False),  # the version that the draft began with; empty: a new flow
    Column("saved", BIG_INTEGER, nullable=False),  # unix ms; greater with each save
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_USER = Index("flow_drafts_user", DRAFTS.c.tenant, DRAFTS.c.project, DRAFTS.c.name, DRAFTS.c.user, unique=True)
SCHEMA = Migrations("flow_drafts", ((CreateTable(DRAFTS), CreateIndex(BY_USER)),))
SEALED = EncryptedTable(DRAFTS, ("project", "name", "user"))
PERSONAL = PersonalTable("drafts of flows", DRAFTS, DRAFTS.c.number, user=DRAFTS.c.user)


class FlowDraft(Struct, frozen=True):
    """`saved`: unix ms. `base_version`: the published version that it began with; empty: none."""

    tenant: str
    project: str
    name: str
    user: str
    base_version: str
    saved: int


def _mine(draft: FlowDraft) -> ColumnElement[bool]:
    its = DRAFTS.c
    return (
        (its.tenant == draft.tenant)
        & (its.project == draft.project)
        & (its.name == draft.name)
        & (its.user == draft.user)
    )


def list_drafts(connection: Connection, tenant: str, project: str) -> list[FlowDraft]:
    """Newest first."""
    its = DRAFTS.c
    query = select(*(its[name] for name in FlowDraft.__struct_fields__))
    mine = (its.tenant == tenant) & (its.project == project)
    return [FlowDraft(*row) for row in connection.execute(query.where(mine).order_by(its.saved.desc(), its.number))]


def find_draft(connection: Connection, draft: FlowDraft) -> tuple[FlowDraft, bytes] | None:
    """With its ciphertext. `draft`: where it is; the rest is not read."""
    query = select(*(DRAFTS.c[name] for name in FlowDraft.__struct_fields__), DRAFTS.c.sealed)
    row = connection.execute(query.where(_mine(draft))).first()
    return None if row is None else (FlowDraft(*row[:-1]), row[-1])


def count_drafts(connection: Connection, tenant: str, user: str) -> int:
    its = DRAFTS.c
    return (
        connection.scalar(select(func.count()).select_from(DRAFTS).where((its.tenant == tenant) & (its.user == user)))
        or 0
    )


def replace_draft(connection: Connection, draft: FlowDraft, sealed: bytes) -> None:
    connection.execute(delete(DRAFTS).where(_mine(draft)))
    row = {name: getattr(draft, name) for name in FlowDraft.__struct_fields__}
    connection.execute(insert(DRAFTS).values(**row, bytes=len(sealed), sealed=sealed))


def delete_draft(connection: Connection, draft: FlowDraft) -> bool:
    return bool(connection.execute(delete(DRAFTS).where(_mine(draft))).rowcount)
