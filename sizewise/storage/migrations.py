"""Schema migrations: numbered steps per package, which of them a database lacks, and applying them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, insert, inspect, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable, ExecutableDDLElement
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


SCHEMA_VERSIONS = Table(
    "schema_version",  # about the database, not a tenant: the only table without `tenant`
    MetaData(),
    Column("room", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("at", BIG_INTEGER, nullable=False),  # unix ms
)


@dataclass(frozen=True, slots=True)
class Migrations:
    """The tables of one package as numbered steps: `steps[0]` creates version 1. A released step never changes."""

    component: str
    steps: tuple[MigrationStep, ...]


def pending_migrations(connection: Connection, schemas: Sequence[Migrations]) -> list[tuple[Migrations, int]]:
    """Schemas that are behind, with their version. Raises StorageError for one written by a newer Sizewise."""
    found: dict[str, int] = {}
    if inspect(connection).has_table(SCHEMA_VERSIONS.name):
        found = {row.room: row.version for row in connection.execute(select(SCHEMA_VERSIONS))}
    for schema in schemas:
        known, is_at = len(schema.steps), found.get(schema.component, 0)
        if is_at > known:
            raise StorageError(
                f"a newer Sizewise wrote this database: {schema.component} is at version {is_at}, this one knows"
                f" {known}",
                "install the newer version again, or choose another home folder with --home DIR",
            )
    return [
        (schema, found.get(schema.component, 0))
        for schema in schemas
        if found.get(schema.component, 0) < len(schema.steps)
    ]


def apply_migrations(connection: Connection, schema: Migrations, version: int) -> None:
    connection.execute(CreateTable(SCHEMA_VERSIONS, if_not_exists=True))
    for migration in schema.steps[version:]:
        for step in migration:
            connection.execute(step)
    mark = {"version": len(schema.steps), "at": time.time_ns() // 1_000_000}
    if not connection.execute(
        update(SCHEMA_VERSIONS).where(SCHEMA_VERSIONS.c.room == schema.component).values(mark),
    ).rowcount:
        connection.execute(insert(SCHEMA_VERSIONS).values(room=schema.component, **mark))
