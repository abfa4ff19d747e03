"""The table of memories: whose, since when and how large; what is remembered, and of whom, lies in it sealed only."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, func, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import Deed
from sizewise.storage.database import BIG, Schema
from sizewise.storage.keys.tables import SealedTable

META = MetaData()

MEMORIES = Table(
    "memories",
    META,
    Column("number", BIG, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("whose", Text, nullable=False),  # a hash: an id may be somebody's address
    Column("id", Text, nullable=False),
    Column("created", BIG, nullable=False),  # unix ms
    Column("bytes", BIG, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_ID = Index("memories_id", MEMORIES.c.tenant, MEMORIES.c.project, MEMORIES.c.id, unique=True)
BY_WHOSE = Index("memories_whose", MEMORIES.c.tenant, MEMORIES.c.project, MEMORIES.c.whose, MEMORIES.c.created)
BY_AGE = Index("memories_age", MEMORIES.c.created, MEMORIES.c.bytes)

SCHEMA = Schema("agents", ((CreateTable(MEMORIES), CreateIndex(BY_ID), CreateIndex(BY_WHOSE), CreateIndex(BY_AGE)),))
SEALED = SealedTable(MEMORIES, ("project", "id"))


class Row(Struct, frozen=True):
    tenant: str
    project: str
    whose: str
    id: str
    created: int
    sealed: bytes


def add(connection: Connection, row: Row, most: int) -> bool:
    """Whether it is new: the same id is remembered once. The oldest of `whose` go beyond `most`."""
    its = MEMORIES.c
    mine = (its.tenant == row.tenant) & (its.project == row.project)
    if connection.scalar(select(its.number).where(mine & (its.id == row.id))) is not None:
        return False
    values = {name: getattr(row, name) for name in Row.__struct_fields__}
    connection.execute(insert(MEMORIES).values(**values, bytes=len(row.sealed)))
    theirs = mine & (its.whose == row.whose)
    over = (connection.scalar(select(func.count()).select_from(MEMORIES).where(theirs)) or 0) - most
    if over > 0:
        oldest = select(its.number).where(theirs).order_by(its.created, its.number).limit(over)
        connection.execute(delete(MEMORIES).where(its.number.in_([row.number for row in connection.execute(oldest)])))
    return True


def of(connection: Connection, tenant: str, project: str, whose: str, limit: int) -> list[Row]:
    """The newest first."""
    its = MEMORIES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.whose == whose)
    columns = [its[name] for name in Row.__struct_fields__]
    query = select(*columns).where(mine).order_by(its.created.desc(), its.number.desc()).limit(limit)
    return [Row(*row) for row in connection.execute(query)]


def newest(connection: Connection) -> bytes | None:
    """What was sealed last, of anybody's."""
    return connection.scalar(select(MEMORIES.c.sealed).order_by(MEMORIES.c.number.desc()).limit(1))


def remove(
    connection: Connection, tenant: str, project: str, whose: str, ids: Sequence[str], told: Deed | None = None
) -> int:
    """How many there were; `told` is the trail's line, where there were any."""
    its = MEMORIES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.whose == whose) & its.id.in_(ids)
    count = connection.execute(delete(MEMORIES).where(mine)).rowcount
    if told is not None and count:
        audit.add(connection, told)
    return count
