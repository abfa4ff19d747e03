"""Schema migrations: numbered steps per package, which of them a database lacks, and applying them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, insert, inspect, select, update
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from sizewise.errors import StorageError

MigrationStep = tuple[ExecutableDDLElement, ...]
BIG_INTEGER = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both databases; in SQLite only a column declared INTEGER can be the row id."""

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
