"""An event loop whose clock goes on when all its tasks wait: a timer costs no time, and a delay is exact.

For code that takes its time from the loop. Threads and sockets take real time, in which the clock stands.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
HANG_S = 60.0  # real seconds without an event and without a timer


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and goes on to the next timer as soon as nothing else is left to do."""

    def __init__(self) -> None:
        self.now = 0.0
        self.in_threads = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # typeshed's has a TypeVarTuple
        done = super().run_in_executor(executor, func, *args)
        self.in_threads += 1
        done.add_done_callback(self._back)
        return done

    async def shutdown_default_executor(self, *timeout: float | None) -> None:
        self.in_threads += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self.in_threads -= 1

    def _back(self, done: object) -> None:
        self.in_threads -= 1


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._of = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or self._of.in_threads:
            ready = super().select(HANG_S)
            assert ready, f"nothing happened for {HANG_S:.0f} s"
            return ready
        self._of.now += timeout
        return []


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def now() -> float:
    """Virtual seconds since the loop began."""
    return asyncio.get_running_loop().time()
