"""Retention of records and spans: the oldest go by age and number; on Postgres whole days, elsewhere rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Column, Connection, Table, delete, func, select

from sizewise.telemetry.day_partitions import BeforeDrop, drop_oldest_day
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.tables import ATTEMPTS, RECORDS


class RecordRetention:
    """Maintenance task: deletes records older than `keep_days`, and the oldest beyond `max_rows`; 0: no limit.

    `table`: with ids in the order of time. `parts`: columns of other tables that hold its ids.
    """

    def __init__(
        self,
        keep_days: float = 90.0,
        max_rows: int = 1_000_000,
        batch_rows: int = 1_000,
        *,
        table: Table = RECORDS,
        parts: tuple[Column[int], ...] = (ATTEMPTS.c.record,),
        before_delete: Callable[[Connection, Sequence[int]], None] | None = None,
        before_drop: BeforeDrop | None = None,
    ) -> None:
        """`batch_rows`: records per transaction, about 10 ms of lock. `before_delete`: given the ids, within it, and
        `before_drop` those of a day.
        """
        self._keep_days = keep_days
        self._max_rows = max_rows
        self._batch_rows = batch_rows
        self._table = table
        self._parts = parts
        self._before_delete = before_delete
        self._before_drop = before_drop
        self._goal = -1  # the newest id to delete

    def __call__(self, connection: Connection) -> bool:
        """Deletes one batch; True if more is left."""
        if self._goal < 0:
            self._goal = max(self._too_old(), self._too_many(connection))
        more = self.delete_until(connection, self._goal)
        self._goal = self._goal if more else -1
        return more

    def delete_until(self, connection: Connection, newest: int) -> bool:
        """Drops one day, or deletes one batch, of the rows up to the id `newest`; True if more is left."""
        tables = (self._table.name, *(part.table.name for part in self._parts))
        if drop_oldest_day(connection, tables, newest, self._before_drop):
            return True
        id = self._table.c.id
        ids = list(connection.scalars(select(id).where(id <= newest).order_by(id).limit(self._batch_rows)))
        if ids:
            if self._before_delete is not None:
                self._before_delete(connection, ids)
            for part in self._parts:
                connection.execute(delete(part.table).where(part.in_(ids)))
            connection.execute(delete(self._table).where(id.in_(ids)))
        return len(ids) == self._batch_rows

    def _too_old(self) -> int:
        return int((time.time() - self._keep_days * 86_400) * 1e6) << PROCESS_BITS if self._keep_days else -1

    def _too_many(self, connection: Connection) -> int:
        if not self._max_rows:
            return -1
        excess = (connection.scalar(select(func.count()).select_from(self._table)) or 0) - self._max_rows
        if excess <= 0:
            return -1
        id = self._table.c.id
        return connection.scalar(select(id).order_by(id).offset(excess - 1).limit(1)) or -1
