"""Pool of worker processes for offloaded work: started on demand, ended when idle; knows none of the work.

A worker serves one job at a time, so the number of workers bounds the cores and the memory that long inputs take. A
job whose client leaves ends with its process: nobody waits for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from sizewise.errors import Busy, ExternalFailure
from sizewise.offload.frames import PART_COUNT, PART_LENGTH, Bytes, decode_lengths, encode_head
from sizewise.offload.job import JobError, WorkFactory, function_name
from sizewise.process import ChildProcess, physical_cores, start_module

WORKER = "sizewise.offload.worker"
MAX_WORKERS = 4
MAX_QUEUED = 64
"""Jobs that may wait for a worker; each holds its input in memory."""
JOB_TIMEOUT_S = 300.0
"""The longest job: a slow guard, such as one with a language model, on the longest body."""
IDLE_TIMEOUT_S = 60.0
MAX_JOBS_PER_WORKER = 500
"""Jobs after which a worker is replaced, which gives its memory back."""
BUSY_RETRY_S = 5.0


class Worker:
    """One process. `idle_since`: event loop time."""

    def __init__(self, child: ChildProcess) -> None:
        self.child = child
        self.jobs = 0
        self.idle_since = 0.0

    async def run(self, parts: list[Bytes]) -> list[bytes]:
        """Raises IncompleteReadError or OSError if the process ends."""
        writer = self.child.writer
        writer.write(encode_head(parts))
        for each in parts:
            writer.write(each)
            await writer.drain()
        reader = self.child.reader
        (count,) = PART_COUNT.unpack(await reader.readexactly(PART_COUNT.size))
        lengths = decode_lengths(await reader.readexactly(count * PART_LENGTH.size))
        return [await reader.readexactly(length) for length in lengths]

    async def end(self) -> None:
        self.child.kill()
        await self.child.wait()


class WorkerPool:
    def __init__(self, max_workers: int = 0) -> None:
        """`max_workers`: 0 for one per physical core, at most MAX_WORKERS."""
        self._size = max_workers or min(MAX_WORKERS, physical_cores())
        self._idle: list[Worker] = []
        self._room = asyncio.Semaphore(self._size)
        self._waiting = 0
        self._idle_task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[str]] = set()
        self._closed = False

    async def run(self, factory: WorkFactory, setup: bytes, parts: list[Bytes]) -> list[bytes]:
        """Calls `factory(setup)(*parts)` in a worker. Raises what that raises; Busy if too many jobs wait;
        ExternalFailure if the worker ends or takes longer than JOB_TIMEOUT_S.
        """
        if self._waiting >= MAX_QUEUED:
            raise Busy("too many long requests are waiting", "retry later", retry_after=BUSY_RETRY_S)
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        try:
            failure, *found = await self._run([function_name(factory), setup, *parts])
        finally:
            self._room.release()
        if failure:
            msgspec.json.decode(failure, type=JobError).raise_again()
        return found

    async def _run(self, parts: list[Bytes]) -> list[bytes]:
        """In an idle worker, or in a new one; in a new one also if the idle one has ended since its last job."""
        found = await self._run_in(self._idle.pop(), parts) if self._idle else None
        if found is None:
            found = await self._run_in(Worker(await start_module(WORKER)), parts)
        if found is None:
            raise ExternalFailure(
                "the process that worked on a long request has ended",
                "send less; if it happens again, check the memory of the server",
            )
        return found

    async def _run_in(self, worker: Worker, parts: list[Bytes]) -> list[bytes] | None:
        """None if the worker has ended."""
        found = None
        try:
            async with asyncio.timeout(JOB_TIMEOUT_S):
                found = await worker.run(parts)
        except TimeoutError as error:
            raise ExternalFailure(f"a long request took more than {JOB_TIMEOUT_S:g} s", "send less") from error
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._release(worker, found is not None)
        return found

    def _release(self, worker: Worker, reusable: bool) -> None:
        worker.jobs += 1
        worker.idle_since = asyncio.get_running_loop().time()
        if not reusable or self._closed or worker.jobs >= MAX_JOBS_PER_WORKER:
            worker.child.kill()
            task = asyncio.ensure_future(worker.child.wait())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            return
        self._idle.append(worker)
        if self._idle_task is None or self._idle_task.done():
            self._idle_task = asyncio.ensure_future(self._end_idle())

    async def _end_idle(self) -> None:
        """Ends workers idle for IDLE_TIMEOUT_S; returns when none is left."""
        while self._idle:
            await asyncio.sleep(IDLE_TIMEOUT_S / 3)
            now = asyncio.get_running_loop().time()
            for worker in [each for each in self._idle if now - each.idle_since > IDLE_TIMEOUT_S]:
                self._idle.remove(worker)
                await worker.end()

    async def close(self) -> None:
        self._closed = True
        if self._idle_task is not None:
            self._idle_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._idle_task
        while self._idle:
            await self._idle.pop().end()
        await asyncio.gather(*self._ending)
