"""The clock of the database, which all of its servers share; with SQLite it is that of this machine."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from sizewise.storage.migrations import BIG_INTEGER


class _Clock(GenericFunction[int]):
    type = BIG_INTEGER
    inherit_cache = True


@compiles(_Clock)
def _sqlite(clock: _Clock, compiler: SQLCompiler, **options: object) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(_Clock, "postgresql")
def _postgres(clock: _Clock, compiler: SQLCompiler, **options: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


def clock_ms() -> ColumnElement[int]:
    """Unix ms, within a statement."""
    return _Clock()


def database_time_ms(connection: Connection) -> int:
    """Unix ms."""
    return connection.scalar(select(clock_ms())) or 0
