"""Write-behind batch writer: commits queued rows together within 50 ms; defines no tables.

`enqueue` is an append, safe in the event loop. A thread commits all queued rows in one transaction. While the database
is unavailable, rows wait up to a limit and are retried; beyond it the oldest are dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeVar

from sizewise.errors import Conflict, StorageError
from sizewise.storage.database import Database, RowStatement, UnitOfWork
from sizewise.storage.rows import RowGroup, RowValues

log = logging.getLogger("sizewise.storage.batch_writer")

T = TypeVar("T")
MaintenanceTask = UnitOfWork[bool]
"""A short maintenance transaction; returns True if more is left to do."""

MAX_BATCH = 2_000
"""Entries per transaction: at 20,000 requests/s, 100 ms of traffic and about 20 ms of lock."""
CHECKPOINT_INTERVAL = 2_000
"""Entries between two checkpoints: about 8 MB of write-ahead log."""
EMPTY_LOG_S = 2.0
"""Seconds without a checkpoint, after which the log is emptied: a burst leaves up to 64 MB of it."""


class BatchWriter:
    """Invariant: every entry is written, in `pending`, or counted in `dropped`; entries are written in order."""

    def __init__(
        self,
        database: Database,
        statements: Mapping[str, RowStatement],
        *,
        flush_interval_ms: int = 50,
        max_pending: int = 100_000,
        maintenance: Sequence[MaintenanceTask] = (),
        maintenance_interval_s: float = 300.0,
    ) -> None:
        """`statements`: by name (`Database.insert_statement`, `delete_statement`). `max_pending`: entries kept while
        the database is unavailable. `flush_interval_ms`: the longest that an entry stays unwritten.
        `maintenance_interval_s`: seconds between two rounds of maintenance.
        """
        self._database = database
        self._statements = statements
        self._interval = flush_interval_ms * 1e-3  # seconds
        self._commit_s = 0.0  # what the last commit took
        self._max_pending = max_pending
        self._full = min(MAX_BATCH, max_pending)
        self._maintenance = maintenance
        self._maintenance_interval_s = maintenance_interval_s
        self._queue: deque[RowGroup] = deque(maxlen=max_pending)
        self._batch: list[RowGroup] = []  # taken from the queue, not yet durable
        self._write_lock = threading.Lock()  # held while writing
        self._wake = threading.Event()
        self._asleep = False
        self._begun = 0.0  # time.monotonic() of the last look at the queue
        self._closing = False
        self._crowded_out = 0  # written by the event loop only
        self._rejected = 0  # written by the holder of the write lock only
        self._problem = ""
        self._unchecked = 0  # entries written since the last checkpoint
        self._full_log = threading.Event()
        self._checkpoints = threading.Thread(target=self._checkpoint, name="sizewise-checkpoint", daemon=True)
        self._checkpoints.start()
        self._thread = threading.Thread(target=self._run, name="sizewise-writer", daemon=True)
        self._thread.start()

    def enqueue(self, entry: RowGroup) -> None:
        """Accepts rows; never waits, never fails. Call it from one thread, the event loop's."""
        if len(self._queue) >= self._full:
            self._handle_backlog()
        self._queue.append(entry)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def _handle_backlog(self) -> None:
        if len(self._queue) >= self._max_pending:
            self._crowded_out += 1  # the following append removes the oldest
        if not self._problem and not self._wake.is_set():
            self._wake.set()

    @property
    def pending(self) -> int:
        return len(self._queue) + len(self._batch)

    @property
    def dropped(self) -> int:
        return self._crowded_out + self._rejected

    @property
    def problem(self) -> str:
        """Why rows cannot be written; empty when they can."""
        if not self._closing and not self._thread.is_alive():
            return "the writer has stopped after an error (see the log): restart Sizewise"
        return self._problem

    async def flush(self) -> None:
        """Returns when every entry accepted so far is durable. Raises StorageError; the rows then stay pending."""
        await asyncio.to_thread(self._drain)

    async def run_transaction(self, work: UnitOfWork[T]) -> T:
        """`run_transaction_sync` in a thread."""
        return await asyncio.to_thread(self.run_transaction_sync, work)

    def run_transaction_sync(self, work: UnitOfWork[T]) -> T:
        """Runs `work` in a transaction of its own. Raises StorageError or Conflict."""
        with self._write_lock, self._database.write() as connection:
            return work(connection)

    def close(self) -> None:
        """Writes the rest and waits for the thread. Rows that still cannot be written are counted and logged."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._full_log.set()
        self._checkpoints.join()

    def _run(self) -> None:
        patience, next_chores = 0.0, time.monotonic() + 1.0
        while not self._closing:
            self._wait_for_work(patience, next_chores)
            patience = self._flush_batches(patience)
            if not patience and time.monotonic() >= next_chores:
                next_chores = time.monotonic() + (0.0 if self._run_maintenance() else self._maintenance_interval_s)
        if self._flush_batches(0.0):
            log.error("%d records were not written before shutdown: %s", self.pending, self._problem)
            with self._write_lock:
                self._drop_oldest(0)

    def _wait_for_work(self, patience: float, next_chores: float) -> None:
        """Waits until it is time to write: `patience` seconds after a failure, else a while after the first entry, or
        after the last look at the queue if entries came during the commit.

        The while leaves the commit half of the interval, or what the last one took: on a busy machine batches are
        smaller, not later.
        """
        self._wake.clear()
        since = self._begun
        if not patience:
            self._asleep = True
            if not self._queue and not self._closing:  # checked after `_asleep` is set: an entry in between wakes it
                self._wake.wait(max(0.01, next_chores - time.monotonic()))
                since = time.monotonic()
            self._asleep = False
            self._wake.clear()
        if not self._closing and (patience or len(self._queue) < self._full):
            linger = min(self._interval * 0.5, self._interval - self._commit_s)
            self._wake.wait(patience or max(0.0, since + linger - time.monotonic()))

    def _flush_batches(self, patience: float) -> float:
        """Seconds to wait before the next try; 0 if everything was written."""
        try:
            self._drain()
        except StorageError:
            return min(5.0, max(0.1, patience * 2))
        return 0.0

    def _drain(self) -> None:
        with self._write_lock:
            self._begun = time.monotonic()
            there = self.pending  # later entries wait for the next commit
            try:
                while there > 0 and self._take():
                    there -= len(self._batch)
                    self._save(self._batch)
            except StorageError as error:
                self._drop_oldest(self._max_pending)
                if not self._problem:
                    log.warning("cannot write records, keeping up to %d: %s", self._max_pending, error.message)
                self._problem = f"cannot write records: {error.message}"
                raise
            self._commit_s = time.monotonic() - self._begun
            if self._problem:
                log.warning("records are written again; %d were dropped in the meantime", self.dropped)
            self._problem = ""

    def _take(self) -> bool:
        while self._queue and len(self._batch) < MAX_BATCH:
            self._batch.append(self._queue.popleft())
        return bool(self._batch)

    def _save(self, entries: list[RowGroup]) -> None:
        """Writes entries in one transaction. On Conflict it halves them to isolate the rows that cannot be stored."""
        try:
            self._database.apply_rows(
                (self._statements[table], rows) for table, rows in _group_by_table(entries).items()
            )
        except Conflict as refused:
            if len(entries) > 1:
                half = len(entries) // 2
                self._save(entries[:half])
                self._save(entries[half:])
                return
            self._rejected += 1
            log.error("the database rejected a record, which is lost: %s", refused.message)
        self._batch = self._batch[len(entries) :]
        self._unchecked += len(entries)
        if self._unchecked >= CHECKPOINT_INTERVAL:
            self._unchecked = 0
            self._full_log.set()

    def _checkpoint(self) -> None:
        has_log = False
        while not self._closing:
            is_full = self._full_log.wait(EMPTY_LOG_S if has_log else None)
            self._full_log.clear()
            try:
                if is_full:
                    self._database.checkpoint()
                has_log = is_full or not self._database.empty_log()
            except StorageError as error:  # the disk fails: the writer meets the same error and reports it
                log.debug("checkpoint failed: %s", error.message)

    def _drop_oldest(self, max_pending: int) -> None:
        """Drops the oldest entries beyond `max_pending`; those in `_batch` are older than the queue's."""
        excess = self.pending - max_pending
        if excess > 0:
            self._rejected += excess
            from_queue = excess - len(self._batch)
            self._batch = self._batch[excess:]
            for _ in range(from_queue):
                self._queue.popleft()

    def _run_maintenance(self) -> bool:
        """Runs each task once; True if one of them has more to do."""
        more = False
        for chore in self._maintenance:
            try:
                more = self.run_transaction_sync(chore) or more
            except StorageError as error:
                log.warning("maintenance failed, it is retried: %s", error.message)
        self._full_log.set()
        return more


def _group_by_table(entries: Sequence[RowGroup]) -> dict[str, list[RowValues]]:
    groups: dict[str, list[RowValues]] = {}
    for entry in entries:
        for table, rows in entry:
            groups.setdefault(table, []).extend(rows)
    return groups
