"""The stored response table: tenant, project and size in clear, contents encrypted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Index, LargeBinary, MetaData, Table, Text, delete, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.database import UnitOfWork
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
        Column("id", Text, nullable=False),
        Column("created", BIG_INTEGER, nullable=False),  # unix ms
        Column("bytes", BIG_INTEGER, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
    ]


RESPONSES_V1 = Table("responses", MetaData(), *_first())
RESPONSES = Table("responses", META, *_first(), *caller_columns())
BY_ID = Index("responses_id", RESPONSES.c.tenant, RESPONSES.c.id, unique=True)
BY_AGE = Index("responses_age", RESPONSES.c.created, RESPONSES.c.bytes)

SCHEMA = Migrations(
    "conversations",
    ((CreateTable(RESPONSES_V1), CreateIndex(BY_ID), CreateIndex(BY_AGE)), caller_migration(caller_index(RESPONSES))),
)
PERSONAL = PersonalTable("stored responses", RESPONSES, RESPONSES.c.number)
SEALED = EncryptedTable(RESPONSES, ("project", "id"))


def insert_response(
    connection: Connection,
    tenant: str,
    project: str,
    id: str,
    created: int,
    ciphertext: bytes,
    caller: Caller = ANYBODY,
    only_if: UnitOfWork[bool] | None = None,
) -> bool:
    """False if `only_if`, done first, says so. Raises Conflict (when the transaction commits) if the tenant has a
    response with this id.
    """
    if only_if is not None and not only_if(connection):
        return False
    row = {"tenant": tenant, "project": project, "id": id, **caller.values}
    connection.execute(insert(RESPONSES).values(**row, created=created, bytes=len(ciphertext), sealed=ciphertext))
    return True


def find_response(connection: Connection, tenant: str, project: str, id: str, since: int) -> tuple[int, bytes] | None:
    """Creation time and ciphertext; None if the project has no such response created after `since`."""
    its = RESPONSES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.id == id) & (its.created > since)
    found = connection.execute(select(its.created, its.sealed).where(mine)).one_or_none()
    return None if found is None else (found.created, found.sealed)


def list_responses(
    connection: Connection, tenant: str, project: str, since: int, until: int, limit: int
) -> list[tuple[str, int, bytes]]:
    """(id, creation time, ciphertext) of the project's responses created from `since` to `until`, newest first."""
    its = RESPONSES.c
    mine = (its.tenant == tenant) & (its.project == project) & its.created.between(since, until)
    query = select(its.id, its.created, its.sealed).where(mine).order_by(its.number.desc()).limit(limit)
    return [(each[0], each[1], each[2]) for each in connection.execute(query)]


def delete_response(connection: Connection, tenant: str, project: str, id: str) -> bool:
    """Whether it existed."""
    its = RESPONSES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.id == id)
    return connection.execute(delete(RESPONSES).where(mine)).rowcount > 0
