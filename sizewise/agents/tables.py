"""Table of agent memories; the text and the subject are encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, func, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
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
        Column("whose", Text, nullable=False),  # a hash, since an id may be an email address
        Column("id", Text, nullable=False),
        Column("created", BIG_INTEGER, nullable=False),  # unix ms
        Column("bytes", BIG_INTEGER, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
    ]


MEMORIES_V1 = Table("memories", MetaData(), *_first())
MEMORIES = Table("memories", META, *_first(), *caller_columns())
BY_ID = Index("memories_id", MEMORIES.c.tenant, MEMORIES.c.project, MEMORIES.c.id, unique=True)
BY_WHOSE = Index("memories_whose", MEMORIES.c.tenant, MEMORIES.c.project, MEMORIES.c.whose, MEMORIES.c.created)
BY_AGE = Index("memories_age", MEMORIES.c.created, MEMORIES.c.bytes)

SCHEMA = Migrations(
    "agents",
    (
        (CreateTable(MEMORIES_V1), CreateIndex(BY_ID), CreateIndex(BY_WHOSE), CreateIndex(BY_AGE)),
        caller_migration(caller_index(MEMORIES)),
    ),
)
PERSONAL = PersonalTable("memories", MEMORIES, MEMORIES.c.number, subject=MEMORIES.c.whose)
SEALED = EncryptedTable(MEMORIES, ("project", "id"))


class MemoryRow(Struct, frozen=True):
    tenant: str
    project: str
    whose: str
    id: str
    created: int
    sealed: bytes
    caller: Caller = ANYBODY


MEMORY_COLUMNS = ("tenant", "project", "whose", "id", "created", "sealed")


def insert_memory(connection: Connection, memory: MemoryRow, max_memories: int) -> bool:
    """Inserts `memory` unless its id exists, and deletes the subject's oldest beyond `max_memories`; True if new."""
    its = MEMORIES.c
    mine = (its.tenant == memory.tenant) & (its.project == memory.project)
    if connection.scalar(select(its.number).where(mine & (its.id == memory.id))) is not None:
        return False
    values = {name: getattr(memory, name) for name in MEMORY_COLUMNS}
    connection.execute(insert(MEMORIES).values(**values, **memory.caller.values, bytes=len(memory.sealed)))
    theirs = mine & (its.whose == memory.whose)
    over = (connection.scalar(select(func.count()).select_from(MEMORIES).where(theirs)) or 0) - max_memories
    if over > 0:
        oldest = select(its.number).where(theirs).order_by(its.created, its.number).limit(over)
        connection.execute(delete(MEMORIES).where(its.number.in_([row.number for row in connection.execute(oldest)])))
    return True


def list_memories(connection: Connection, tenant: str, project: str, subject: str, limit: int) -> list[MemoryRow]:
    """Newest first."""
    its = MEMORIES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.whose == subject)
    columns = [its[name] for name in MEMORY_COLUMNS]
    query = select(*columns).where(mine).order_by(its.created.desc(), its.number.desc()).limit(limit)
    return [MemoryRow(*row) for row in connection.execute(query)]


def list_projects(connection: Connection, tenant: str) -> list[str]:
    """Projects that have memories."""
    return list(connection.scalars(select(MEMORIES.c.project).where(MEMORIES.c.tenant == tenant).distinct()))


def delete_memories(
    connection: Connection,
    tenant: str,
    project: str,
    subject: str,
    ids: Sequence[str],
    audit_event: AuditEvent | None = None,
) -> int:
    """Deletes memories and returns their number; `audit_event` is appended if there were any."""
    its = MEMORIES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.whose == subject) & its.id.in_(ids)
    count = connection.execute(delete(MEMORIES).where(mine)).rowcount
    if audit_event is not None and count:
        audit.append_event(connection, audit_event)
    return count
