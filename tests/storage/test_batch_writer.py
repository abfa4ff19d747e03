"""The writer from outside: what is accepted becomes durable, whatever the store does meanwhile."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, select
from sqlalchemy.schema import CreateTable

from sizewise.errors import StorageError
from sizewise.storage.batch_writer import CHECKPOINT_INTERVAL, BatchWriter
from sizewise.storage.database import Database, open_database, sqlite_url
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
NOTES = Table("notes", META, Column("id", BIG_INTEGER, primary_key=True), Column("tenant", Text, nullable=False))
LINES = Table("lines", META, Column("id", BIG_INTEGER, primary_key=True), Column("tenant", Text, nullable=False))
SCHEMA = Migrations("notes", ((CreateTable(NOTES), CreateTable(LINES)),))


def opened(path: Path, url: str = "", flush_ms: int = 50, bound: int = 100_000) -> tuple[Database, BatchWriter]:
    database = open_database(url or sqlite_url(str(path)), [SCHEMA])
    insertions = {table.name: database.insert_statement(table) for table in (NOTES, LINES)}
    return database, BatchWriter(database, insertions, flush_interval_ms=flush_ms, max_pending=bound)


def found(path: Path, table: str = "notes") -> list[int]:
    with sqlite3.connect(path) as connection:
        rows = [id for (id,) in connection.execute(f"SELECT id FROM {table} ORDER BY rowid")]
    connection.close()
    return rows


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.002)


def test_what_is_put_becomes_durable_by_itself_in_order(tmp_path: Path) -> None:
    database, writer = opened(tmp_path / "x.db")
    for burst in range(3):
        for id in range(burst * 100, burst * 100 + 100):
            writer.enqueue((("notes", [(id, "a")]), ("lines", [(id * 2, "a"), (id * 2 + 1, "a")])))
        until(lambda: not writer.pending)
    assert found(tmp_path / "x.db") == list(range(300))
    assert found(tmp_path / "x.db", "lines") == list(range(600))
    writer.close()
    database.close()


@pytest.mark.long
def test_the_log_is_emptied_after_a_burst_and_a_reader_that_holds_it_holds_no_writer_up(tmp_path: Path) -> None:
    database, writer = opened(tmp_path / "x.db")
    log = tmp_path / "x.db-wal"
    with sqlite3.connect(tmp_path / "x.db") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        for id in range(3 * CHECKPOINT_INTERVAL):
            writer.enqueue((("notes", [(id, "a" * 500)]),))
        until(lambda: not writer.pending)
        assert not database.empty_log() and log.stat().st_size > 1_000_000
        writer.enqueue((("notes", [(-1, "a")]),))
        until(lambda: not writer.pending)
        reader.rollback()
    reader.close()
    until(lambda: log.stat().st_size == 0)
    assert len(found(tmp_path / "x.db")) == 3 * CHECKPOINT_INTERVAL + 1
    writer.close()
    database.close()


async def test_a_flush_waits_until_all_that_was_accepted_is_durable(tmp_path: Path) -> None:
    database, writer = opened(tmp_path / "x.db", flush_ms=10_000)
    for id in range(5_000):
        writer.enqueue((("notes", [(id, "a")]),))
    await writer.flush()
    assert found(tmp_path / "x.db") == list(range(5_000))
    writer.close()
    database.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    database, writer = opened(tmp_path / "x.db", flush_ms=10_000)
    writer.enqueue((("notes", [(1, "a")]),))
    writer.close()
    assert found(tmp_path / "x.db") == [1]
    database.close()


async def test_a_row_that_can_never_be_written_is_lost_alone_and_counted(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database, writer = opened(tmp_path / "x.db")
    for id in range(100):
        writer.enqueue((("notes", [(10**30 if id == 37 else id, "a")]), ("lines", [(id, "a")])))
    await writer.flush()
    kept = [id for id in range(100) if id != 37]
    assert found(tmp_path / "x.db") == kept
    assert found(tmp_path / "x.db", "lines") == kept, "what belongs together is lost together"
    assert (writer.dropped, writer.pending, writer.problem) == (1, 0, "")
    assert caplog.text.count("is lost") == 1
    writer.close()
    database.close()


def test_while_someone_else_holds_the_file_rows_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    database, writer = opened(tmp_path / "x.db")
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for id in range(500):
        writer.enqueue((("notes", [(id, "a")]),))
    assert found(tmp_path / "x.db") == []
    other.execute("COMMIT")
    other.close()
    until(lambda: not writer.pending)
    assert found(tmp_path / "x.db") == list(range(500))
    writer.close()
    database.close()


async def test_on_a_read_only_store_the_oldest_go_first_counted_and_told_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "x.db"
    open_database(sqlite_url(str(path)), [SCHEMA]).close()
    caplog.set_level(logging.WARNING)
    database, writer = opened(path, f"sqlite:///file:{path}?mode=ro&uri=true", bound=100)
    for id in range(250):
        writer.enqueue((("notes", [(id, "a")]),))
    for _ in range(3):
        with pytest.raises(StorageError, match="readonly"):
            await writer.flush()
    assert writer.problem.startswith("cannot write records:")
    assert (writer.pending, writer.dropped) == (100, 150)
    assert caplog.text.count("cannot write records") == 1
    writer.close()
    assert (writer.pending, writer.dropped) == (0, 250)
    database.close()


async def test_work_of_others_takes_its_turn_and_its_errors_come_back(tmp_path: Path) -> None:
    def work(connection: Connection) -> int:
        return len(connection.execute(select(NOTES)).all())

    def fails(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO notes VALUES (7, 'a')")
        raise LookupError("mine")

    database, writer = opened(tmp_path / "x.db")
    writer.enqueue((("notes", [(1, "a")]),))
    await writer.flush()
    assert await writer.run_transaction(work) == 1
    with pytest.raises(LookupError, match="mine"):
        await writer.run_transaction(fails)
    assert await writer.run_transaction(work) == 1, "all of it or nothing"
    writer.close()
    database.close()


def test_chores_are_repeated_while_they_have_more_to_do(tmp_path: Path) -> None:
    left = [3, 2, 1]

    def chore(connection: Connection) -> bool:
        connection.exec_driver_sql(f"INSERT INTO notes VALUES ({left.pop()}, 'a')")
        return bool(left)

    database = open_database(sqlite_url(str(tmp_path / "x.db")), [SCHEMA])
    writer = BatchWriter(database, {}, maintenance=[chore])
    until(lambda: not left)
    writer.close()
    assert found(tmp_path / "x.db") == [1, 2, 3]
    database.close()
