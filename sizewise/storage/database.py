"""Database connections and transactions for SQLite and Postgres; defines no tables.

SQLite by default (WAL, one writer), Postgres by URL; all queries are SQLAlchemy Core that both support. Driver errors
leave this file as StorageError (database unavailable: retry later) or Conflict (the row is not acceptable).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeVar

from sqlalchemy import (
    DDL,
    URL,
    Connection,
    Engine,
    PoolProxiedConnection,
    Table,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import ExecutableDDLElement

from sizewise.errors import ConfigError, Conflict, StorageError
from sizewise.storage.migrations import Migrations, apply_migrations, pending_migrations
from sizewise.storage.rows import RowValues

T = TypeVar("T")
UnitOfWork = Callable[[Connection], T]
"""Work on a connection that the caller opens and commits."""
PublishEvent = Callable[[str, Mapping[str, object], str], UnitOfWork[None]]
"""Called with an event, its data and its organization: the work that adds it in the transaction of what it reports."""
DatabaseUrl = str | URL

LOCK_TIMEOUT_MS = 5_000
"""How long a statement waits for a lock before StorageError."""
POSTGRES_GIVEN_UP: Mapping[str, str] = {
    "connect_timeout": "5",  # seconds, for each host of the URL
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
}
"""After some 10 s without a word of its machine a connection is lost: by itself the system waits 15 minutes."""
POSTGRES_GIVES_UP: Mapping[str, int] = {
    "idle_in_transaction_session_timeout": 5_000,  # milliseconds; a paused server still answers keepalives
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds; it was sending, so that its transaction is not idle
}
"""The same at its end: what a session of a lost or paused server holds, locks above all, other servers wait for."""

INSERT_BATCH_SIZES = (256, 128, 64, 32, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""Rows per INSERT. sqlite3 releases the interpreter lock at every statement, which under load costs more than the row:
block inserts made a saturated server a third faster (bench/gateway). 225 rows take four statements."""


READ_CACHE, WRITE_CACHE = "PRAGMA cache_size = -512", "PRAGMA cache_size = -2000"
"""Kilobytes of pages that a connection keeps. Reads of 400 MB took as long with 512 as with 2,000, which each one
of the pool filled sooner or later: a server held megabytes more after an hour.
"""
SECURE_DELETE = "PRAGMA secure_delete = FAST"
"""Deleted rows are overwritten where that takes no more I/O: in pages that stay in use."""
ROW_DOES_NOT_FIT = "a row does not match the table: {}"


def no_event(event: str, data: Mapping[str, object], tenant: str) -> UnitOfWork[None]:
    """Adds nothing."""
    return lambda connection: None


def with_event(work: UnitOfWork[T], event: UnitOfWork[None]) -> UnitOfWork[T]:
    """`work` and, unless it returns False, after it `event` in the same transaction."""

    def both(connection: Connection) -> T:
        done = work(connection)
        if done is not False:
            event(connection)
        return done

    return both


class TransactionRunner(Protocol):
    """Runs work in one transaction."""

    def __call__(self, work: UnitOfWork[T], /) -> T: ...


