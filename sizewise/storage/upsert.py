"""Inserts that other servers of the database may make at the same moment: one wins, and nobody gets an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_if_absent(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    """Whether it was absent, by whichever unique index. Waits for the end of a transaction that inserts the same."""
    wanted = _insert(connection, table).values(row).on_conflict_do_nothing()
    return connection.execute(wanted.returning(*table.primary_key)).first() is not None


def insert_absent(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Those that are absent."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


def upsert(
    connection: Connection,
    table: Table,
    key: Mapping[str, object],
    values: Mapping[str, object],
    changed: Mapping[str, object] | None = None,
) -> None:
    """`key`: the columns of a unique index. `changed`: where a row exists, in place of `values`, such as a sum."""
    wanted = _insert(connection, table).values({**key, **values})
    connection.execute(wanted.on_conflict_do_update(index_elements=list(key), set_=dict(changed or values)))


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
