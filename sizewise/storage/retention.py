"""A chore of the writer for what is kept a while: the oldest go, by age, number and bytes; knows no table by name."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Table, delete, func, select


class Expiry:
    """Of a table with the columns `number` (its key), `created` (unix ms) and `bytes`, and an index on the last two."""

    def __init__(self, table: Table, keep_ms: int, max_rows: int, max_bytes: int, step: int = 100) -> None:
        """`step`: rows in one transaction; few, for they can be large."""
        self._table = table
        self._keep_ms = keep_ms
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._step = step

    def __call__(self, connection: Connection) -> bool:
        """One step; True when more is left to forget."""
        its = self._table.c
        rows, size = connection.execute(select(func.count(), func.coalesce(func.sum(its.bytes), 0))).one()
        oldest = select(its.number, its.created, its.bytes).order_by(its.created).limit(self._step)
        outlived = time.time_ns() // 1_000_000 - self._keep_ms
        gone: list[int] = []
        for number, created, bytes in connection.execute(oldest):
            if created > outlived and rows <= self._max_rows and size <= self._max_bytes:
                break
            gone.append(number)
            rows -= 1
            size -= bytes
        if gone:
            connection.execute(delete(self._table).where(its.number.in_(gone)))
        return len(gone) == self._step
