"""The table of unfinished background responses: tenant, project and status in clear, the request encrypted."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.database import UnitOfWork
from sizewise.storage.database_clock import clock_ms
from sizewise.storage.erasure import CALLER_KEY, CALLER_USER, Caller, PersonalTable, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
BACKGROUND = Table(
    "background_responses",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("server", Text, nullable=False),  # the process that runs it, or is to
    Column(
        "seen", BIG_INTEGER, nullable=False
    ),  # when that process was last there, in unix ms by the clock of the database
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    *caller_columns(),
)
BY_ID = Index("background_responses_id", BACKGROUND.c.tenant, BACKGROUND.c.id, unique=True)
SCHEMA = Migrations(
    "background_responses",
    ((CreateTable(BACKGROUND), CreateIndex(BY_ID), CreateIndex(caller_index(BACKGROUND))),),
)
PERSONAL = PersonalTable("unfinished background responses", BACKGROUND, BACKGROUND.c.number)
SEALED = EncryptedTable(BACKGROUND, ("project", "id"))

BackgroundStatus = Literal["queued", "in_progress", "cancelling"]
"""`in_progress` is stored before the model is called: whatever is found so after a crash may have been paid for."""


class BackgroundRow(Struct, frozen=True):
    """One unfinished response. `created`: unix ms."""

    tenant: str
    project: str
    id: str
    created: int
    caller: Caller
    status: BackgroundStatus = "queued"
    server: str = ""


def insert_row(connection: Connection, row: BackgroundRow, ciphertext: bytes, max_rows: int) -> bool:
    """False if its tenant has `max_rows` already; on Postgres, servers that insert at once may exceed it by a few."""
    if (connection.scalar(select(func.count()).where(BACKGROUND.c.tenant == row.tenant)) or 0) >= max_rows:
        return False
    named = {"tenant": row.tenant, "project": row.project, "id": row.id, "status": row.status, "server": row.server}
    sized = {"seen": clock_ms(), "created": row.created, "bytes": len(ciphertext), "sealed": ciphertext}
    connection.execute(insert(BACKGROUND).values(**named, **sized, **row.caller.values))
    return True


def find_row(connection: Connection, tenant: str, project: str, id: str) -> tuple[BackgroundRow, bytes] | None:
    its = BACKGROUND.c
    mine = (its.tenant == tenant) & (its.project == project) & (its.id == id)
    found = connection.execute(select(BACKGROUND).where(mine)).one_or_none()
    return None if found is None else (_row(found), found.sealed)


def change_status(
    connection: Connection, row: BackgroundRow, before: BackgroundStatus, after: BackgroundStatus
) -> bool:
    """Whether the row of this server had the status `before`, and now has `after`."""
    mine = _is(row) & (BACKGROUND.c.status == before) & (BACKGROUND.c.server == row.server)
    return connection.execute(update(BACKGROUND).where(mine).values(status=after, seen=clock_ms())).rowcount > 0


def claim_row(connection: Connection, row: BackgroundRow, also: UnitOfWork[None]) -> bool:
    """Whether it was queued, and is in progress now, with `also` done in the same transaction."""
    if not change_status(connection, row, "queued", "in_progress"):
        return False
    also(connection)
    return True


def ask_to_cancel(connection: Connection, row: BackgroundRow) -> None:
    """Leaves it to the server that runs it."""
    mine = _is(row) & (BACKGROUND.c.status == "in_progress")
    connection.execute(update(BACKGROUND).where(mine).values(status="cancelling"))


def delete_row(connection: Connection, row: BackgroundRow, *statuses: BackgroundStatus) -> bool:
    """Whether it existed, with one of `statuses` if there are any."""
    mine = _is(row)
    if statuses:
        mine &= BACKGROUND.c.status.in_(statuses)
    return connection.execute(delete(BACKGROUND).where(mine)).rowcount > 0


def take_orphans(connection: Connection, server: str, silent_ms: int) -> list[BackgroundRow]:
    """Rows whose server was not seen for `silent_ms`, oldest first; they are this server's now."""
    its = BACKGROUND.c
    lost = (its.server != server) & (its.seen < clock_ms() - silent_ms)
    rows = [_row(each) for each in connection.execute(select(BACKGROUND).where(lost).order_by(its.number))]
    if rows:
        connection.execute(update(BACKGROUND).where(lost).values(server=server, seen=clock_ms()))
    return [replace(row, server=server) for row in rows]


def renew(connection: Connection, server: str) -> dict[str, str]:
    """Marks the rows of `server` as seen; returns their status by id."""
    mine = BACKGROUND.c.server == server
    connection.execute(update(BACKGROUND).where(mine).values(seen=clock_ms()))
    return {row.id: row.status for row in connection.execute(select(BACKGROUND.c.id, BACKGROUND.c.status).where(mine))}


def _is(row: BackgroundRow) -> ColumnElement[bool]:
    its = BACKGROUND.c
    return (its.tenant == row.tenant) & (its.project == row.project) & (its.id == row.id)


def _row(found: object) -> BackgroundRow:
    values = found._mapping  # type: ignore[attr-defined]  # a Row of this table
    caller = Caller(values[CALLER_KEY], values[CALLER_USER])
    named = {name: values[name] for name in ("tenant", "project", "id", "created", "status", "server")}
    return BackgroundRow(**named, caller=caller)
