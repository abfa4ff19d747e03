"""So many requests at a time for one model, and a fair line before it; knows no model and no policy.

Fair among keys: each key in the line has its turn, and within a key who came first goes first. The line is bounded in
length and in time: who would wait too long is told so at once, with the time after which it is worth coming back.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from sizewise.errors import Busy
from sizewise.handler import Answerer, Ask, Send
from sizewise.messages import Reply

WEIGHT = 0.2  # of the newest service time in the average

Place = asyncio.Future[None]


class Slots:
    """`slots` (at least 1) at a time; `queue` more may wait, each for at most `wait_s` seconds.

    Never more than `slots` hold one, and none is free while somebody waits. When the line is full, a key with fewer
    in it takes the last place of the key with most, so that nobody can fill the line alone.
    """

    def __init__(
        self, name: str, slots: int, queue: int, wait_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._slots = slots
        self._queue = queue
        self._wait_s = wait_s
        self._clock = clock
        self._lines: OrderedDict[str, deque[Place]] = OrderedDict()  # by key, whose turn is next first
        self._service_s = 0.0  # exponentially weighted; 0: none has ended yet
        self.free = slots
        self.waiting = 0
        self.waited_s = 0.0  # of all who have waited
        self.turned_away = 0

    @property
    def busy(self) -> int:
        return self._slots - self.free

    async def take(self, key: str) -> None:
        """Returns with a slot, to be given back by `give`. Raises Busy, with the predicted time in `retry_after`."""
        if self.free and not self.waiting:
            self.free -= 1
            return
        self._admit(key)
        place = asyncio.get_running_loop().create_future()
        self._lines.setdefault(key, deque()).append(place)
        self.waiting += 1
        since = self._clock()
        try:
            async with asyncio.timeout(self._wait_s):
                await place
        except TimeoutError:
            self._leave(key, place)
            raise self._busy(key, f"{self._name!r} had no free slot within {self._wait_s:g} s") from None
        except asyncio.CancelledError:
            self._leave(key, place)
            raise
        finally:
            self.waited_s += self._clock() - since

    def give(self, served_s: float | None = None) -> None:
        """Gives a slot back, to whoever's turn it is. `served_s`: how long an answer took that came to its end."""
        if served_s is not None:
            self._service_s += (served_s - self._service_s) * (WEIGHT if self._service_s else 1.0)
        while self._lines:
            key, line = next(iter(self._lines.items()))
            place = line.popleft()
            self.waiting -= 1
            if line:
                self._lines.move_to_end(key)
            else:
                del self._lines[key]
            if not place.done():
                place.set_result(None)
                return
        self.free += 1

    def predicted(self, key: str) -> float:
        """Seconds that `key` would wait if it came now: the turns before its own, at the pace of late."""
        if self.free and not self.waiting:
            return 0.0
        mine = len(self._lines.get(key, ()))
        turns = 1 + mine + sum(min(len(line), mine + 1) for other, line in self._lines.items() if other != key)
        return turns * self._service_s / self._slots

    def _admit(self, key: str) -> None:
        predicted = self.predicted(key)
        if predicted > self._wait_s:
            raise self._busy(key, f"{self._name!r} would have a free slot only in about {predicted:.0f} s")
        if self.waiting < self._queue:
            return
        longest = max(self._lines, key=lambda each: len(self._lines[each]), default=key)
        words = f"{self._name!r} has its {self._slots} slots taken, and {self.waiting} requests wait already"
        if len(self._lines.get(longest, ())) <= len(self._lines.get(key, ())) + 1:
            raise self._busy(key, words)
        last = self._lines[longest][-1]
        self._leave(longest, last)
        if not last.done():
            last.set_exception(self._busy(longest, words))

    def _leave(self, key: str, place: Place) -> None:
        """Takes `place` out of its line; a slot that it was given in this very moment goes on to the next."""
        line = self._lines.get(key)
        if line is not None and place in line:
            line.remove(place)
            self.waiting -= 1
            if not line:
                del self._lines[key]
        elif place.done() and not place.cancelled() and place.exception() is None:
            self.give()

    def _busy(self, key: str, words: str) -> Busy:
        self.turned_away += 1
        wait = max(1, math.ceil(self.predicted(key)))
        return Busy(words, f"try again in about {wait} s, or name another model", retry_after=wait)


class Queued:
    """An Answerer behind slots. A client that leaves the line frees its place at once, and its slot with the answer."""

    __slots__ = ("_clock", "_inside", "slots")

    def __init__(self, inside: Answerer, slots: Slots, clock: Callable[[], float] = time.monotonic) -> None:
        self._inside = inside
        self.slots = slots
        self._clock = clock

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        await self.slots.take(ask.caller.key)
        began, served = self._clock(), None
        try:
            reply = await self._inside(ask, send)
            served = self._clock() - began
            return reply
        finally:
            self.slots.give(served)
