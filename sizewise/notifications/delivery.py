"""Delivery of the outbox: claims what is due, sends it, and retries with back-off; knows no receiver's format.

At least once: a message that was sent when its process died is sent again. Each receiver has its own task, so a dead
one delays no other. Several servers of a database share the work.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import MappingProxyType

from sizewise.errors import PathNotFound, SizewiseError, StorageError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.notifications import tables
from sizewise.notifications.outbox import Outbox
from sizewise.notifications.tables import OutboxMessage, ReceiverStatus
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

log = logging.getLogger("sizewise.notifications")

SendMessage = Callable[[OutboxMessage], Awaitable[None]]
"""Raises SizewiseError, without path and secret, if the receiver did not take it."""

POLL_S = 1.0
"""Seconds between two looks at the outbox: for messages of other processes, and those to be retried."""
WAKE_S = 0.02
"""Seconds from adding a message to the look at it: its transaction has ended by then."""
BATCH = 20
"""Messages of one receiver that are claimed at a time."""
CLAIM_S = 60.0
"""Seconds after which another server delivers what one has claimed."""
MAX_ATTEMPTS = 8
RETRY_DELAYS_S = (0.5, 5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
"""Before each retry, half of it random: about two hours in all."""
SHUTDOWN_TIMEOUT_S = 2.0
"""Seconds that a shutdown waits for deliveries; the next start goes on with the rest."""
RETENTION_S = 3_600.0


class Deliveries:
    """One per process that delivers; outlives a reload. For the event loop."""

    def __init__(
        self,
        outbox: Outbox,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        *,
        shared: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`shared`: other servers deliver from the same database."""
        self._outbox = outbox
        self._read = read
        self._write = write
        self._shared = shared
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._receivers: Mapping[str, SendMessage] = MappingProxyType({})
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, str] = {}
        self._wake = asyncio.Event()

    def prepare(self, receivers: Mapping[str, SendMessage]) -> Callable[[], None]:
        """Returns the function that applies `receivers`, by their name in the outbox."""

        def apply() -> None:
            self._receivers = MappingProxyType(dict(receivers))
            self._problems = {name: why for name, why in self._problems.items() if name in receivers}
            self._wake.set()

        return apply

    async def send_now(self, message: OutboxMessage) -> None:
        """Sends a message that is not in the outbox, once. Raises SizewiseError if its receiver did not take it."""
        send = self._receivers.get(message.receiver)
        if send is None:
            raise PathNotFound(f"there is no receiver {message.receiver!r}", "reload the settings")
        await send(message)

    def impaired(self) -> list[str]:
        """Receivers whose last delivery failed, with the reason."""
        return list(self._problems.values())

    def statuses(self) -> list[ReceiverStatus]:
        """Of all receivers with messages. Raises StorageError."""
        return self._read(tables.receiver_statuses)

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("retention of the outbox", RETENTION_S, self._delete_old, leader_only=True)]

    async def _delete_old(self) -> None:
        retention = tables.OutboxRetention()
        while await self._write(partial(retention, now=self._now())):
            pass

    async def run(self) -> None:
        """Delivers until cancelled."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(loop.call_later, WAKE_S, self._wake.set)

        self._outbox.on_add = wake
        released = self._shared
        while True:
            try:
                if not released:
                    await self._write(partial(tables.release_claims, now=self._now()))
                    released = True
                await self._start_due()
            except StorageError as error:
                log.debug("the outbox cannot be read: %s", error.message)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            self._wake.clear()

    async def stop(self) -> None:
        """Delivers what is due for at most SHUTDOWN_TIMEOUT_S; the rest stays in the outbox."""
        with suppress(StorageError):
            await self._start_due()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=SHUTDOWN_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _start_due(self) -> None:
        idle = [name for name in self._receivers if name not in self._tasks]
        if not idle:
            return
        for name in await asyncio.to_thread(self._read, partial(tables.due_receivers, receivers=idle, now=self._now())):
            if name in self._receivers and name not in self._tasks:
                self._tasks[name] = asyncio.get_running_loop().create_task(self._run(name, self._deliver_due(name)))

    async def _run(self, name: str, work: Coroutine[object, None, None]) -> None:
        try:
            await work
        except StorageError as error:  # what was sent and not settled is sent again
            log.warning("deliveries to %r cannot be written down: %s", name, error.message)
        finally:
            self._tasks.pop(name, None)
            self._wake.set()  # a message may have come meanwhile

    async def _deliver_due(self, name: str) -> None:
        while send := self._receivers.get(name):
            begun, now = time.monotonic(), self._now()
            claim = partial(
                tables.claim_messages,
                receiver=name,
                holder=self._holder,
                now=now,
                until=now + round(CLAIM_S * 1_000),
                limit=BATCH,
            )
            batch = await self._write(claim)
            await self._deliver(name, send, batch, begun)
            if len(batch) < BATCH:
                return

    async def _deliver(self, name: str, send: SendMessage, batch: Sequence[OutboxMessage], begun: float) -> None:
        for message in batch:
            if time.monotonic() - begun > CLAIM_S / 2:
                return  # the claims of the rest end soon
            error = ""
            try:
                await send(message)
            except SizewiseError as failure:
                error = failure.message
            self._report(name, message, error)
            await self._write(
                partial(
                    tables.settle_message,
                    number=message.number,
                    now=self._now(),
                    error=error,
                    retry_at=self._retry_at(message.attempts),
                )
            )

    def _report(self, name: str, message: OutboxMessage, error: str) -> None:
        if not error:
            self._problems.pop(name, None)
            return
        kind, _, own = name.partition(".")
        self._problems[name] = f"the {kind.removesuffix('s')} {own!r} failed: {error}"
        if message.attempts + 1 >= MAX_ATTEMPTS:
            log.warning("%s; a message was given up after %d attempts", self._problems[name], MAX_ATTEMPTS)

    def _retry_at(self, attempts: int) -> int | None:
        """Unix ms; None after the last attempt. `attempts`: before this one."""
        if attempts + 1 >= MAX_ATTEMPTS:
            return None
        pause_s = RETRY_DELAYS_S[min(attempts, len(RETRY_DELAYS_S) - 1)]
        return self._now() + round(pause_s * (500 + secrets.randbelow(500)))

    def _now(self) -> int:
        """Unix ms."""
        return round(self._clock() * 1_000)
