"""The database from outside: real files, real locks, real damage."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, Table, Text, insert, inspect, select, text
from sqlalchemy.schema import DDL, CreateTable, ExecutableDDLElement

from sizewise.auth import tables as auth_tables
from sizewise.errors import ConfigError, Conflict, StorageError
from sizewise.storage.database import Database, apply_in_bulk, open_database, sqlite_url, third_party_engine
from sizewise.storage.migrations import BIG_INTEGER, DropPlainIndex, Migrations, component_versions
from sizewise.telemetry import tables as telemetry_tables

NOTES = Table("notes", MetaData(), Column("id", BIG_INTEGER, primary_key=True), Column("tenant", Text, nullable=False))
FIRST = (CreateTable(NOTES),)


def step(sql: str) -> ExecutableDDLElement:
    return DDL(sql)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped


SECOND = (step("ALTER TABLE notes ADD COLUMN words TEXT NOT NULL DEFAULT ''"),)
BROKEN = (step("ALTER TABLE notes ADD COLUMN more TEXT"), step("ALTER TABLE nothing ADD COLUMN words TEXT"))


def test_a_new_file_is_made_in_wal_mode_and_opens_again(tmp_path: Path) -> None:
    url = sqlite_url(str(tmp_path / "odd ?name#.db"))
    for _ in range(2):
        database = open_database(url, [Migrations("notes", (FIRST,))])
        with database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert inspect(connection).has_table("notes")
        database.close()
    assert (tmp_path / "odd ?name#.db").exists()


def test_an_older_database_moves_forward_and_keeps_its_rows(tmp_path: Path) -> None:
    url = sqlite_url(str(tmp_path / "x.db"))
    old = open_database(url, [Migrations("notes", (FIRST,))])
    with old.write() as connection:
        connection.execute(insert(NOTES).values(id=1, tenant="a"))
    old.close()
    new = open_database(url, [Migrations("notes", (FIRST, SECOND))])
    with new.read() as connection:
        assert connection.exec_driver_sql("SELECT id, tenant, words FROM notes").all() == [(1, "a", "")]
    new.close()


def test_a_migration_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    url = sqlite_url(str(tmp_path / "x.db"))
    open_database(url, [Migrations("notes", (FIRST,))]).close()
    with pytest.raises(StorageError):
        open_database(url, [Migrations("notes", (FIRST, BROKEN))])
    again = open_database(url, [Migrations("notes", (FIRST,))])
    with again.read() as connection:
        assert [column["name"] for column in inspect(connection).get_columns("notes")] == ["id", "tenant"]
    again.close()


def test_an_older_server_works_on_a_newer_database_that_only_grew(tmp_path: Path) -> None:
    url = sqlite_url(str(tmp_path / "x.db"))
    open_database(url, [Migrations("notes", (FIRST, SECOND))]).close()
    older = open_database(url, [Migrations("notes", (FIRST,))])
    with older.write() as connection:
        connection.execute(insert(NOTES).values(id=1, tenant="a"))
    older.close()
    newer = open_database(url, [Migrations("notes", (FIRST, SECOND))])
    with newer.read() as connection:
        assert connection.exec_driver_sql("SELECT id, tenant, words FROM notes").all() == [(1, "a", "")]
        assert component_versions(connection) == {"notes": (2, 1)}
    newer.close()
    third = (DropPlainIndex("notes_tenant", partitioned="notes_tenant_idx"),)
    assert Migrations("notes", (FIRST, SECOND, third)).oldest_reader == 1


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE notes DROP COLUMN tenant",
        "ALTER TABLE notes RENAME COLUMN tenant TO org",
        "UPDATE notes SET tenant = ''",
        "ALTER TABLE notes ADD COLUMN words TEXT NOT NULL",
        "CREATE UNIQUE INDEX one_each ON notes (tenant)",
    ],
)
def test_a_newer_database_that_older_servers_would_misread_is_refused_in_clear_words(
    tmp_path: Path, change: str
) -> None:
    url = sqlite_url(str(tmp_path / "x.db"))
    open_database(url, [Migrations("notes", (FIRST,))]).close()
    with contextlib.suppress(StorageError):  # SQLite adds no column that must be there
        open_database(url, [Migrations("notes", (FIRST, (step(change),)))]).close()
    assert Migrations("notes", (FIRST, (step(change),))).oldest_reader == 2
    newest = Migrations("notes", (FIRST, (step("UPDATE notes SET tenant = ''"),)))
    open_database(url, [newest]).close()
    with pytest.raises(StorageError, match="a newer Sizewise wrote this database: notes is at version 2") as refused:
        open_database(url, [Migrations("notes", (FIRST,))])
    assert "--home" in refused.value.hint


def test_a_database_of_a_server_before_the_rule_moves_forward(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    open_database(sqlite_url(str(path)), [Migrations("notes", (FIRST,))]).close()
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.execute("ALTER TABLE schema_version DROP COLUMN oldest_reader")
    database = open_database(sqlite_url(str(path)), [Migrations("notes", (FIRST, SECOND))])
    with database.read() as connection:
        assert component_versions(connection) == {"notes": (2, 1)}
    database.close()


def test_a_damaged_file_and_a_file_that_is_no_database_are_refused_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(StorageError, match="not a database") as refused:
        open_database(sqlite_url(str(path)), [Migrations("notes", (FIRST,))])
    assert "restore a backup" in refused.value.hint


def test_a_read_only_database_can_be_read_and_says_why_it_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    open_database(sqlite_url(str(path)), [Migrations("notes", (FIRST,))]).close()
    database = open_database(f"sqlite:///file:{path}?mode=ro&uri=true", [Migrations("notes", (FIRST,))])
    with database.read() as connection:
        assert connection.execute(select(NOTES)).all() == []
    with pytest.raises(StorageError, match="readonly") as refused, database.write() as connection:
        connection.execute(insert(NOTES).values(id=1, tenant="a"))
    assert "writable" in refused.value.hint
    database.close()


def test_a_folder_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as refused:
        open_database(sqlite_url(str(tmp_path / "missing" / "x.db")), [])
    assert "folder exists" in refused.value.hint


def test_an_unknown_kind_of_database_and_a_bad_url_are_refused_without_repeating_the_password() -> None:
    for url in ("oracle9://u:hunter2@host/x", "hunter2 is no url"):
        with pytest.raises(ConfigError) as refused:
            open_database(url, [])
        assert "hunter2" not in refused.value.message + refused.value.hint


def test_a_row_that_breaks_a_rule_or_fits_no_column_is_a_conflict_without_its_values(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [Migrations("notes", (FIRST,))])
    insertion = database.insert_statement(NOTES)
    for rows in ([(1, "secret"), (1, "secret")], [(10**30, "secret")], [(2, "\ud800")]):
        with pytest.raises(Conflict) as refused, database.write() as connection:
            apply_in_bulk(connection, insertion, rows)
        assert "secret" not in refused.value.message
    assert _count(database) == 0
    database.close()


@pytest.mark.parametrize("schema", [auth_tables, telemetry_tables], ids=["auth", "telemetry"])
def test_every_table_has_its_tenant(schema: object, tmp_path: Path) -> None:
    for table in getattr(schema, "META").tables.values():  # noqa: B009 - two modules, one shape
        assert "tenant" in table.columns, table.name


@pytest.mark.parametrize("component", ["auth", "telemetry"])
def test_released_migrations_never_change(component: str, tmp_path: Path) -> None:
    """When this fails you changed a table: leave the released step as it was and add one behind it."""
    schema = {"auth": auth_tables.SCHEMA, "telemetry": telemetry_tables.SCHEMA}[component]
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [schema])
    steps = [str(step.compile(database.engine)).strip() for step in schema.steps[0]]
    database.close()
    golden = Path(__file__).parents[1] / component / "version_1.sql"
    assert "\n\n".join(steps) + "\n" == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("component", [auth_tables, telemetry_tables], ids=["auth", "telemetry"])
def test_the_migrated_tables_have_the_columns_that_the_code_writes(component: object, tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [auth_tables.SCHEMA, telemetry_tables.SCHEMA])
    with database.read() as connection:
        for name, table in getattr(component, "META").tables.items():  # noqa: B009 - two modules, one shape
            assert [column["name"] for column in inspect(connection).get_columns(name)] == table.columns.keys()
    database.close()


def test_readers_see_one_moment_while_somebody_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    database = open_database(sqlite_url(str(path)), [Migrations("notes", (FIRST,))])
    other = sqlite3.connect(path, isolation_level=None)
    with database.read() as connection:
        assert connection.execute(select(NOTES)).all() == []
        other.execute("INSERT INTO notes VALUES (1, 'a')")
        assert connection.execute(select(NOTES)).all() == []
    assert _count(database) == 1
    other.close()
    database.close()


def _count(database: Database) -> int:
    with database.read() as connection:
        return len(connection.execute(select(NOTES)).all())


def test_a_library_may_ask_sqlite_for_parts_of_a_second_whatever_its_version(tmp_path: Path) -> None:
    engine = third_party_engine(sqlite_url(str(tmp_path / "others.db")))
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE runs (id TEXT, at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))")
        )
        connection.execute(text("INSERT INTO runs (id) VALUES ('a')"))
        at = connection.execute(text("SELECT at FROM runs")).scalar_one()
    engine.dispose()
    assert abs(at / 1000 - time.time()) < 60
