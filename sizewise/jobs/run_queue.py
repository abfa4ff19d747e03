"""Durable runs of this process: queued, run a few at a time, taken over from servers that are gone; knows no work.

The rows are in a store that servers may share. A run that was stopped, also by kill -9, goes on where it is told to.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from sizewise.errors import EncryptionKeyUnavailable, StorageError
from sizewise.jobs.periodic_tasks import PeriodicTask

log = logging.getLogger("sizewise.jobs")

POLL_INTERVAL_S = 1.0
ORPHAN_AFTER_MS = 20_000
"""A server of a shared database that was not seen for so long runs nothing any more."""
ANY_AGE_MS = -(2**52)
"""Of the only server of a database what another process ran is taken over however lately it was seen."""
RETRY_S = 1.0
"""Between attempts to reach a storage that is away."""


class QueuedRow(Protocol):
    """The row of a run. `tenant`: its organization."""

    @property
    def id(self) -> str: ...
    @property
    def tenant(self) -> str: ...


RowT = TypeVar("RowT", bound=QueuedRow)
StoredT = TypeVar("StoredT")


class RunRows(Protocol[RowT]):
    """Where the rows are. Raises StorageError, EncryptionKeyUnavailable."""

    async def claim(self, row: RowT) -> bool:
        """Whether this server has it and it is unfinished."""
        ...

    async def release(self, row: RowT) -> None:
        """Leaves it to the next server that looks."""
        ...

    async def fail(self, row: RowT) -> bool:
        """After an unforeseen fault in its run. Whether it goes on, with what is left to do; otherwise it has ended."""
        ...

    async def take_orphans(self, server: str, silent_ms: int) -> Sequence[RowT]:
        """Unfinished rows whose server was not seen for `silent_ms`; they are this server's now."""
        ...

    async def renew(self, server: str) -> set[str]:
        """Marks the unfinished rows of `server` as seen, and returns their ids."""
        ...


class StopFlag:
    """Of one run. `is_set`: it may begin nothing more."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        self.is_set = False


class RetryLater(Exception):
    """Raised by a run that cannot go on for now: it is run again after `delay_s`, and holds no place until then."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(delay_s)
        self.delay_s = delay_s


class RunQueue(Generic[RowT]):
    """One per process and kind of run. `start` before the first `enqueue`."""

    def __init__(self, rows: RunRows[RowT], what: str, *, max_running: int, shared: bool) -> None:
        """`what`: as logs call the runs. `max_running`: in this process; `shared`: other servers use the store."""
        self.server = secrets.token_hex(8)
        self._rows = rows
        self._what = what
        self._max_running = max_running
        self._shared = shared
        self._run: Callable[[RowT, StopFlag], Awaitable[bool]] | None = None
        self._waiting: dict[str, RowT] = {}  # by id, in order
        self._delayed: dict[str, asyncio.TimerHandle] = {}  # by id; each is enqueued at its time
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tenants: dict[str, str] = {}  # of those that run
        self._flags: dict[str, StopFlag] = {}
        self._failing = set[asyncio.Task[None]]()
        self._is_new = True
        self._is_draining = False

    def start(self, run: Callable[[RowT, StopFlag], Awaitable[bool]]) -> None:
        """`run`: returns False if the run has not ended, and goes on elsewhere or later. May raise RetryLater."""
        self._run = run

    def enqueue(self, row: RowT) -> None:
        self._forget_delay(row.id)
        if row.id not in self._running:
            self._waiting[row.id] = row
            self._start_waiting()

    def stop(self, id: str) -> None:
        """At once: its calls are cancelled."""
        self._forget_delay(id)
        self._waiting.pop(id, None)
        if id in self._running:
            self._running[id].cancel()

    def _forget_delay(self, id: str) -> None:
        timer = self._delayed.pop(id, None)
        if timer is not None:
            timer.cancel()

    def _start_waiting(self) -> None:
        """Starts as many as may run; the next is of the organization that runs the fewest, then the oldest."""
        while self._waiting and len(self._running) < self._max_running and not self._is_draining:
            running = Counter(self._tenants.values())
            row = min(self._waiting.values(), key=lambda each: running[each.tenant])
            del self._waiting[row.id]
            task = asyncio.get_running_loop().create_task(self._execute(row))
            self._running[row.id], self._tenants[row.id] = task, row.tenant
            task.add_done_callback(partial(self._on_done, row))

    def _on_done(self, row: RowT, task: asyncio.Task[None]) -> None:
        for each in (self._running, self._tenants, self._flags):
            each.pop(row.id, None)
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, RetryLater):
            self._delayed[row.id] = asyncio.get_running_loop().call_later(fault.delay_s, self.enqueue, row)
        elif fault is not None:  # only its type: it may hold a prompt
            log.error("unexpected %s in one of the %s: %s", type(fault).__name__, self._what, row.id)
            failing = asyncio.get_running_loop().create_task(self._fail(row))
            self._failing.add(failing)
            failing.add_done_callback(self._failing.discard)
        self._start_waiting()

    async def _fail(self, row: RowT) -> None:
        if await self.until_stored(lambda: self._rows.fail(row)):
            self.enqueue(row)

    async def _execute(self, row: RowT) -> None:
        if not await self.until_stored(lambda: self._rows.claim(row)):
            return
        flag = self._flags[row.id] = StopFlag()
        flag.is_set = self._is_draining
        assert self._run is not None, "not started"
        if not await self._run(row, flag):
            await self.until_stored(lambda: self._rows.release(row))

    async def until_stored(self, work: Callable[[], Awaitable[StoredT]]) -> StoredT:
        """Repeats `work` while the database or the encryption key is away."""
        while True:
            try:
                return await work()
            except (StorageError, EncryptionKeyUnavailable) as error:
                log.warning("%s wait for their storage: %s", self._what, error.message)
                await asyncio.sleep(RETRY_S)

    # ---- other processes

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask(self._what, POLL_INTERVAL_S, self.take_over, at_once=True)]

    async def take_over(self) -> None:
        """Takes over runs of processes that are gone, unless it drains, and stops those that others ended or deleted.

        Raises StorageError, EncryptionKeyUnavailable.
        """
        mine = (*self._running, *self._delayed)
        if self._shared and mine:
            unfinished = await self._rows.renew(self.server)
            for id in set(mine) - unfinished:
                self.stop(id)
        if (self._is_new or self._shared) and not self._is_draining:
            silent_ms = ORPHAN_AFTER_MS if self._shared else ANY_AGE_MS
            for row in await self._rows.take_orphans(self.server, silent_ms):
                self.enqueue(row)
            self._is_new = False

    # ---- the end

    async def drain(self) -> None:
        """Begins no more work, and returns when none is in flight. The runs go on at the next start."""
        self._is_draining = True
        for each in self._flags.values():
            each.is_set = True
        if self._running:
            await asyncio.wait(self._running.values())

    async def close(self, timeout_s: float) -> None:
        """Waits for the work in flight, and leaves what takes longer."""
        draining = asyncio.ensure_future(self.drain())
        await asyncio.wait({draining}, timeout=timeout_s)
        for task in (*self._running.values(), draining):
            task.cancel()
        for timer in self._delayed.values():
            timer.cancel()
