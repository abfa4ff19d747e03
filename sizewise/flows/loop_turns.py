"""Turns on the event loop: bounds the steps of all runs in one iteration of the loop; knows no run and no step.

Nodes that wait for nothing would otherwise run thousands of steps before any other request is served.
"""

from __future__ import annotations

import asyncio
from collections import deque

STEPS_PER_ITERATION = 4
"""Some hundred microseconds of templates and branches."""


class LoopTurns:
    """`await turn()` before each step: returns at once while the iteration has room, else in a later one, in order."""

    def __init__(self, steps_per_iteration: int = STEPS_PER_ITERATION) -> None:
        self._most = steps_per_iteration
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def turn(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # one after the other, as in tests
            self._loop, self._taken = loop, 0
            self._waiting.clear()
        if self._taken < self._most:
            self._taken += 1
            if self._taken == 1:
                loop.call_soon(self._next_iteration)
            return
        waits = loop.create_future()
        self._waiting.append(waits)
        await waits

    def _next_iteration(self) -> None:
        self._taken = 0
        while self._waiting and self._taken < self._most:
            waits = self._waiting.popleft()
            if not waits.done():  # by a cancellation
                waits.set_result(None)
                self._taken += 1
        if self._taken and self._loop is not None:
            self._loop.call_soon(self._next_iteration)
