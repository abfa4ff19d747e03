"""The pool of worker processes for CPU work, of requests and of batches: started on demand, ended when idle.

It knows none of the work. A worker serves one job at a time, so the number of workers bounds the cores and the memory
that it takes. A job whose caller leaves ends with its process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from sizewise.errors import Busy, ExternalFailure
from sizewise.offload.frames import PART_COUNT, PART_LENGTH, Bytes, decode_lengths, encode_head
from sizewise.offload.job import OUT_OF_MEMORY, JobError, WorkerLimits, WorkFactory, function_name
from sizewise.process import IdleProcesses, ReusableProcess, physical_cores, start_module

WORKER = "sizewise.offload.worker"
MAX_WORKERS = 4
IDLE_TIMEOUT_S = 60.0
BUSY_RETRY_S = 5.0


ATTEMPTS = 2
"""A worker may have been killed for no fault of its job: by the kernel for memory, or by a person."""


@dataclass(frozen=True, slots=True)
class PoolRules:
    """`work`: what a job is, in errors. `hint`: what its user can do if it takes too much. `timeout_s`: of one job."""

    work: str = "a long request"
    hint: str = "send less; if it happens again, check the memory of the server"
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    timeout_s: float = 300.0
    attempts: int = ATTEMPTS
    max_jobs_per_worker: int = 500
    max_queued: int = 64  # jobs that may wait for a worker; each holds its input in memory
    max_result_bytes: int = 0  # 0: no limit


class Worker(ReusableProcess):
    async def run(self, parts: list[Bytes], max_result_bytes: int) -> list[bytes]:
        """Raises IncompleteReadError or OSError if the process ends, ExternalFailure if its result is too large."""
        writer = self.child.writer
        writer.writelines([encode_head(parts), *parts])  # in one call: a request may have many fields
        await writer.drain()
        reader = self.child.reader
        (count,) = PART_COUNT.unpack(await reader.readexactly(PART_COUNT.size))
        lengths = decode_lengths(await reader.readexactly(count * PART_LENGTH.size))
        if max_result_bytes and sum(lengths) > max_result_bytes:
            raise ExternalFailure(f"the result has more than {max_result_bytes:,} bytes")
        return [await reader.readexactly(length) for length in lengths]


class WorkerPool:
    """A JobPool (job_pool.py). `size`: the number of workers, and so of jobs at once."""

    def __init__(self, max_workers: int = 0, rules: PoolRules | None = None) -> None:
        """`max_workers`: 0 for one per physical core, at most MAX_WORKERS."""
        self.size = max_workers or min(MAX_WORKERS, physical_cores())
        self._rules = rules or PoolRules()
        self._idle = IdleProcesses[Worker](IDLE_TIMEOUT_S, self._rules.max_jobs_per_worker)
        self._room = asyncio.Semaphore(self.size)
        self._waiting = 0

    async def slots(self) -> int:
        return self.size

    async def run(
        self, factory: WorkFactory, setup: bytes, parts: list[Bytes], timeout_s: float | None = None
    ) -> list[bytes]:
        if self._waiting >= self._rules.max_queued:
            raise Busy(f"too many jobs of {self._rules.work} wait", "retry later", retry_after=BUSY_RETRY_S)
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        try:
            failure, *found = await self._run(
                [function_name(factory), setup, *parts], timeout_s or self._rules.timeout_s
            )
        finally:
            self._room.release()
        if failure == OUT_OF_MEMORY:
            most = f"{self._rules.limits.memory_bytes / 1e6:,.0f} MB"
            raise ExternalFailure(f"{self._rules.work} needs more than {most} of memory", self._rules.hint)
        if failure:
            msgspec.json.decode(failure, type=JobError).raise_again()
        return found

    async def _run(self, parts: list[Bytes], timeout_s: float) -> list[bytes]:
        """A job whose worker ends is done once more, in another."""
        idle, cause = self._idle.processes, ""
        for _ in range(self._rules.attempts):
            worker = idle.pop() if idle else await self._start_worker()
            found = await self._run_in(worker, parts, timeout_s)
            if found is not None:
                return found
            cause = await worker.child.wait()
        raise ExternalFailure(f"the process that worked on {self._rules.work} {cause}", self._rules.hint)

    async def _start_worker(self) -> Worker:
        try:
            limits = self._rules.limits
            words = msgspec.json.encode(limits).decode()
            return Worker(await start_module(WORKER, words, clean_env=limits.confined))
        except OSError as error:  # no file descriptor, process or memory is left
            raise Busy(
                f"a process for {self._rules.work} cannot be started: {error.strerror}",
                "retry later; if it happens again, raise the limits of open files and processes",
                retry_after=BUSY_RETRY_S,
            ) from error

    async def _run_in(self, worker: Worker, parts: list[Bytes], timeout_s: float) -> list[bytes] | None:
        """None if the worker has ended."""
        found = None
        try:
            async with asyncio.timeout(timeout_s):
                found = await worker.run(parts, self._rules.max_result_bytes)
        except TimeoutError as error:
            took = f"{self._rules.work} took more than {timeout_s:g} s"
            raise ExternalFailure(took, self._rules.hint) from error
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            if found is None or found[0] == OUT_OF_MEMORY:  # what it could not free would fail its next job
                self._idle.end(worker)
            else:
                self._idle.put(worker)
        return found

    async def close(self) -> None:
        await self._idle.close()
