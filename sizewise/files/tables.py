"""Tables of uploaded files and their parts: purpose, size and times in clear, names and contents encrypted.

A file is `uploading`, then `ready`, then `deleted` until its parts are gone; only a ready one is ever seen. So whatever
dies in between leaves nothing that looks like a file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.erasure import Caller, PersonalTable, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.row_pages import RowPage, in_page_order, page_query

META = MetaData()
FILES_NAME, PARTS_NAME = "files", "file_parts"
"""Ciphertexts are bound to them."""
FILES = Table(
    FILES_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),  # unix ms, like the next two
    Column("touched", BIG_INTEGER, nullable=False),  # when the last part arrived
    Column("expires", BIG_INTEGER),  # null: when the retention ends
    Column("size", BIG_INTEGER, nullable=False),  # bytes of the content, so far
    Column("bytes", BIG_INTEGER, nullable=False),  # of `sealed`
    Column("sealed", LargeBinary, nullable=False),
    *caller_columns(),
)
PARTS = Table(
    PARTS_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("part", Integer, nullable=False),  # from 0
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_ID = Index("files_id", FILES.c.id, unique=True)
BY_PROJECT = Index("files_project", FILES.c.tenant, FILES.c.project, FILES.c.number)
BY_SIZE = Index("files_size", FILES.c.tenant, FILES.c.size)
BY_PART = Index("file_parts_part", PARTS.c.file, PARTS.c.part, unique=True)

SCHEMA = Migrations(
    "files",
    (
        (
            *(CreateTable(table) for table in (FILES, PARTS)),
            *(CreateIndex(each) for each in (BY_ID, BY_PROJECT, BY_SIZE, BY_PART, caller_index(FILES))),
        ),
    ),
)
PERSONAL = PersonalTable("files", FILES, FILES.c.id, parts=(PARTS.c.file,), batch_rows=1)
SEALED = (EncryptedTable(FILES, ("project", "id")), EncryptedTable(PARTS, ("file", "part")))

FileState = Literal["uploading", "ready", "deleted"]
PARTS_PER_TRANSACTION = 16
"""Parts deleted at once: 16 MB, some ten milliseconds of lock."""


class FileRow(Struct, frozen=True):
    """One row of FILES. `sealed` holds the name."""

    number: int
    id: str
    purpose: str
    created: int
    expires: int | None
    size: int
    sealed: bytes


class StoredBytes(Struct, frozen=True):
    """All files of an organization, with those that are still arriving."""

    files: int
    bytes: int


RoomCheck = Callable[[StoredBytes], None]
"""Raises if an organization that has so much may not have more."""
_ROW = tuple(FILES.c[name] for name in FileRow.__struct_fields__)


def usage(connection: Connection, tenant: str) -> StoredBytes:
    its = FILES.c
    query = select(func.count(), func.coalesce(func.sum(its.size), 0)).where(its.tenant == tenant)
    count, size = connection.execute(query).one()
    return StoredBytes(count, int(size))


def insert_upload(
    connection: Connection,
    tenant: str,
    project: str,
    id: str,
    now: int,
    sealed: bytes,
    caller: Caller,
    check: RoomCheck,
) -> None:
    check(usage(connection, tenant))
    row = {"tenant": tenant, "project": project, "id": id, "purpose": "", "state": "uploading", **caller.values}
    times = {"created": now, "touched": now, "expires": None, "size": 0}
    connection.execute(insert(FILES).values(**row, **times, bytes=len(sealed), sealed=sealed))


def append_part(
    connection: Connection, tenant: str, id: str, part: int, size: int, now: int, sealed: bytes, check: RoomCheck
) -> bool:
    """`size`: bytes of this part's content. False if the upload is no more."""
    check(usage(connection, tenant))
    its = FILES.c
    grown = update(FILES).where((its.id == id) & (its.state == "uploading"))
    if not connection.execute(grown.values(size=its.size + size, touched=now)).rowcount:
        return False
    row = {"tenant": tenant, "file": id, "part": part, "bytes": len(sealed), "sealed": sealed}
    connection.execute(insert(PARTS).values(**row))
    return True


def mark_ready(connection: Connection, id: str, purpose: str, expires: int | None) -> FileRow | None:
    """From now on the file is there. None if the upload is no more."""
    its = FILES.c
    done = update(FILES).where((its.id == id) & (its.state == "uploading"))
    if not connection.execute(done.values(state="ready", purpose=purpose, expires=expires)).rowcount:
        return None
    return FileRow(*connection.execute(select(*_ROW).where(its.id == id)).one())


def _visible(tenant: str, project: str, now: int, oldest: int) -> ColumnElement[bool]:
    """`oldest`: creation time before which the retention has ended."""
    its = FILES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.state == "ready")
    return mine & func.coalesce(its.expires > now, its.created > oldest)


def find_file(connection: Connection, tenant: str, project: str, id: str, now: int, oldest: int) -> FileRow | None:
    query = select(*_ROW).where(_visible(tenant, project, now, oldest) & (FILES.c.id == id))
    found = connection.execute(query).one_or_none()
    return None if found is None else FileRow(*found)


def list_files(
    connection: Connection, tenant: str, project: str, now: int, oldest: int, *, purpose: str, page: RowPage
) -> list[FileRow]:
    """`purpose`: empty for all."""
    where = _visible(tenant, project, now, oldest)
    if purpose:
        where &= FILES.c.purpose == purpose
    found = connection.execute(page_query(select(*_ROW).where(where), FILES.c.number, page))
    return in_page_order([FileRow(*each) for each in found], page)


def read_part(connection: Connection, id: str, part: int) -> bytes | None:
    its = PARTS.c
    return connection.scalar(select(its.sealed).where((its.file == id) & (its.part == part)))


def mark_deleted(connection: Connection, tenant: str, project: str, id: str) -> bool:
    """The file is no longer seen. Whether it was there."""
    its = FILES.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.id == id) & (its.state != "deleted")
    return connection.execute(update(FILES).where(mine).values(state="deleted")).rowcount > 0


def delete_parts(connection: Connection, id: str) -> bool:
    """Some parts of a file, or with the last of them the file. True if more is left."""
    its = PARTS.c
    some = select(its.number).where(its.file == id).limit(PARTS_PER_TRANSACTION)
    numbers: list[Any] = list(connection.scalars(some))
    if numbers:
        connection.execute(delete(PARTS).where(its.number.in_(numbers)))
    if len(numbers) == PARTS_PER_TRANSACTION:
        return True
    connection.execute(delete(FILES).where(FILES.c.id == id))
    return False


UPLOAD_IDLE_MS = 15 * 60_000
"""An upload that is not touched for so long died with its server."""


class FileRetention:
    """Maintenance task of the batch writer."""

    def __init__(self, retention_ms: int) -> None:
        """`retention_ms`: of a file without an expiry; 0: for ever."""
        self._retention_ms = retention_ms

    def __call__(self, connection: Connection) -> bool:
        """Deletes some parts of one file; True if there may be more."""
        its, now = FILES.c, time.time_ns() // 1_000_000
        dead = [
            its.state == "deleted",
            (its.state == "uploading") & (its.touched < now - UPLOAD_IDLE_MS),
            its.expires <= now,
        ]
        if self._retention_ms:
            dead.append(its.expires.is_(None) & (its.created <= now - self._retention_ms))
        id = connection.scalar(select(its.id).where(or_(*dead)).limit(1))
        if id is None:
            return False
        connection.execute(update(FILES).where(its.id == id).values(state="deleted"))
        delete_parts(connection, id)
        return True
