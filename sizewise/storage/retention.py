"""Retention: deletes the oldest rows of a table by age, row count and size, on the server that leads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection, Table, delete, func, select

from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.storage.database import UnitOfWork
from sizewise.storage.leader_lease import Leadership

INTERVAL_S = 300.0


class RetentionJob:
    """For a table with columns `number` (its key), `created` (unix ms) and `bytes`, and an index on the last two."""

    def __init__(
        self, table: Table, *, retention_ms: int, max_rows: int, max_bytes: int, batch_rows: int = 100
    ) -> None:
        """`batch_rows`: rows per transaction; keep it low, since rows can be large."""
        self._table = table
        self._retention_ms = retention_ms
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._batch_rows = batch_rows

    def __call__(self, connection: Connection) -> bool:
        """Deletes one batch; True if more is left."""
        its = self._table.c
        rows, size = connection.execute(select(func.count(), func.coalesce(func.sum(its.bytes), 0))).one()
        oldest = select(its.number, its.created, its.bytes).order_by(its.created).limit(self._batch_rows)
        outlived = time.time_ns() // 1_000_000 - self._retention_ms
        gone: list[int] = []
        for number, created, bytes in connection.execute(oldest):
            if created > outlived and rows <= self._max_rows and size <= self._max_bytes:
                break
            gone.append(number)
            rows -= 1
            size -= bytes
        if gone:
            connection.execute(delete(self._table).where(its.number.in_(gone)))
        return len(gone) == self._batch_rows


class Retention:
    """The retention jobs of a database, by what they delete. A job deletes one batch; True if more is left."""

    def __init__(self, jobs: Mapping[str, UnitOfWork[bool]], leadership: Leadership) -> None:
        self._jobs = jobs
        self._leadership = leadership

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [
            PeriodicTask(f"retention of {name}", INTERVAL_S, partial(self._run, job), at_once=True, leader_only=True)
            for name, job in self._jobs.items()
        ]

    async def _run(self, job: UnitOfWork[bool]) -> None:
        while await self._leadership.write(job):
            pass
