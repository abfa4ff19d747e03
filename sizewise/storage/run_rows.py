"""Rows of durable runs that one of several servers runs: claimed, seen, released and taken over; knows no run.

A table of them has the columns `tenant`, `id`, `status`, `server` (who runs it, or is to) and `seen` (unix ms by the
clock of the database).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from sqlalchemy import Connection, RowMapping, Table, select, update
from sqlalchemy.sql.elements import ColumnElement

from sizewise.storage.database_clock import clock_ms


class OwnedRow(Protocol):
    """A run as its server knows it."""

    @property
    def tenant(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def server(self) -> str: ...


class RunTable(Struct, frozen=True):
    """`unfinished`: the states of a run that has not ended."""

    table: Table
    unfinished: tuple[str, ...]

    def at(self, row: OwnedRow) -> ColumnElement[bool]:
        return (self.table.c.tenant == row.tenant) & (self.table.c.id == row.id)

    def is_unfinished(self) -> ColumnElement[bool]:
        return self.table.c.status.in_(self.unfinished)

    def claim(self, connection: Connection, row: OwnedRow, status: str = "") -> bool:
        """Whether it is this server's and unfinished; it has `status`, if that is given, from now on."""
        mine = self.at(row) & (self.table.c.server == row.server) & self.is_unfinished()
        values = {"seen": clock_ms(), **({"status": status} if status else {})}
        return connection.execute(update(self.table).where(mine).values(values)).rowcount > 0

    def release(self, connection: Connection, row: OwnedRow) -> None:
        """So that another server takes it over at once."""
        mine = self.at(row) & (self.table.c.server == row.server)
        connection.execute(update(self.table).where(mine).values(server="", seen=0))

    def take_orphans(self, connection: Connection, server: str, silent_ms: int) -> Sequence[RowMapping]:
        """Unfinished runs whose server was not seen for `silent_ms`, oldest first; they are this server's."""
        its = self.table.c
        lost = self.is_unfinished() & (its.server != server) & (its.seen < clock_ms() - silent_ms)
        numbers = list(connection.scalars(select(its.number).where(lost)))
        if not numbers:
            return []
        connection.execute(
            update(self.table).where(its.number.in_(numbers), lost).values(server=server, seen=clock_ms())
        )
        mine = select(self.table).where(its.number.in_(numbers), its.server == server, self.is_unfinished())
        return connection.execute(mine.order_by(its.number)).mappings().all()

    def renew(self, connection: Connection, server: str) -> set[str]:
        """Marks the unfinished runs of `server` as seen, and returns their ids."""
        mine = (self.table.c.server == server) & self.is_unfinished()
        connection.execute(update(self.table).where(mine).values(seen=clock_ms()))
        return set(connection.scalars(select(self.table.c.id).where(mine)))