class AsyncTransactionRunner(Protocol):
    """Runs work in one transaction, in another thread."""

    def __call__(self, work: UnitOfWork[T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class RowStatement:
    """An INSERT or DELETE of one row, and of batches of rows, largest first."""

    single: str
    batches: tuple[tuple[int, str], ...]


class Database:
    """A pool of connections. Reads run concurrently; writers take turns."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._immediate_engine = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._read_engine = engine  # where SQLite's BEGIN is a snapshot
        self._autocommit_engine = engine.execution_options(begin="")
        if engine.dialect.name != "sqlite":
            self._read_engine = engine.execution_options(isolation_level="REPEATABLE READ")
            self._autocommit_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._write_connection: PoolProxiedConnection | None = None
        self.location = engine.url.database or engine.url.render_as_string()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot: all its statements see one moment. Raises StorageError.

        On Postgres that takes 45 us of CPU more than reading each statement's own moment, of 250 in all.
        """
        with translate_errors(self.location), self._read_engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One atomic transaction. Raises StorageError or Conflict."""
        with translate_errors(self.location), self._immediate_engine.begin() as connection:
            yield connection

    def read_transaction(self, work: UnitOfWork[T]) -> T:
        """Runs `work` on a consistent snapshot. Raises StorageError."""
        with self.read() as connection:
            return work(connection)

    def read_statement(self, work: UnitOfWork[T]) -> T:
        """Runs `work` of one statement without a transaction around it: of Postgres two round trips, not four. Raises
        StorageError.
        """
        with translate_errors(self.location), self._autocommit_engine.connect() as connection:
            return work(connection)

    async def read_in_thread(self, work: UnitOfWork[T]) -> T:
        """`read_transaction` in a thread."""
        return await asyncio.to_thread(self.read_transaction, work)

    def apply_rows(self, rows: Iterable[tuple[RowStatement, Sequence[RowValues]]]) -> None:
        """Inserts and deletes rows in one transaction, from one thread at a time. Raises StorageError or Conflict.

        For SQLite it uses the driver on a kept connection: SQLAlchemy's BEGIN and connection handling cost as much as
        forty rows.
        """
        if self.engine.dialect.name != "sqlite":
            with self.write() as connection:
                for statement, its in rows:
                    apply_in_bulk(connection, statement, its)
            return
        with translate_errors(self.location):
            kept, self._write_connection = self._write_connection or self._new_write_connection(), None
            try:
                driver = kept.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                driver.execute("BEGIN IMMEDIATE")
                for statement, its in rows:
                    _sqlite_apply_in_bulk(driver, statement, its)
                driver.execute("COMMIT")
            except BaseException:
                kept.invalidate()  # closing it rolls the transaction back
                raise
            self._write_connection = kept

    def _new_write_connection(self) -> PoolProxiedConnection:
        made = self.engine.raw_connection()
        assert isinstance(made.driver_connection, sqlite3.Connection)
        made.driver_connection.execute(WRITE_CACHE)
        return made

    def size_bytes(self) -> int:
        """Of the database, without SQLite's log. Raises StorageError."""
        words = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        if self.engine.dialect.name != "sqlite":
            words = "SELECT pg_database_size(current_database())"
        with self.read() as connection:
            return int(connection.exec_driver_sql(words).scalar_one())

    def checkpoint(self, truncate: bool = False) -> bool:
        """Moves SQLite's write-ahead log into the file, concurrently with readers and writers.

        Within commits it made 1 in 100 take 60 ms; on its own thread, 8 ms. `truncate`: waits for readers and empties
        the log, so that deleted data is gone; False if a reader held it too long. Raises StorageError.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with translate_errors(self.location), self._autocommit_engine.connect() as connection:
            words = f"PRAGMA wal_checkpoint({'TRUNCATE' if truncate else 'PASSIVE'})"
            return bool(connection.exec_driver_sql(words).one()[0] == 0)

    def empty_log(self) -> bool:
        """Cuts SQLite's write-ahead log to no bytes, if no one reads or writes at this moment; else False.

        Waiting for readers, as `checkpoint` does, holds up writers; so does what is not in the file yet, which goes
        there before. Raises StorageError.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        with translate_errors(self.location), self._autocommit_engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            try:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
                return bool(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0] == 0)
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")

    def insert_statement(self, table: Table) -> RowStatement:
        """The INSERT of all columns of `table` in order, in the driver's SQL: rows are plain tuples.

        OR FAIL: a refused row rolls the whole transaction back, so no statement needs to be undone alone. For that,
        SQLite copied every page before changing it, a quarter of the cost of an INSERT.
        """
        words = insert(table).prefix_with("OR FAIL", dialect="sqlite")
        one = str(words.compile(dialect=self.engine.dialect, column_keys=[c.name for c in table.columns]))
        if self.engine.dialect.name != "sqlite":
            return RowStatement(one, ())
        before, _, row = one.rpartition("(")
        return RowStatement(one, tuple((n, before + ", ".join([f"({row}"] * n)) for n in INSERT_BATCH_SIZES))

    def delete_statement(self, table: Table) -> RowStatement:
        """The DELETE of rows of `table` by their `id`: rows are tuples of one. An id that is not there is no error."""
        one = str(delete(table).where(table.c.id == bindparam("id")).compile(dialect=self.engine.dialect))
        if self.engine.dialect.name != "sqlite":
            return RowStatement(one, ())
        before, _, _ = one.rpartition("= ?")
        return RowStatement(one, tuple((n, f"{before}IN ({', '.join('?' * n)})") for n in INSERT_BATCH_SIZES))

    def close(self) -> None:
        if self._write_connection is not None:
            self._write_connection.close()
        self.engine.dispose()


@contextmanager
def overwriting_deleted(connection: Connection) -> Iterator[None]:
    """Within it, what a transaction deletes is overwritten in SQLite's file; its log keeps it until the next
    checkpoint.
    """
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    yield
    if sqlite:
        connection.exec_driver_sql(SECURE_DELETE)


def migration_statement(sql: str) -> ExecutableDDLElement:
    """A migration step as SQL that both databases support; never built from data."""
    made: ExecutableDDLElement = DDL(sql)  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
    return made


def apply_in_bulk(connection: Connection, statement: RowStatement, rows: Sequence[RowValues]) -> None:
    """Applies a statement to rows with the driver's bulk call. Raises Conflict if a value does not fit its column."""
    try:
        connection.exec_driver_sql(statement.single, list(rows))
    except (OverflowError, ValueError, TypeError) as error:
        raise Conflict(ROW_DOES_NOT_FIT.format(type(error).__name__)) from error


def _sqlite_apply_in_bulk(driver: sqlite3.Connection, statement: RowStatement, rows: Sequence[RowValues]) -> None:
    done = 0
    try:
        for size, words in statement.batches:
            while len(rows) - done >= size:
                driver.execute(words, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
        if done < len(rows):
            driver.execute(statement.single, rows[done])
    except (OverflowError, ValueError, TypeError) as error:  # a token count of 10**30, half a surrogate pair
        raise Conflict(ROW_DOES_NOT_FIT.format(type(error).__name__)) from error


def open_database(url: DatabaseUrl, migrations: Sequence[Migrations]) -> Database:
    """Opens a database and migrates it. Raises StorageError (unreadable or newer) and ConfigError (URL)."""
    database = Database(_engine(url))
    try:
        _migrate(database, migrations)
    except BaseException:
        database.close()
        raise
    return database


def sqlite_url(path: str) -> URL:
    """The URL of an SQLite file; `path` may contain any character."""
    return URL.create("sqlite", database=path)


def third_party_engine(url: DatabaseUrl) -> Engine:
    """An engine for a library with its own tables, with the same SQLite pragmas. Raises ConfigError."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True, connect_args=_postgres_options(parsed))
    made = create_engine(parsed, connect_args={"isolation_level": "IMMEDIATE"}, hide_parameters=True)
    event.listen(made, "connect", _set_pragmas)
    event.listen(made, "connect", _overwrite_deleted)
    if sqlite3.sqlite_version_info < (3, 42):
        event.listen(made, "connect", _add_unixepoch)
    return made


def _add_unixepoch(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """`unixepoch('subsec')` came with SQLite 3.42. DBOS calls it on Python 3.12 and later; Debian 12 has 3.40."""
    connection.create_function("unixepoch", 1, lambda _: round(time.time(), 3))


def _engine(url: DatabaseUrl) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            quiet = {"isolation_level": None}  # the driver must not begin transactions itself
            engine = create_engine(parsed, connect_args=quiet, hide_parameters=True)
            event.listen(engine, "connect", _set_pragmas)
            event.listen(engine, "begin", _begin)
            return engine
        return create_engine(
            parsed,
            paramstyle="format",
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=_postgres_options(parsed),
        )
    except ArgumentError as error:  # the URL may contain a password, so it is not shown
        raise ConfigError(
            "the database URL cannot be read",
            "write it as postgresql+psycopg://user@host/name",
        ) from error
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        hint = "install it in Sizewise's environment (for Postgres: psycopg), or remove the URL to use SQLite"
        raise ConfigError(f"no driver for databases of kind {parsed.drivername!r} is installed", hint) from error


def _postgres_options(url: URL) -> dict[str, str]:
    """What the URL does not say itself."""
    its_end = " ".join(f"-c {name}={value}" for name, value in POSTGRES_GIVES_UP.items())
    wanted = {**POSTGRES_GIVEN_UP, "options": its_end}
    return {name: value for name, value in wanted.items() if name not in url.query}


def _set_pragmas(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """synchronous = NORMAL: a commit survives `kill -9`; a power cut may lose the last ones, but never part of one."""
    connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(SECURE_DELETE)
    connection.execute(READ_CACHE)
    connection.execute("PRAGMA wal_autocheckpoint = 16000")  # 64 MB: the limit if `checkpoint` is not called
    connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes: the log shrinks again after a burst


def _overwrite_deleted(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """Always: a library's own deletions cannot be told apart."""
    connection.execute("PRAGMA secure_delete = ON")


def _begin(connection: Connection) -> None:
    words = connection.get_execution_options().get("begin", "BEGIN")
    if words:
        connection.exec_driver_sql(words)


def _migrate(database: Database, schemas: Sequence[Migrations]) -> None:
    with database.read() as connection:
        behind = pending_migrations(connection, schemas)
    if behind:
        with database.write() as connection:  # checked again inside: another process may have migrated it
            if connection.dialect.name == "postgresql":  # where a write transaction does not exclude others
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended('migrations', 0))")
            for schema, version in pending_migrations(connection, schemas):
                apply_migrations(connection, schema, version)


@contextmanager
def translate_errors(location: str) -> Iterator[None]:
    """Translates driver errors into ours, without the values of a row."""
    try:
        yield
    except (IntegrityError, DataError) as error:
        raise Conflict(f"the database rejected a row: {error.orig}") from error
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        raise Conflict(f"the database rejected a row: {error}") from error
    except NoConnection as error:
        raise StorageError(
            f"no connection to {location!r} was free in time",
            "retry; the database is overloaded",
        ) from error
    except DBAPIError as error:
        raise StorageError(f"the database {location!r} failed: {error.orig}", _error_hint(error.orig)) from error
    except sqlite3.Error as error:
        raise StorageError(f"the database {location!r} failed: {error}", _error_hint(error)) from error


ERROR_HINTS = (
    ("SQLITE_FULL", "the disk is full: free some space; Sizewise continues by itself"),
    ("SQLITE_IOERR", "the disk cannot be written: check its space, quota and health; Sizewise continues by itself"),
    ("SQLITE_READONLY", "make the file and its folder writable for the user that runs Sizewise"),
    ("SQLITE_CANTOPEN", "check that its folder exists and is writable for the user that runs Sizewise"),
    ("SQLITE_BUSY", "another program uses the file: close it (a database browser, a backup) and retry"),
    ("SQLITE_LOCKED", "another program uses the file: close it (a database browser, a backup) and retry"),
    ("SQLITE_NOTADB", "the file is not a database: move it away, or restore a backup"),
    (
        "SQLITE_CORRUPT",
        "the file is damaged: move it away and restore a backup; `sqlite3 FILE .recover` saves what is readable",
    ),
)


def _error_hint(error: BaseException | None) -> str:
    name = getattr(error, "sqlite_errorname", "")
    return next(
        (hint for start, hint in ERROR_HINTS if name.startswith(start)),
        "check that the database can be reached",
    )
