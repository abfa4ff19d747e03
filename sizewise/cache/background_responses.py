"""Background responses of this process: queued, run, followed event by event, cancelled; knows no wire and no model.

A response is on disk before it is accepted, as in progress before its model is called, and replaced by the stored
response in one transaction. After a crash a queued one runs; one in progress has failed: it may have been paid for.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sizewise.cache.background_store import BackgroundRequest, BackgroundStore
from sizewise.cache.background_tables import BackgroundRow, BackgroundStatus
from sizewise.cache.event_log import EventLog, compress_events
from sizewise.cache.stored_responses import StoredResponse
from sizewise.errors import EncryptionKeyUnavailable, StorageError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.jobs.run_queue import ANY_AGE_MS, ORPHAN_AFTER_MS
from sizewise.messages import Reply
from sizewise.storage.database import UnitOfWork

log = logging.getLogger("sizewise.cache")
T = TypeVar("T")

POLL_INTERVAL_S = 1.0
RETRY_S = 1.0
"""Between attempts to store a finished response."""


class EndedResponse(Struct, frozen=True):
    """`last_events`: shown to followers once `stored` is durable."""

    stored: StoredResponse
    last_events: bytes


class ActiveResponse:
    """An unfinished response of this process. `call`: the call of the model, once it runs."""

    def __init__(self, row: BackgroundRow) -> None:
        self.row = row
        self.log = EventLog()
        self.call: asyncio.Future[Reply] | None = None
        self.is_cancelled = False
        self.is_claimed = False

    def cancel(self) -> None:
        """Stops the call of the model; a reply that is complete stays."""
        if not self.is_cancelled and self.call is not None:
            self.is_cancelled = True
            self.call.cancel()
        self.is_cancelled = True


Claim = Callable[[UnitOfWork[None]], Awaitable[bool]]
"""Marks a response as in progress, with more work in that transaction; False if it is no longer queued."""


class BackgroundRunner(Protocol):
    """What knows the wire. Raises no SizewiseError."""

    async def run(self, active: ActiveResponse, request: BackgroundRequest, claim: Claim) -> EndedResponse | None:
        """Claims and makes the response. None: another one has it, or the server stops before a model was called."""
        ...

    def cancelled(self, active: ActiveResponse, request: BackgroundRequest) -> EndedResponse: ...
    def interrupted(self, active: ActiveResponse, request: BackgroundRequest) -> EndedResponse:
        """The end of a response whose server is gone."""
        ...


class BackgroundResponses:
    """One per process. `start` before the first `submit`."""

    def __init__(self, store: BackgroundStore, *, max_unfinished: int, max_running: int, shared: bool) -> None:
        """`max_unfinished`: per organization; `max_running`: in this process; `shared`: other servers use the store."""
        self.store = store
        self._max_unfinished = max_unfinished
        self._max_running = max_running
        self._shared = shared
        self._server = secrets.token_hex(8)
        self._runner: BackgroundRunner | None = None
        self._active: dict[str, ActiveResponse] = {}  # by id, queued ones too
        self._waiting: dict[str, ActiveResponse] = {}  # of these, in order
        self._tasks: dict[asyncio.Task[None], ActiveResponse] = {}
        self._lost: list[BackgroundRow] = []  # whose process or task is gone
        self._is_new = True
        self._is_draining = False

    def start(self, runner: BackgroundRunner) -> None:
        self._runner = runner

    @property
    def counts(self) -> tuple[int, int]:
        """Queued and running responses of this process."""
        return len(self._waiting), len(self._tasks)

    async def submit(self, row: BackgroundRow, request: BackgroundRequest, first_events: bytes) -> ActiveResponse:
        """Durable when this returns. Raises Busy, EncryptionKeyUnavailable, StorageError."""
        active = ActiveResponse(replace(row, server=self._server))
        active.log.append(first_events)
        await self.store.insert(active.row, request, self._max_unfinished)
        self._enqueue(active)
        return active

    def find_active(self, id: str, tenant: str, project: str) -> ActiveResponse | None:
        """The response, if this process runs it or is to."""
        active = self._active.get(id)
        mine = active is not None and (active.row.tenant, active.row.project) == (tenant, project)
        return active if mine else None

    async def cancel(self, row: BackgroundRow, request: BackgroundRequest) -> None:
        """Returns when it has ended, or its server was asked to end it. Raises StorageError."""
        active = self._active.get(row.id)
        if active is not None:
            self._stop(active)
            await active.log.wait_closed()
        elif not await self._finish_lost(row, request, "queued"):
            await self.store.ask_to_cancel(row)

    async def delete(self, row: BackgroundRow) -> bool:
        """Whether it existed; it stops, and nothing of it is stored."""
        existed = await self.store.delete(row)
        active = self._active.get(row.id)
        if active is not None:
            self._stop(active)
        return existed

    def _stop(self, active: ActiveResponse) -> None:
        active.cancel()
        if self._waiting.pop(active.row.id, None) is not None:
            self._run(active)

    # ---- the queue

    def _enqueue(self, active: ActiveResponse) -> None:
        self._active[active.row.id] = self._waiting[active.row.id] = active
        self._start_waiting()

    def _start_waiting(self) -> None:
        """Starts as many as may run; the next is of the organization that runs the fewest, then the oldest."""
        while self._waiting and len(self._tasks) < self._max_running and not self._is_draining:
            running = Counter(each.row.tenant for each in self._tasks.values())
            chosen = min(self._waiting.values(), key=lambda each: running[each.row.tenant])
            del self._waiting[chosen.row.id]
            self._run(chosen)

    def _run(self, active: ActiveResponse) -> None:
        task = asyncio.get_running_loop().create_task(self._execute(active))
        self._tasks[task] = active
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        active = self._tasks.pop(task)
        self._active.pop(active.row.id, None)
        active.log.close()
        if not task.cancelled() and (fault := task.exception()) is not None:  # only its type: it may hold a prompt
            log.error("unexpected %s in the background response %s", type(fault).__name__, active.row.id)
            self._lost.append(active.row)
        self._start_waiting()

    async def _execute(self, active: ActiveResponse) -> None:
        row = active.row
        found = await self._until_stored(lambda: self.store.find(row.id, row.tenant, row.project))
        if found is None:
            return
        request, runner = found[1], self._require_runner()

        async def claim(also: UnitOfWork[None]) -> bool:
            active.is_claimed = await self._until_stored(lambda: self.store.claim(row, also))
            return active.is_claimed

        ended = runner.cancelled(active, request) if active.is_cancelled else await runner.run(active, request, claim)
        if ended is None:
            if active.is_claimed:
                await self.store.change_status(row, "in_progress", "queued")
            return
        events = await asyncio.to_thread(compress_events, active.log.events, ended.last_events)
        stored = replace(ended.stored, events=events)
        if await self._until_stored(lambda: self.store.finish(row, stored)):
            active.log.append(ended.last_events)

    async def _until_stored(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeats `work` while the database or the encryption key is away."""
        while True:
            try:
                return await work()
            except (StorageError, EncryptionKeyUnavailable) as error:
                log.warning("a background response waits for its storage: %s", error.message)
                await asyncio.sleep(RETRY_S)

    def _require_runner(self) -> BackgroundRunner:
        assert self._runner is not None, "not started"
        return self._runner

    # ---- other processes

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("background responses", POLL_INTERVAL_S, self.take_over, at_once=True)]

    async def take_over(self) -> None:
        """Takes over what a process that is gone has left: at the start, and from other servers of the database.

        Raises StorageError, EncryptionKeyUnavailable: what it left waits.
        """
        if self._is_new or self._shared:
            self._lost += await self._take_over()
            self._is_new = False
        while self._lost:
            await self._end_lost(self._lost[-1])
            self._lost.pop()

    async def _take_over(self) -> list[BackgroundRow]:
        """Queues what was queued, and returns what was in progress."""
        mine = tuple(self._active.values())
        if self._shared and mine:
            statuses = await self.store.renew(self._server)
            for active in mine:  # all were inserted before the look
                if statuses.get(active.row.id, "cancelling") == "cancelling":
                    self._stop(active)
        rows = await self.store.take_orphans(self._server, ORPHAN_AFTER_MS if self._shared else ANY_AGE_MS)
        for row in rows:
            if row.status == "queued":
                self._enqueue(ActiveResponse(row))
        return [row for row in rows if row.status != "queued"]

    async def _end_lost(self, row: BackgroundRow) -> None:
        found = await self.store.find(row.id, row.tenant, row.project)
        if found is not None:
            await self._finish_lost(*found)

    async def _finish_lost(self, row: BackgroundRow, request: BackgroundRequest, *statuses: BackgroundStatus) -> bool:
        """Ends a response that this process does not run; False if it has none of `statuses`."""
        runner, active = self._require_runner(), ActiveResponse(row)
        was_cancelled = row.status != "in_progress"
        ended = runner.cancelled(active, request) if was_cancelled else runner.interrupted(active, request)
        return await self.store.finish(row, ended.stored, *statuses)

    # ---- the end

    async def drain(self) -> None:
        """Starts no more, and returns when none runs. Queued ones go on at the next start."""
        self._is_draining = True
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, timeout_s: float) -> None:
        """Waits for ended ones to be stored, and leaves the others."""
        self._is_draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in tuple(self._tasks):
            task.cancel()


async def follow(active: ActiveResponse, after: int) -> AsyncIterator[bytes]:
    """Events after number `after`, as they come, several at once; ends with the response."""
    position = after + 1
    while await active.log.wait_beyond(position):
        yield b"".join(active.log.events[position:])
        position = len(active.log.events)
