"""Batches of this process, on the queue of jobs/run_queue.py: submitted, canceled, taken over; asks no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec.structs import replace

from sizewise.batches.batch_store import BatchContent, BatchStore, StoredBatch, now_ms
from sizewise.batches.tables import BatchRow
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.jobs.run_queue import RunQueue, StopFlag


class BatchRunner(Protocol):
    """What asks the models."""

    async def run(self, row: BatchRow, flag: StopFlag) -> bool:
        """Answers what has no result, and ends the batch. False: it was stopped, and goes on elsewhere or later."""
        ...


class BatchQueue:
    """One per process. `start` before the first `submit`."""

    def __init__(self, store: BatchStore, *, shared: bool) -> None:
        """`shared`: other servers use the store."""
        self.store = store
        self._queue = RunQueue(store, "batches", max_running=store.limits.max_running, shared=shared)
        self.drain, self.close, self.until_stored = self._queue.drain, self._queue.close, self._queue.until_stored

    def start(self, runner: BatchRunner) -> None:
        self._queue.start(runner.run)

    def periodic_tasks(self) -> list[PeriodicTask]:
        return self._queue.periodic_tasks()

    async def submit(self, row: BatchRow, content: BatchContent) -> None:
        """Durable when this returns. Raises Busy, Conflict, EncryptionKeyUnavailable, StorageError."""
        row = replace(row, server=self._queue.server)
        await self.store.insert(row, content)
        self._queue.enqueue(row)

    async def cancel(self, batch: StoredBatch) -> bool:
        """Begins no further request; what is in flight ends. False: the batch has ended, or is being canceled."""
        content = replace(batch.content, times=stamped(batch.content.times, "cancelling_at"))
        return await self.store.change(batch.row, content, ("validating", "in_progress"), "cancelling")


def stamped(times: Mapping[str, int], name: str) -> Mapping[str, int]:
    """With the time of now, in unix seconds, unless it is there already."""
    return {name: now_ms() // 1_000, **times}
