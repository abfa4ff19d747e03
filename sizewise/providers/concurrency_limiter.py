"""Concurrency limiter: bounded slots per model with a queue fair across keys; knows no model and no policy.

The queue takes turns among keys, and is first come, first served within a key. Background requests, such as those that
embed documents, let all others go first. The queue is bounded in length and in time: a request that would wait too
long, or longer than it has left, is rejected at once, with the predicted wait in `retry_after`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from sizewise.attempt_progress import AttemptStage, ProgressUpdate
from sizewise.errors import Busy
from sizewise.handler import Handler, Request, Send
from sizewise.messages import Reply

SMOOTHING = 0.2  # weight of the newest service time in the average
TURNS_BEFORE_BACKGROUND = 8
"""Requests in a row that overtake a waiting background request; then one of those has its turn."""

Waiter = asyncio.Future[None]
Lines = OrderedDict[str, deque[Waiter]]  # by key, in the order of turns


class FairQueue:
    """`slots` (at least 1) requests run at a time; `max_waiting` more wait, each for at most `max_wait_s` seconds.

    Never more than `slots` are in use, and none is free while a request waits. When the queue is full, a request whose
    key has fewer waiting replaces the newest of the key with the most, so that no key fills the queue alone; background
    requests are replaced first.
    """

    def __init__(
        self,
        name: str,
        *,
        slots: int,
        max_waiting: int,
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._slots = slots
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._foreground: Lines = OrderedDict()
        self._background: Lines = OrderedDict()
        self._overtaken = 0  # turns since the last one of a background request, while one waits
        self._average_service_s = 0.0  # exponentially weighted; 0 until the first request ends
        self._last_start = 0.0  # when a slot was last taken or passed on
        self.available = slots
        self.waiting = 0
        self.total_wait_s = 0.0  # of all requests that waited
        self.rejected_count = 0

    @property
    def has_free_slot(self) -> bool:
        """Whether a new request would begin at once."""
        return self.available > 0 and not self.waiting

    @property
    def in_use(self) -> int:
        return self._slots - self.available

    async def acquire(self, key: str, remaining_s: float = math.inf, *, background: bool = False) -> None:
        """Returns with a slot, which `release` frees. Raises Busy, with the predicted wait in `retry_after`.

        `remaining_s`: seconds that the request has left; one that would wait longer is rejected.
        """
        if self.has_free_slot:
            self.available -= 1
            self._last_start = self._clock()
            return
        self._check_capacity(key, remaining_s, background)
        place = asyncio.get_running_loop().create_future()
        lines = self._background if background else self._foreground
        lines.setdefault(key, deque()).append(place)
        self.waiting += 1
        self._on_wait()
        since = self._clock()
        try:
            async with asyncio.timeout(self._max_wait_s):
                await place
        except TimeoutError:
            self._remove_waiter(lines, key, place)
            raise self._busy_error(key, f"{self.name!r} had no free slot within {self._max_wait_s:g} s") from None
        except asyncio.CancelledError:
            self._remove_waiter(lines, key, place)
            raise
        finally:
            self.total_wait_s += self._clock() - since

    def release(self, service_s: float | None = None) -> None:
        """Passes the slot to the next waiter. `service_s`: seconds the request took; None if it did not complete."""
        if service_s is not None:
            self._average_service_s += (service_s - self._average_service_s) * (
                SMOOTHING if self._average_service_s else 1.0
            )
        self._pass_on()

    def _pass_on(self) -> None:
        """Gives a free slot to the next waiter."""
        while lines := self._next_lines():
            key, line = next(iter(lines.items()))
            place = line.popleft()
            self.waiting -= 1
            if line:
                lines.move_to_end(key)
            else:
                del lines[key]
            if not place.done():
                place.set_result(None)
                self._last_start = self._clock()
                return
        self.available += 1

    def predicted_wait_s(self, key: str, *, background: bool = False) -> float:
        """Seconds that a new request of `key` would wait: the turns before it times the average service time.

        That average is at least the time that all running requests have taken so far.
        """
        if self.has_free_slot:
            return 0.0
        lines = self._background if background else self._foreground
        mine = len(lines.get(key, ()))
        turns = 1 + mine + sum(min(len(line), mine + 1) for other, line in lines.items() if other != key)
        if background:
            turns += sum(map(len, self._foreground.values()))
        return turns * max(self._average_service_s, self._clock() - self._last_start) / self._slots

    def _on_wait(self) -> None:
        """Called when a request begins to wait."""

    def _next_lines(self) -> Lines | None:
        """Those whose turn it is; None if no request waits."""
        if not self._background:
            return self._foreground or None
        if self._foreground and self._overtaken < TURNS_BEFORE_BACKGROUND:
            self._overtaken += 1
            return self._foreground
        self._overtaken = 0
        return self._background

    def _check_capacity(self, key: str, remaining_s: float, background: bool) -> None:
        predicted = self.predicted_wait_s(key, background=background)
        if predicted > min(self._max_wait_s, remaining_s):
            words = f"{self.name!r} would have no free slot for about {predicted:.0f} s"
            if remaining_s < self._max_wait_s:
                words += f", and the request has {max(0.0, remaining_s):.1f} s left"
            raise self._busy_error(key, words)
        if self.waiting < self._max_waiting:
            return
        lines = self._background if background else self._background or self._foreground
        longest = max(lines, key=lambda each: len(lines[each]), default=key)
        words = f"all {self._slots} slots of {self.name!r} are in use, and {self.waiting} requests are queued"
        yields = lines is self._background and not background
        if not yields and len(lines.get(longest, ())) <= len(lines.get(key, ())) + 1:
            raise self._busy_error(key, words)
        last = lines[longest][-1]
        self._remove_waiter(lines, longest, last)
        if not last.done():
            last.set_exception(self._busy_error(longest, words))

    def _remove_waiter(self, lines: Lines, key: str, waiter: Waiter) -> None:
        """Takes `waiter` out of its queue. If it was given a slot at this moment, the slot passes to the next."""
        line = lines.get(key)
        if line is not None and waiter in line:
            line.remove(waiter)
            self.waiting -= 1
            if not line:
                del lines[key]
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.release()

    def _busy_error(self, key: str, words: str) -> Busy:
        self.rejected_count += 1
        wait = max(1, math.ceil(self.predicted_wait_s(key)))
        return Busy(words, f"try again in about {wait} s, or use another model", retry_after=wait)


class NewQueue(Protocol):
    """Makes the queue of a model."""

    def __call__(self, name: str, /, *, slots: int, max_waiting: int, max_wait_s: float) -> FairQueue: ...


class ConcurrencyLimitHandler:
    """Handler behind a FairQueue. A cancelled request frees its place or slot at once."""

    __slots__ = ("_clock", "_handler", "queue")

    def __init__(self, handler: Handler, queue: FairQueue, clock: Callable[[], float] = time.monotonic) -> None:
        self._handler = handler
        self.queue = queue
        self._clock = clock

    async def __call__(self, request: Request, send: Send) -> Reply:
        since = self._clock()
        if request.options.progress and not self.queue.has_free_slot:
            await send(ProgressUpdate("queued", self.queue.name))
        await self.queue.acquire(request.principal.key_id, _remaining_s(request), background=request.background)
        began, served = self._clock(), None
        try:
            await send(AttemptStage("queued", began - since, self.queue.in_use))
            reply = await self._handler(request, send)
            served = self._clock() - began
            return reply
        finally:
            self.queue.release(served)


def _remaining_s(request: Request) -> float:
    """Seconds until the caller's own deadline."""
    limit_ms = request.options.max_latency_ms
    return math.inf if limit_ms is None else limit_ms / 1_000 - (time.perf_counter() - request.started_at)
