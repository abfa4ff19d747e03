"""Open requests of environments with a canary: when the oldest of this process arrived; the evaluator waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count


class OpenRequests:
    """One per process. Not thread-safe: use it on the event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: unix seconds."""
        self._clock = clock
        self._numbers = count()
        self._arrived: dict[int, float] = {}  # in order of arrival

    @contextmanager
    def entered(self) -> Iterator[None]:
        number = next(self._numbers)
        self._arrived[number] = self._clock()
        try:
            yield
        finally:
            del self._arrived[number]

    def open_since(self) -> int:
        """Unix ms: every request that arrived earlier has ended."""
        return round(next(iter(self._arrived.values()), self._clock()) * 1_000)
