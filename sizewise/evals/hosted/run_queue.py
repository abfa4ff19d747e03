"""Eval runs of this process, on the queue of jobs/run_queue.py: submitted, canceled, deleted; asks no model.

Each item's result is on disk before it counts. A run that was stopped, also by kill -9, goes on with the items that
have none; those in flight are asked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from sizewise.evals.hosted.data_sources import DataRow
from sizewise.evals.hosted.eval_store import HostedEvalStore, RunContent
from sizewise.evals.hosted.results import GradedItem
from sizewise.evals.hosted.tables import RunRow, RunStatus
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.jobs.run_queue import RunQueue, StopFlag


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
        flag: StopFlag,
    ) -> None:
        self.row = row
        self.content = content
        self.rows = rows
        self.done = done
        self.spent = spent
        self.keep = keep
        self._flag = flag

    @property
    def is_stopping(self) -> bool:
        return self._flag.is_set


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
        self._queue = RunQueue(store, "eval runs", max_running=max_running, shared=shared)
        self.drain, self.close = self._queue.drain, self._queue.close

    def start(self, runner: EvalRunner) -> None:
        self._queue.start(partial(self._execute, runner))

    def periodic_tasks(self) -> list[PeriodicTask]:
        return self._queue.periodic_tasks()

    async def submit(self, row: RunRow, content: RunContent, rows: Sequence[DataRow]) -> RunRow:
        """Durable when this returns. Raises Busy, Conflict, EncryptionKeyUnavailable, StorageError."""
        row = replace(row, server=self._queue.server)
        await self.store.insert_run(row, content, rows)
        self._queue.enqueue(row)
        return row

    async def cancel(self, row: RunRow) -> None:
        """It has ended when this returns; another server's calls end within its next look. Raises StorageError."""
        await self.store.end_run(row, "canceled")
        self._queue.stop(row.id)

    async def delete(self, row: RunRow) -> bool:
        """Whether it existed."""
        existed = await self.store.delete_run(row)
        self._queue.stop(row.id)
        return existed

    async def _execute(self, runner: EvalRunner, row: RunRow, flag: StopFlag) -> bool:
        until_stored = self._queue.until_stored
        found = await until_stored(lambda: self.store.find_run(row.tenant, row.project, row.id))
        if found is None:
            return True
        done, spent = await until_stored(lambda: self.store.progress(row.id))
        rows = await until_stored(lambda: self.store.rows(row))

        async def keep(item: GradedItem) -> bool:
            return await until_stored(lambda: self.store.insert_item(row, item))

        task = RunTask(row, found.content, rows=rows, done=done, spent=spent, keep=keep, flag=flag)
        ended = await runner.run(task)
        if ended is None:
            return False
        status: RunStatus = "completed" if ended.error is None else "failed"
        await until_stored(partial(self.store.end_run, row, status, ended.error))
        return True
