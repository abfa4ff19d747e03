"""Erasure of what was stored for one person or key: finds rows, deletes and overwrites them; knows no table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Connection, Index, Table, Text, delete, false, or_, select, update
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.database import TransactionRunner, migration_statement, overwriting_deleted
from sizewise.storage.migrations import MigrationStep

BATCH_ROWS = 500
"""Rows per transaction, some milliseconds of lock."""
CALLER_KEY, CALLER_USER = "caller_key", "caller_user"
SCRUB_TABLE = "erased_pages"
SCRUB_PAGES = 256
"""Free pages per transaction: 1 MB."""


RowId = int | str


class Caller(Struct, frozen=True):
    """Ids of the key or session, and of its user, by which a row was stored; empty in rows of older releases."""

    key: str = ""
    user: str = ""

    @property
    def values(self) -> dict[str, str]:
        return {CALLER_KEY: self.key, CALLER_USER: self.user}


ANYBODY = Caller()


class DataSubject(Struct, frozen=True):
    """A person: `user`, and the ids of their keys and sessions, past ones too. Or a key: its id alone, without a user.
    `subjects`: their names in the memories of agents. Or what clients name: `conversations`, or hashes of `end_users`.
    """

    tenant: str
    user: str = ""
    keys: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    end_users: tuple[str, ...] = ()


def caller_columns() -> list[Column[str]]:
    """For a table whose rows belong to a project, so that those of one caller can be found."""
    return [Column(name, Text, nullable=False, server_default="") for name in (CALLER_KEY, CALLER_USER)]


def caller_index(table: Table) -> Index:
    """Without it, finding them reads past every encrypted value."""
    return Index(f"{table.name}_caller", table.c.tenant, table.c[CALLER_USER], table.c[CALLER_KEY])


def caller_migration(index: Index) -> MigrationStep:
    """The step that adds both to a table of version 1."""
    assert index.table is not None
    added = f"ALTER TABLE {index.table.name} ADD COLUMN {{}} TEXT NOT NULL DEFAULT ''"
    return (*(migration_statement(added.format(name)) for name in (CALLER_KEY, CALLER_USER)), CreateIndex(index))


@dataclass(frozen=True)
class PersonalTable:
    """A table with the column `tenant` whose rows belong to a person or a key. `label`: its rows, as users call them.

    `key`, `user`: the columns of the caller who stored a row; by default those of `caller_columns`. `about`: that of
    the key whose request it is about. `subject`: the column of the person whom it is about. `conversation`,
    `end_user`: of what clients name. `linked`: a column, and the one of a table with both that has the same value: its
    rows are found by those of that table. `parts`: columns of other tables that hold `id`, whose rows are deleted too.
    `batch_rows`: rows per transaction, few where a row has much below it. `emptied`: in place of the rows, this
    column's values are deleted. `before_delete`: given the ids, in the same transaction.
    """

    label: str
    table: Table
    id: Column[Any]
    key: Column[Any] | None = None
    user: Column[Any] | None = None
    about: Column[Any] | None = None
    subject: Column[Any] | None = None
    conversation: Column[Any] | None = None
    end_user: Column[Any] | None = None
    linked: tuple[Column[Any], Column[Any]] | None = None
    parts: tuple[Column[Any], ...] = ()
    batch_rows: int = BATCH_ROWS
    emptied: Column[str] | None = None
    before_delete: Callable[[Connection, Sequence[Any]], None] | None = None

    def find(self, connection: Connection, subject: DataSubject) -> list[RowId]:
        """The ids of the rows of `subject`."""
        mine = (self.table.c.tenant == subject.tenant) & or_(false(), *self._matches(subject))
        return list(connection.scalars(select(self.id).where(mine)))

    def delete(self, connection: Connection, tenant: str, ids: Sequence[RowId]) -> int:
        """Deletes and overwrites up to `batch_rows` rows, and returns their number."""
        with overwriting_deleted(connection):
            if self.before_delete is not None:
                self.before_delete(connection, ids)
            for part in self.parts:
                connection.execute(delete(part.table).where(part.in_(ids)))
            mine = (self.table.c.tenant == tenant) & self.id.in_(ids)
            if self.emptied is not None:
                return connection.execute(update(self.table).where(mine).values({self.emptied: ""})).rowcount
            return connection.execute(delete(self.table).where(mine)).rowcount

    def _matches(self, subject: DataSubject) -> list[ColumnElement[bool]]:
        key = self.table.c.get(CALLER_KEY) if self.key is None else self.key
        user = self.table.c.get(CALLER_USER) if self.user is None else self.user
        found: list[ColumnElement[bool]] = [key.in_(subject.keys)] if subject.keys and key is not None else []
        if subject.user and user is not None:
            found.append(user == subject.user)
        if subject.keys and self.about is not None:
            found.append(self.about.in_(subject.keys))
        if subject.subjects and self.subject is not None:
            found.append(self.subject.in_(subject.subjects))
        named = _named_by_clients(self.conversation, self.end_user, subject)
        if self.linked is None or not (subject.conversations or subject.end_users):
            return [*found, *named]
        own, other = self.linked
        its = other.table.c
        of_both = or_(false(), *_named_by_clients(its.session, its.end_user, subject))
        return [*found, *named, own.in_(select(other).where(its.tenant == subject.tenant, of_both))]


def _named_by_clients(
    conversation: Column[Any] | None, end_user: Column[Any] | None, subject: DataSubject
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if subject.conversations and conversation is not None:
        found.append(conversation.in_(subject.conversations))
    if subject.end_users and end_user is not None:
        found.append(end_user.in_(subject.end_users))
    return found


def overwrite_free_pages(write: TransactionRunner) -> None:
    """Overwrites the pages of SQLite's file that earlier deletions freed.

    They are taken into a table of zeros, and given back. Raises StorageError.
    """
    while write(_take_free_pages):
        pass
    while write(_give_back_pages):
        pass


def _take_free_pages(connection: Connection) -> bool:
    """False if there are none left."""
    if connection.dialect.name != "sqlite":
        return False
    connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {SCRUB_TABLE} (id INTEGER PRIMARY KEY, zeros BLOB)")
    free = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
    size = int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    if free:
        zeros = min(free, SCRUB_PAGES) * (size - 64)
        connection.exec_driver_sql(f"INSERT INTO {SCRUB_TABLE} (zeros) VALUES (zeroblob(?))", (zeros,))
    return free > 0


def _give_back_pages(connection: Connection) -> bool:
    """False if there are none left."""
    if connection.dialect.name != "sqlite":
        return False
    newest = f"SELECT max(id) FROM {SCRUB_TABLE}"
    if connection.exec_driver_sql(newest).scalar() is not None:
        connection.exec_driver_sql(f"DELETE FROM {SCRUB_TABLE} WHERE id = ({newest})")
        return True
    connection.exec_driver_sql(f"DROP TABLE {SCRUB_TABLE}")
    return False
