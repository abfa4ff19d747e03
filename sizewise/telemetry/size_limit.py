"""Keeps records, spans and contents within a number of bytes: the oldest are deleted first, on the server that leads.

In SQLite's file, freed pages are used again, so that it stops growing; it does not shrink.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner, UnitOfWork
from sizewise.telemetry.stored_sizes import KINDS, StoredKind, StoredSize, measure, nth_oldest, store_sizes

INTERVAL_S = 300.0
KEPT_SHARE = 0.95
"""Of the bytes, when it has deleted: so that it does not begin again at once."""
Delete = Callable[[int], UnitOfWork[bool]]
"""The deletion of some of the rows up to this key; True if more are left."""


class RecordsSizeLimit:
    """One per database. `sizes`: as of the last look, empty before it and on servers that do not lead."""

    def __init__(
        self,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        *,
        max_bytes: int,
        delete: Mapping[StoredKind, Delete],
    ) -> None:
        """`write`: a transaction of the leader. `max_bytes`: 0: no limit."""
        self._read = read
        self._write = write
        self._max_bytes = max_bytes
        self._delete = delete
        self.sizes: tuple[StoredSize, ...] = ()

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("size of records", INTERVAL_S, self.apply, at_once=True, leader_only=True)]

    async def apply(self) -> None:
        """Deletes what is too much. Raises StorageError."""
        sizes = await asyncio.to_thread(self._read, measure)
        excess = sum(each.bytes for each in sizes) - self._max_bytes
        cut = bool(self._max_bytes) and excess > 0
        if cut:
            await self._shrink(sizes, excess + int(self._max_bytes * (1 - KEPT_SHARE)))
            sizes = await asyncio.to_thread(self._read, measure)
        self.sizes = sizes
        await self._write(partial(store_sizes, sizes=sizes, cut_at=int(time.time() * 1_000) if cut else None))

    async def _shrink(self, sizes: tuple[StoredSize, ...], excess: int) -> None:
        for size in sorted(sizes, key=lambda each: KINDS.index(each.kind)):
            rows = min(size.rows, -(-excess * size.rows // size.bytes)) if size.bytes else 0
            if rows <= 0 or excess <= 0:
                continue
            goal = await asyncio.to_thread(self._read, partial(nth_oldest, kind=size.kind, number=rows))
            if goal is not None:
                while await self._write(self._delete[size.kind](goal)):
                    pass
            excess -= size.bytes * rows // size.rows
