"""One shared timer that cancels many tasks at the same deadline; cheaper than asyncio.timeout per task.

Every task gets the same time, so tasks expire in the order in which they began, and only the oldest is checked. A task
that begins out of order is cancelled late, by at most its lag.
asyncio.timeout costs 4 us a task, too much for an event this rare.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

AnyTask = asyncio.Task[object]


class Deadline:
    """Cancels tasks `seconds` after they began. For one event loop; call `begin` and `end` in the task itself."""

    __slots__ = ("_due", "_expired", "_timer", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[AnyTask, float] = {}  # perf_counter, oldest first
        self._expired: set[AnyTask] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, since: float) -> None:
        """`since`: time.perf_counter() at which the time starts to count."""
        task = asyncio.current_task()
        assert task is not None
        self._due[task] = since + self.seconds
        if self._timer is None:
            self._set_timer()

    def expired(self) -> bool:
        """Whether the CancelledError just caught came from this deadline alone; the caller may then swallow it."""
        task = asyncio.current_task()
        return task is not None and task in self._expired and not task.uncancel()

    def end(self) -> None:
        """`begin` returns no handle to pass here: a cancelled frame that holds its own task is a reference cycle."""
        task = asyncio.current_task()
        assert task is not None
        self._due.pop(task, None)
        if self._expired:
            self._expired.discard(task)

    def _set_timer(self) -> None:
        oldest = next(iter(self._due), None)
        self._timer = None
        if oldest is not None:
            wait = max(0.0, self._due[oldest] - perf_counter())
            self._timer = asyncio.get_running_loop().call_later(wait, self._cancel_due)

    def _cancel_due(self) -> None:
        now = perf_counter()
        while (oldest := next(iter(self._due), None)) is not None and self._due[oldest] <= now:
            del self._due[oldest]
            self._expired.add(oldest)
            oldest.cancel()
        self._set_timer()
