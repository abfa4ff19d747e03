"""Eval runs of this process: queued, run, canceled, taken over from servers that are gone; asks no model.

Each item's result is on disk before it counts. A run that was stopped, also by kill -9, goes on with the items that
have none; those in flight are asked again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import EncryptionKeyUnavailable, StorageError
from sizewise.evals.hosted.data_sources import DataRow
from sizewise.evals.hosted.eval_store import HostedEvalStore, RunContent, now_ms
from sizewise.evals.hosted.results import GradedItem
from sizewise.evals.hosted.tables import RunRow, RunStatus
from sizewise.jobs.periodic_tasks import PeriodicTask

log = logging.getLogger("sizewise.evals")
T = TypeVar("T")

POLL_INTERVAL_S = 1.0
ORPHAN_AFTER_MS = 30_000
"""A server of a shared database that was not seen for so long runs nothing any more."""
RETRY_S = 1.0
"""Between attempts to reach a storage that is away."""


class RunEnd(Struct, frozen=True):
    """`error`: code and message of what ended it before its last item; None: nothing did."""

    error: tuple[str, str] | None = None


class RunTask:
    """A run of this process. `done`: positions that have a result; `spent`: their pico-dollars."""

    def __init__(
        self,
        row: RunRow,
        content: RunContent,
        *,
        rows: Sequence[DataRow],
        done: set[int],
        spent: int,
        keep: Callable[[GradedItem], Awaitable[bool]],
    ) -> None:
        self.row = row
        self.content = content
        self.rows = rows
        self.done = done
        self.spent = spent
        self.keep = keep
        self.is_stopping = False


class EvalRunner(Protocol):
    """What asks the models. Raises no SizewiseError."""

    async def run(self, task: RunTask) -> RunEnd | None:
        """Answers and grades what is not done. None: it was stopped, and goes on elsewhere or later."""
        ...


class EvalRunQueue:
    """One per process. `start` before the first `submit`."""

    def __init__(self, store: HostedEvalStore, *, max_running: int, shared: bool) -> None:
        """`max_running`: in this process; `shared`: other servers use the store."""
        self.store = store
        self._max_running = max_running
        self._shared = shared
        self._server = secrets.token_hex(8)
        self._runner: EvalRunner | None = None
        self._waiting: dict[str, RunRow] = {}  # by id, in order
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tenants: dict[str, str] = {}  # of those that run
        self._works: dict[str, RunTask] = {}
        self._is_new = True
        self._is_draining = False

    def start(self, runner: EvalRunner) -> None:
        self._runner = runner

    async def submit(self, row: RunRow, content: RunContent, rows: Sequence[DataRow]) -> RunRow:
        """Durable when this returns. Raises Busy, Conflict, EncryptionKeyUnavailable, StorageError."""
        row = replace(row, server=self._server)
        await self.store.insert_run(row, content, rows)
        self._enqueue(row)
        return row

    async def cancel(self, row: RunRow) -> None:
        """It has ended when this returns; another server's calls end within its next look. Raises StorageError."""
        await self.store.end_run(row, "canceled")
        self._stop(row.id)

    async def delete(self, row: RunRow) -> bool:
        """Whether it existed."""
        existed = await self.store.delete_run(row)
        self._stop(row.id)
        return existed

    def _stop(self, id: str) -> None:
        self._waiting.pop(id, None)
        if id in self._running:
            self._running[id].cancel()

    # ---- the queue

    def _enqueue(self, row: RunRow) -> None:
        if row.id not in self._running:
            self._waiting[row.id] = row
            self._start_waiting()

    def _start_waiting(self) -> None:
        """Starts as many as may run; the next is of the organization that runs the fewest, then the oldest."""
        while self._waiting and len(self._running) < self._max_running and not self._is_draining:
            running = Counter(self._tenants.values())
            row = min(self._waiting.values(), key=lambda each: running[each.tenant])
            del self._waiting[row.id]
            task = asyncio.get_running_loop().create_task(self._execute(row))
            self._running[row.id], self._tenants[row.id] = task, row.tenant
            task.add_done_callback(partial(self._on_done, row.id))

    def _on_done(self, id: str, task: asyncio.Task[None]) -> None:
        for each in (self._running, self._tenants, self._works):
            each.pop(id, None)
        if not task.cancelled() and (fault := task.exception()) is not None:  # only its type: it may hold a prompt
            log.error("unexpected %s in the eval run %s", type(fault).__name__, id)
        self._start_waiting()

    async def _execute(self, row: RunRow) -> None:
        if not await self._until_stored(lambda: self.store.claim(row)):
            return
        found = await self._until_stored(lambda: self.store.find_run(row.tenant, row.project, row.id))
        if found is None:
            return
        done, spent = await self._until_stored(lambda: self.store.progress(row.id))
        rows = await self._until_stored(lambda: self.store.rows(row))
        task = RunTask(row, found.content, rows=rows, done=done, spent=spent, keep=lambda item: self._keep(row, item))
        self._works[row.id] = task
        task.is_stopping = self._is_draining
        assert self._runner is not None, "not started"
        try:
            ended = await self._runner.run(task)
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self._until_stored(
                lambda: self.store.end_run(row, "failed", ("internal_error", "internal error: see the server's log"))
            )
            raise
        if ended is None:
            return await self.store.release(row)
        status: RunStatus = "completed" if ended.error is None else "failed"
        await self._until_stored(partial(self.store.end_run, row, status, ended.error))

    async def _keep(self, row: RunRow, item: GradedItem) -> bool:
        return await self._until_stored(lambda: self.store.insert_item(row, item))

    async def _until_stored(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeats `work` while the database or the encryption key is away."""
        while True:
            try:
                return await work()
            except (StorageError, EncryptionKeyUnavailable) as error:
                log.warning("an eval run waits for its storage: %s", error.message)
                await asyncio.sleep(RETRY_S)

    # ---- other processes

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("eval runs", POLL_INTERVAL_S, self.take_over, at_once=True)]

    async def take_over(self) -> None:
        """Takes over runs of processes that are gone, and stops those that others canceled or deleted.

        Raises StorageError, EncryptionKeyUnavailable.
        """
        if self._is_draining:
            return
        mine = tuple(self._running)
        if self._shared and mine:
            unfinished = await self.store.renew(self._server)
            for id in set(mine) - unfinished:
                self._stop(id)
        if self._is_new or self._shared:
            before = now_ms() - ORPHAN_AFTER_MS if self._shared else now_ms() + 1
            for row in await self.store.take_orphans(self._server, before):
                self._enqueue(row)
            self._is_new = False

    # ---- the end

    async def drain(self) -> None:
        """Begins no more items, and returns when none is in flight. The runs go on at the next start."""
        self._is_draining = True
        for each in self._works.values():
            each.is_stopping = True
        if self._running:
            await asyncio.wait(self._running.values())

    async def close(self, timeout_s: float) -> None:
        """Waits for the items in flight, and leaves what takes longer."""
        draining = asyncio.ensure_future(self.drain())
        await asyncio.wait({draining}, timeout=timeout_s)
        for task in (*self._running.values(), draining):
            task.cancel()
