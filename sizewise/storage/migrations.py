"""Schema migrations: numbered steps per package, which of them a database lacks, which servers can read the result."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from sizewise.errors import StorageError

MigrationStep = tuple[ExecutableDDLElement, ...]
BIG_INTEGER = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both databases; in SQLite only a column declared INTEGER can be the row id."""

DAY_S = 86_400


class PartitionByDay(ExecutableDDLElement):
    """A step that makes a plain table of Postgres one that is partitioned by day, without copying a row: those that it
    has are its first partition, up to the first day without rows. Others find a default one. SQLite has no partitions.

    `key`: a column of numbers in the order of time, `a_second` of them a second.
    """

    def __init__(self, table: str, key: str, a_second: int) -> None:
        self.table, self.key, self.a_day = table, key, a_second * DAY_S


@compiles(PartitionByDay)
def _nothing(step: PartitionByDay, compiler: DDLCompiler, **options: object) -> str:
    return "SELECT 1"


@compiles(PartitionByDay, "postgresql")
def _partition(step: PartitionByDay, compiler: DDLCompiler, **options: object) -> str:
    name, key, today = step.table, step.key, f"floor(extract(epoch FROM now()) / {DAY_S})"
    return f"""DO $$
DECLARE bound bigint;
BEGIN
  SELECT CASE WHEN max({key}) IS NULL THEN {today} ELSE greatest(max({key}) / {step.a_day}, {today}) + 1 END
    * {step.a_day} INTO bound FROM {name};
  ALTER TABLE {name} RENAME TO {name}_before;
  CREATE TABLE {name} (LIKE {name}_before INCLUDING ALL) PARTITION BY RANGE ({key});
  EXECUTE 'ALTER TABLE {name} ATTACH PARTITION {name}_before FOR VALUES FROM (MINVALUE) TO (' || bound || ')';
  CREATE TABLE {name}_default PARTITION OF {name} DEFAULT;
END $$"""


class CreateUnloggedTable(CreateTable):
    """A table that Postgres keeps out of its log: cheaper to write, empty after a crash and on a standby. In SQLite it
    is as any other.
    """


@compiles(CreateUnloggedTable, "postgresql")
def _create_unlogged(step: CreateUnloggedTable, compiler: DDLCompiler, **options: object) -> str:
    made: str = compiler.visit_create_table(step)  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
    return made.replace("CREATE TABLE", "CREATE UNLOGGED TABLE", 1)


class DropPlainIndex(ExecutableDDLElement):
    """A step that drops an index that is not unique: older servers find the same rows without it.

    `partitioned`: its name on Postgres, where a table that was made one of partitions has its indexes by other names.
    """

    def __init__(self, name: str, partitioned: str) -> None:
        self.name, self.partitioned = name, partitioned


@compiles(DropPlainIndex)
def _drop(step: DropPlainIndex, compiler: DDLCompiler, **options: object) -> str:
    return f"DROP INDEX {step.name}"


@compiles(DropPlainIndex, "postgresql")
def _drop_partitioned(step: DropPlainIndex, compiler: DDLCompiler, **options: object) -> str:
    return f"DROP INDEX IF EXISTS {step.partitioned}"


SCHEMA_VERSIONS = Table(
    "schema_version",  # about the database, not a tenant: the only table without `tenant`
    MetaData(),
    Column("room", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("at", BIG_INTEGER, nullable=False),  # unix ms
    Column("oldest_reader", Integer),  # the oldest version that can read this one; null: of a server before this column
)
OLDEST = SCHEMA_VERSIONS.c.oldest_reader.name
NEW_COLUMN = re.compile(r"ALTER TABLE \S+ ADD COLUMN (?!.* NOT NULL(?! DEFAULT))", re.DOTALL)
"""One that rows of older servers may lack."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """The tables of one package as numbered steps: `steps[0]` creates version 1. A released step never changes.

    A step that only adds (tables, indexes, columns that may be left out) or drops an index lets older servers go on;
    what they would read or write wrongly goes into a new column. Every other step waits until no server of the version
    before is in use.
    """

    component: str
    steps: tuple[MigrationStep, ...]

    @property
    def oldest_reader(self) -> int:
        """The oldest version whose servers can work on a database of the newest one."""
        changing = [number for number, step in enumerate(self.steps, 1) if not _only_adds(step)]
        return max(changing, default=1)


def pending_migrations(connection: Connection, schemas: Sequence[Migrations]) -> list[tuple[Migrations, int]]:
    """Schemas that are behind, with their version. Raises StorageError for one that only a newer Sizewise can read."""
    found = component_versions(connection)
    for schema in schemas:
        known, (is_at, oldest) = len(schema.steps), found.get(schema.component, (0, 0))
        if oldest > known:
            raise StorageError(
                f"a newer Sizewise wrote this database: {schema.component} is at version {is_at}, this one knows"
                f" {known}",
                "install the newer version again, or choose another home folder with --home DIR",
            )
    return [
        (schema, found.get(schema.component, (0, 0))[0])
        for schema in schemas
        if found.get(schema.component, (0, 0))[0] < len(schema.steps)
    ]


def component_versions(connection: Connection) -> dict[str, tuple[int, int]]:
    """Component -> version of its tables, and the oldest version that can read them."""
    inspector = inspect(connection)
    if not inspector.has_table(SCHEMA_VERSIONS.name):
        return {}
    known = {column["name"] for column in inspector.get_columns(SCHEMA_VERSIONS.name)}
    oldest = OLDEST if OLDEST in known else "version"  # of a server before it
    rows = connection.exec_driver_sql(f"SELECT room, version, {oldest} FROM {SCHEMA_VERSIONS.name}")
    return {room: (version, version if reader is None else reader) for room, version, reader in rows}


def _only_adds(step: MigrationStep) -> bool:
    made = {each.element.name for each in step if isinstance(each, CreateTable)}
    for each in step:
        if isinstance(each, CreateIndex):
            table = each.element.table
            if each.element.unique and (table is None or table.name not in made):
                return False
        elif isinstance(each, CreateTable | DropPlainIndex):
            continue
        elif not (isinstance(each, DDL) and NEW_COLUMN.match(each.statement)):
            return False
    return True


def apply_migrations(connection: Connection, schema: Migrations, version: int) -> None:
    connection.execute(CreateTable(SCHEMA_VERSIONS, if_not_exists=True))
    if OLDEST not in {column["name"] for column in inspect(connection).get_columns(SCHEMA_VERSIONS.name)}:
        connection.exec_driver_sql(f"ALTER TABLE {SCHEMA_VERSIONS.name} ADD COLUMN {OLDEST} INTEGER")
    for migration in schema.steps[version:]:
        for step in migration:
            connection.execute(step)
    mark = {"version": len(schema.steps), "at": time.time_ns() // 1_000_000, OLDEST: schema.oldest_reader}
    if not connection.execute(
        update(SCHEMA_VERSIONS).where(SCHEMA_VERSIONS.c.room == schema.component).values(mark),
    ).rowcount:
        connection.execute(insert(SCHEMA_VERSIONS).values(room=schema.component, **mark))
