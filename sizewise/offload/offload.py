"""Offload: runs work on long inputs in a thread or a worker process, so that the event loop answers others meanwhile.

A thread is for work made of many short steps: it shares the GIL with the event loop, and gets it for a switch interval
(5 ms) at a time, but one call into C, such as a regular expression on a long text, holds it to its end. Such work runs
in a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from sizewise.offload.frames import Bytes
from sizewise.offload.job import WorkFactory
from sizewise.offload.worker_pool import WorkerPool

LONG_BYTES = 256 * 1024
"""Bodies from this size are read and written in the thread: shorter ones take the event loop 0.3 ms, at worst 2 ms."""

P = ParamSpec("P")
T = TypeVar("T")


class Offload:
    """One per process. The thread takes one piece of work at a time: more would only compete for the GIL."""

    def __init__(self, max_workers: int = 0) -> None:
        """`max_workers` processes; 0: by the number of cores."""
        self._thread = ThreadPoolExecutor(1, "sizewise-offload")
        self._pool = WorkerPool(max_workers)

    async def run(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(*args)`: at once if its input has fewer bytes than LONG_BYTES, else in the thread."""
        if size < LONG_BYTES:
            return work(*args, **kwargs)
        return await self.in_thread(work, *args, **kwargs)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(*args)` in the thread. It runs to its end even if the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    async def in_process(self, factory: WorkFactory, setup: bytes, *parts: Bytes) -> list[bytes]:
        """`factory(setup)(*parts)` in a worker process. Raises what that raises, Busy and ExternalFailure."""
        return await self._pool.run(factory, setup, list(parts))

    async def close(self) -> None:
        await self._pool.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
