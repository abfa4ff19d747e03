"""Pool of worker processes for offloaded work: started on demand, ended when idle; knows none of the work.

A worker serves one job at a time, so the number of workers bounds the cores and the memory that long inputs take. A
job whose client leaves ends with its process.
"""

from __future__ import annotations

import asyncio

import msgspec

from sizewise.errors import Busy, ExternalFailure
from sizewise.offload.frames import PART_COUNT, PART_LENGTH, Bytes, decode_lengths, encode_head
from sizewise.offload.job import JobError, WorkFactory, function_name
from sizewise.process import IdleProcesses, ReusableProcess, physical_cores, start_module

WORKER = "sizewise.offload.worker"
MAX_WORKERS = 4
MAX_QUEUED = 64
"""Jobs that may wait for a worker; each holds its input in memory."""
JOB_TIMEOUT_S = 300.0
"""The longest job: a slow guard, such as one with a language model, on the longest body."""
IDLE_TIMEOUT_S = 60.0
MAX_JOBS_PER_WORKER = 500
BUSY_RETRY_S = 5.0


class Worker(ReusableProcess):
    async def run(self, parts: list[Bytes]) -> list[bytes]:
        """Raises IncompleteReadError or OSError if the process ends."""
        writer = self.child.writer
        writer.writelines([encode_head(parts), *parts])  # in one call: a request may have many fields
        await writer.drain()
        reader = self.child.reader
        (count,) = PART_COUNT.unpack(await reader.readexactly(PART_COUNT.size))
        lengths = decode_lengths(await reader.readexactly(count * PART_LENGTH.size))
        return [await reader.readexactly(length) for length in lengths]


async def _start_worker() -> Worker:
    try:
        return Worker(await start_module(WORKER))
    except OSError as error:  # no file descriptor, process or memory is left
        raise Busy(
            f"a process for a long request cannot be started: {error.strerror}",
            "retry later; if it happens again, raise the server's limits of open files and processes",
            retry_after=BUSY_RETRY_S,
        ) from error


class WorkerPool:
    def __init__(self, max_workers: int = 0) -> None:
        """`max_workers`: 0 for one per physical core, at most MAX_WORKERS."""
        self._size = max_workers or min(MAX_WORKERS, physical_cores())
        self._idle = IdleProcesses[Worker](IDLE_TIMEOUT_S, MAX_JOBS_PER_WORKER)
        self._room = asyncio.Semaphore(self._size)
        self._waiting = 0

    async def run(self, factory: WorkFactory, setup: bytes, parts: list[Bytes]) -> list[bytes]:
        """Calls `factory(setup)(*parts)` in a worker. Raises what that raises; Busy if too many jobs wait or no worker
        can be started; ExternalFailure if the worker ends or takes longer than JOB_TIMEOUT_S.
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
        idle = self._idle.processes
        found = await self._run_in(idle.pop(), parts) if idle else None
        if found is None:
            found = await self._run_in(await _start_worker(), parts)
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
            if found is None:
                self._idle.end(worker)
            else:
                self._idle.put(worker)
        return found

    async def close(self) -> None:
        await self._idle.close()
