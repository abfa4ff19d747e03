"""The database: connect, read, write, migrate forward; knows no room's tables, each room hands in its own.

SQLite by default (WAL, one writer), Postgres by URL; everything is SQLAlchemy Core that both understand. What a driver
throws leaves this file as StoreFailed (the store is ill: try again later) or Conflict (the row is not acceptable).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from sqlalchemy import (
    DDL,
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    PoolProxiedConnection,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from sizewise.errors import ConfigError, Conflict, StoreFailed

T = TypeVar("T")
Work = Callable[[Connection], T]
"""What a room does with a connection that somebody else opened and will commit."""
Url = str | URL
Row = tuple[str | int | float | None, ...]
Migration = tuple[ExecutableDDLElement, ...]

BIG = BigInteger().with_variant(Integer, "sqlite")
"""64 bits in both worlds: only a column declared INTEGER can be SQLite's own row id."""

BUSY_MS = 5_000
"""How long a statement waits for somebody else's lock before it is StoreFailed."""
STILL_MS = 5_000

VERSIONS = Table(
    "schema_version",  # about the file, not about a tenant's things: the one table without `tenant`
    MetaData(),
    Column("room", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("at", BIG, nullable=False),  # unix ms
)


@dataclass(frozen=True, slots=True)
class Schema:
    """A room's tables as numbered steps: `migrations[0]` makes version 1. A step that was released never changes."""

    room: str
    migrations: tuple[Migration, ...]


BLOCKS = (256, 128, 64, 32, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
"""Rows of one INSERT. sqlite3 lets go of the interpreter lock at every statement, and under load each time costs more
than the row: one statement a block made a saturated server a third faster (bench/gateway). 225 rows are four."""


UNFIT = "a row does not fit the table: {}"


@dataclass(frozen=True, slots=True)
class Insertion:
    """An INSERT of one row, and of blocks of rows, largest first."""

    one: str
    blocks: tuple[tuple[int, str], ...]


class Database:
    """A pool of connections. Any number may read at once; writers take turns."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._immediate = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._plain = engine.execution_options(begin="")
        self._kept: PoolProxiedConnection | None = None
        self.where = engine.url.database or engine.url.render_as_string()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view. Raises StoreFailed."""
        with in_our_words(self.where), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: all of it or nothing. Raises StoreFailed or Conflict."""
        with in_our_words(self.where), self._immediate.begin() as connection:
            yield connection

    def append(self, rows: Iterable[tuple[Insertion, Sequence[Row]]]) -> None:
        """One transaction of new rows, for one thread at a time. Raises StoreFailed or Conflict.

        In SQLite the driver does it on a connection that is kept: SQLAlchemy's way to BEGIN and back costs as much as
        forty rows.
        """
        if self.engine.dialect.name != "sqlite":
            with self.write() as connection:
                for insertion, its in rows:
                    put(connection, insertion, its)
            return
        with in_our_words(self.where):
            kept, self._kept = self._kept or self.engine.raw_connection(), None
            try:
                driver = kept.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                driver.execute("BEGIN IMMEDIATE")
                for insertion, its in rows:
                    _fill(driver, insertion, its)
                driver.execute("COMMIT")
            except BaseException:
                kept.invalidate()  # closed, and with it the transaction
                raise
            self._kept = kept

    def checkpoint(self, whole: bool = False) -> None:
        """Moves SQLite's log into the file while others read and write; it waits for the disk, they do not.

        Within a commit the same work made 1 in 100 take 60 ms, on its own thread 8 ms. `whole`: waits for readers and
        leaves nothing in the log, for what must be gone. Raises StoreFailed.
        """
        if self.engine.dialect.name == "sqlite":
            with in_our_words(self.where), self._plain.connect() as connection:
                connection.exec_driver_sql(f"PRAGMA wal_checkpoint({'TRUNCATE' if whole else 'PASSIVE'})")

    def insertion(self, table: Table) -> Insertion:
        """The INSERT of all columns of `table` in their order, in the driver's own words: rows are plain tuples.

        OR FAIL: a transaction is given up whole where a row is refused, so no statement needs to be undone by itself.
        For that SQLite copied every page it was about to change into a file, a fourth of what an INSERT cost.
        """
        words = insert(table).prefix_with("OR FAIL", dialect="sqlite")
        one = str(words.compile(dialect=self.engine.dialect, column_keys=[c.name for c in table.columns]))
        if self.engine.dialect.name != "sqlite":
            return Insertion(one, ())
        before, _, row = one.rpartition("(")
        return Insertion(one, tuple((n, before + ", ".join([f"({row}"] * n)) for n in BLOCKS))

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self.engine.dispose()


def step(words: str) -> ExecutableDDLElement:
    """One step of a migration in SQL's own words, which both databases must understand; never made of data."""
    made: ExecutableDDLElement = DDL(words)  # type: ignore[no-untyped-call]  # SQLAlchemy left it out
    return made


def put(connection: Connection, insertion: Insertion, rows: Sequence[Row]) -> None:
    """Rows by the driver's own bulk insert; Conflict where a value does not fit its column."""
    try:
        connection.exec_driver_sql(insertion.one, list(rows))
    except (OverflowError, ValueError, TypeError) as error:
        raise Conflict(UNFIT.format(type(error).__name__)) from error


def _fill(driver: sqlite3.Connection, insertion: Insertion, rows: Sequence[Row]) -> None:
    done = 0
    try:
        for size, statement in insertion.blocks:
            while len(rows) - done >= size:
                driver.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
        if done < len(rows):
            driver.execute(insertion.one, rows[done])
    except (OverflowError, ValueError, TypeError) as error:  # a token count of 10**30, half a surrogate pair
        raise Conflict(UNFIT.format(type(error).__name__)) from error


def connect(url: Url, schemas: Sequence[Schema]) -> Database:
    """An open database at the newest version. Raises StoreFailed (unreadable, newer than we are), ConfigError (URL)."""
    database = Database(_engine(url))
    try:
        _migrate(database, schemas)
    except BaseException:
        database.close()
        raise
    return database


def file(path: str) -> URL:
    """The URL of an SQLite file; any character may stand in `path`."""
    return URL.create("sqlite", database=path)


def lent(url: Url) -> Engine:
    """An engine for a library with tables of its own, in SQLite as durable and as fast as ours. Raises ConfigError."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True, connect_args=_still(parsed))
    made = create_engine(parsed, connect_args={"isolation_level": "IMMEDIATE"}, hide_parameters=True)
    event.listen(made, "connect", _prepare)
    return made


def _engine(url: Url) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            quiet = {"isolation_level": None}  # the driver must not guess where transactions begin
            engine = create_engine(parsed, connect_args=quiet, hide_parameters=True)
            event.listen(engine, "connect", _prepare)
            event.listen(engine, "begin", _begin)
            return engine
        return create_engine(
            parsed, paramstyle="format", pool_pre_ping=True, hide_parameters=True, connect_args=_still(parsed)
        )
    except ArgumentError as error:  # the URL may hold a password: it is not repeated
        raise ConfigError(
            "the database URL cannot be read", "write it as postgresql+psycopg://user@host/name"
        ) from error
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        hint = "install it into Sizewise's environment (for Postgres: psycopg), or leave the URL out for SQLite"
        raise ConfigError(f"no driver for databases of kind {parsed.drivername!r} is installed", hint) from error


def _still(url: URL) -> dict[str, str]:
    """A session that stands still within a transaction is ended by Postgres: a server that is paused holds no locks."""
    return {} if "options" in url.query else {"options": f"-c idle_in_transaction_session_timeout={STILL_MS}"}


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """NORMAL: a commit survives `kill -9`; only a power cut may take the last ones, and never leaves half of one."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 16000")  # 64 MB: a bound where nobody calls `checkpoint`
    connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes: the log shrinks again after a burst


def _begin(connection: Connection) -> None:
    words = connection.get_execution_options().get("begin", "BEGIN")
    if words:
        connection.exec_driver_sql(words)


def _migrate(database: Database, schemas: Sequence[Schema]) -> None:
    with database.read() as connection:
        behind = _behind(connection, schemas)
    if behind:
        with database.write() as connection:  # looked at again inside: another process may have been faster
            for schema, version in _behind(connection, schemas):
                _forward(connection, schema, version)


def _behind(connection: Connection, schemas: Sequence[Schema]) -> list[tuple[Schema, int]]:
    """Schemas with steps to take, and the version they stand at."""
    found: dict[str, int] = {}
    if inspect(connection).has_table(VERSIONS.name):
        found = {row.room: row.version for row in connection.execute(select(VERSIONS))}
    for schema in schemas:
        known, is_at = len(schema.migrations), found.get(schema.room, 0)
        if is_at > known:
            raise StoreFailed(
                f"a newer Sizewise wrote this database: {schema.room} is at version {is_at}, this one knows {known}",
                "install the newer version again, or give this one another home with --home DIR",
            )
    return [
        (schema, found.get(schema.room, 0)) for schema in schemas if found.get(schema.room, 0) < len(schema.migrations)
    ]


def _forward(connection: Connection, schema: Schema, version: int) -> None:
    connection.execute(CreateTable(VERSIONS, if_not_exists=True))
    for migration in schema.migrations[version:]:
        for step in migration:
            connection.execute(step)
    mark = {"version": len(schema.migrations), "at": time.time_ns() // 1_000_000}
    if not connection.execute(update(VERSIONS).where(VERSIONS.c.room == schema.room).values(mark)).rowcount:
        connection.execute(insert(VERSIONS).values(room=schema.room, **mark))


@contextmanager
def in_our_words(where: str) -> Iterator[None]:
    """What a driver throws, as one of our errors; no value of a row is ever repeated in it."""
    try:
        yield
    except (IntegrityError, DataError) as error:
        raise Conflict(f"the database does not accept this: {error.orig}") from error
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        raise Conflict(f"the database does not accept this: {error}") from error
    except NoConnection as error:
        raise StoreFailed(
            f"no connection to {where!r} came free in time", "retry; the database is overloaded"
        ) from error
    except DBAPIError as error:
        raise StoreFailed(f"the database {where!r} failed: {error.orig}", _next_step(error.orig)) from error
    except sqlite3.Error as error:
        raise StoreFailed(f"the database {where!r} failed: {error}", _next_step(error)) from error


HINTS = (
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


def _next_step(error: BaseException | None) -> str:
    name = getattr(error, "sqlite_errorname", "")
    return next((hint for start, hint in HINTS if name.startswith(start)), "check that the database can be reached")
