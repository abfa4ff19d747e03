"""Database connections and transactions for SQLite and Postgres; defines no tables.

SQLite by default (WAL, one writer), Postgres by URL; everything is SQLAlchemy Core that both understand. What a driver
throws leaves this file as StorageError (the store is ill: try again later) or Conflict (the row is not acceptable).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from sqlalchemy import (
    DDL,
    URL,
    Connection,
    Engine,
    PoolProxiedConnection,
    Table,
    create_engine,
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

T = TypeVar("T")
UnitOfWork = Callable[[Connection], T]
"""What a room does with a connection that somebody else opened and will commit."""
DatabaseUrl = str | URL
RowValues = tuple[str | int | float | None, ...]

LOCK_TIMEOUT_MS = 5_000
"""How long a statement waits for somebody else's lock before it is StorageError."""
IDLE_TRANSACTION_TIMEOUT_MS = 5_000

INSERT_BATCH_SIZES = (256, 128, 64, 32, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""Rows of one INSERT. sqlite3 lets go of the interpreter lock at every statement, and under load each time costs more
than the row: one statement a block made a saturated server a third faster (bench/gateway). 225 rows are four."""


ROW_DOES_NOT_FIT = "a row does not fit the table: {}"


@dataclass(frozen=True, slots=True)
class InsertStatement:
    """An INSERT of one row, and of blocks of rows, largest first."""

    single: str
    batches: tuple[tuple[int, str], ...]


class Database:
    """A pool of connections. Any number may read at once; writers take turns."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._immediate_engine = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._autocommit_engine = engine.execution_options(begin="")
        self._write_connection: PoolProxiedConnection | None = None
        self.location = engine.url.database or engine.url.render_as_string()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view. Raises StorageError."""
        with translate_errors(self.location), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: all of it or nothing. Raises StorageError or Conflict."""
        with translate_errors(self.location), self._immediate_engine.begin() as connection:
            yield connection

    def read_transaction(self, work: UnitOfWork[T]) -> T:
        """`work` on one consistent view. Raises StorageError."""
        with self.read() as connection:
            return work(connection)

    async def read_in_thread(self, work: UnitOfWork[T]) -> T:
        """`read_transaction`, off the event loop."""
        return await asyncio.to_thread(self.read_transaction, work)

    def insert_rows(self, rows: Iterable[tuple[InsertStatement, Sequence[RowValues]]]) -> None:
        """One transaction of new rows, for one thread at a time. Raises StorageError or Conflict.

        In SQLite the driver does it on a connection that is kept: SQLAlchemy's way to BEGIN and back costs as much as
        forty rows.
        """
        if self.engine.dialect.name != "sqlite":
            with self.write() as connection:
                for insertion, its in rows:
                    bulk_insert(connection, insertion, its)
            return
        with translate_errors(self.location):
            kept, self._write_connection = self._write_connection or self.engine.raw_connection(), None
            try:
                driver = kept.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                driver.execute("BEGIN IMMEDIATE")
                for insertion, its in rows:
                    _sqlite_bulk_insert(driver, insertion, its)
                driver.execute("COMMIT")
            except BaseException:
                kept.invalidate()  # closed, and with it the transaction
                raise
            self._write_connection = kept

    def checkpoint(self, truncate: bool = False) -> None:
        """Moves SQLite's log into the file while others read and write; it waits for the disk, they do not.

        Within a commit the same work made 1 in 100 take 60 ms, on its own thread 8 ms. `truncate`: waits for readers
        and leaves nothing in the log, for what must be gone. Raises StorageError.
        """
        if self.engine.dialect.name == "sqlite":
            with translate_errors(self.location), self._autocommit_engine.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA wal_checkpoint({'TRUNCATE' if truncate else 'PASSIVE'})")

    def insert_statement(self, table: Table) -> InsertStatement:
        """The INSERT of all columns of `table` in their order, in the driver's own words: rows are plain tuples.

        OR FAIL: a transaction is given up whole where a row is refused, so no statement needs to be undone by itself.
        For that SQLite copied every page it was about to change into a file, a fourth of what an INSERT cost.
        """
        words = insert(table).prefix_with("OR FAIL", dialect="sqlite")
        one = str(words.compile(dialect=self.engine.dialect, column_keys=[c.name for c in table.columns]))
        if self.engine.dialect.name != "sqlite":
            return InsertStatement(one, ())
        before, _, row = one.rpartition("(")
        return InsertStatement(one, tuple((n, before + ", ".join([f"({row}"] * n)) for n in INSERT_BATCH_SIZES))

    def close(self) -> None:
        if self._write_connection is not None:
            self._write_connection.close()
        self.engine.dispose()


def migration_statement(sql: str) -> ExecutableDDLElement:
    """One step of a migration in SQL's own words, which both databases must understand; never made of data."""
    made: ExecutableDDLElement = DDL(sql)  # type: ignore[no-untyped-call]  # SQLAlchemy left it out
    return made


def bulk_insert(connection: Connection, insert_statement: InsertStatement, rows: Sequence[RowValues]) -> None:
    """Rows by the driver's own bulk insert; Conflict where a value does not fit its column."""
    try:
        connection.exec_driver_sql(insert_statement.single, list(rows))
    except (OverflowError, ValueError, TypeError) as error:
        raise Conflict(ROW_DOES_NOT_FIT.format(type(error).__name__)) from error


def _sqlite_bulk_insert(
    driver: sqlite3.Connection,
    insert_statement: InsertStatement,
    rows: Sequence[RowValues],
) -> None:
    done = 0
    try:
        for size, statement in insert_statement.batches:
            while len(rows) - done >= size:
                driver.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
        if done < len(rows):
            driver.execute(insert_statement.single, rows[done])
    except (OverflowError, ValueError, TypeError) as error:  # a token count of 10**30, half a surrogate pair
        raise Conflict(ROW_DOES_NOT_FIT.format(type(error).__name__)) from error


def open_database(url: DatabaseUrl, migrations: Sequence[Migrations]) -> Database:
    """An open database at the newest version. Raises StorageError (unreadable or newer), ConfigError (URL)."""
    database = Database(_engine(url))
    try:
        _migrate(database, migrations)
    except BaseException:
        database.close()
        raise
    return database


def sqlite_url(path: str) -> URL:
    """The URL of an SQLite file; any character may stand in `path`."""
    return URL.create("sqlite", database=path)


def third_party_engine(url: DatabaseUrl) -> Engine:
    """An engine for a library with tables of its own, in SQLite as durable and as fast as ours. Raises ConfigError."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True, connect_args=_postgres_options(parsed))
    made = create_engine(parsed, connect_args={"isolation_level": "IMMEDIATE"}, hide_parameters=True)
    event.listen(made, "connect", _set_pragmas)
    return made


def _engine(url: DatabaseUrl) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            quiet = {"isolation_level": None}  # the driver must not guess where transactions begin
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
    except ArgumentError as error:  # the URL may hold a password: it is not repeated
        raise ConfigError(
            "the database URL cannot be read",
            "write it as postgresql+psycopg://user@host/name",
        ) from error
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        hint = "install it into Sizewise's environment (for Postgres: psycopg), or leave the URL out for SQLite"
        raise ConfigError(f"no driver for databases of kind {parsed.drivername!r} is installed", hint) from error


def _postgres_options(url: URL) -> dict[str, str]:
    """A session that stands still within a transaction is ended by Postgres: a server that is paused holds no locks."""
    return (
        {}
        if "options" in url.query
        else {"options": f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_TIMEOUT_MS}"}
    )


def _set_pragmas(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """NORMAL: a commit survives `kill -9`; only a power cut may take the last ones, and never leaves half of one."""
    connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 16000")  # 64 MB: a bound where nobody calls `checkpoint`
    connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes: the log shrinks again after a burst


def _begin(connection: Connection) -> None:
    words = connection.get_execution_options().get("begin", "BEGIN")
    if words:
        connection.exec_driver_sql(words)


def _migrate(database: Database, schemas: Sequence[Migrations]) -> None:
    with database.read() as connection:
        behind = pending_migrations(connection, schemas)
    if behind:
        with database.write() as connection:  # looked at again inside: another process may have been faster
            for schema, version in pending_migrations(connection, schemas):
                apply_migrations(connection, schema, version)


@contextmanager
def translate_errors(location: str) -> Iterator[None]:
    """What a driver throws, as one of our errors; no value of a row is ever repeated in it."""
    try:
        yield
    except (IntegrityError, DataError) as error:
        raise Conflict(f"the database does not accept this: {error.orig}") from error
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        raise Conflict(f"the database does not accept this: {error}") from error
    except NoConnection as error:
        raise StorageError(
            f"no connection to {location!r} came free in time",
            "retry; the database is overloaded",
        ) from error
    except DBAPIError as error:
        raise StorageError(f"the database {location!r} failed: {error.orig}", _error_hint(error.orig)) from error
    except sqlite3.Error as error:
        raise StorageError(f"the database {location!r} failed: {error}", _error_hint(error)) from error


ERROR_HINTS = (
    ("SQLITE_FULL", "the disk is full: free some space; Sizewise goes on by itself"),
    ("SQLITE_IOERR", "the disk cannot be written: check its space, quota and health; Sizewise goes on by itself"),
    ("SQLITE_READONLY", "make the file and its folder writable for the user that runs Sizewise"),
    ("SQLITE_CANTOPEN", "check that its folder exists and is writable for the user that runs Sizewise"),
    ("SQLITE_BUSY", "another program holds the file: close it (a database browser, a backup) and retry"),
    ("SQLITE_LOCKED", "another program holds the file: close it (a database browser, a backup) and retry"),
    ("SQLITE_NOTADB", "this file is no database: move it away, or restore a backup"),
    (
        "SQLITE_CORRUPT",
        "the file is damaged: move it away and restore a backup; `sqlite3 FILE .recover` saves what it can",
    ),
)


def _error_hint(error: BaseException | None) -> str:
    name = getattr(error, "sqlite_errorname", "")
    return next(
        (hint for start, hint in ERROR_HINTS if name.startswith(start)),
        "check that the database can be reached",
    )
