"""A Ray cluster as the place of jobs: one process of this machine hands them over, and is started again if it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from sizewise import __version__
from sizewise.errors import Busy
from sizewise.offload.frames import Bytes, encode_head, read_parts
from sizewise.offload.job import JobError, WorkFactory, function_name
from sizewise.offload.ray_task import NODES, RayNode
from sizewise.offload.worker_pool import ATTEMPTS, BUSY_RETRY_S, PoolRules
from sizewise.process import ChildProcess, start_module

DRIVER = "sizewise.offload.ray_driver"
CONNECT_S = 30.0
IDLE_TIMEOUT_S = 60.0
"""Without a job the connection is closed: the cluster is others' too, and its driver takes 90 MB."""


class RayDriverProcess:
    """A driver that runs. `cpus`: of the cluster when it connected. `jobs`: results that are awaited, by id."""

    def __init__(self, child: ChildProcess, cpus: int) -> None:
        self.cpus = cpus
        self.jobs = dict[bytes, asyncio.Future[list[bytes]]]()
        self._child = child
        self._count = 0
        self._reading = asyncio.ensure_future(self._read())

    @property
    def has_ended(self) -> bool:
        return self._reading.done()

    async def run(self, message: list[Bytes]) -> list[bytes]:
        """Raises ConnectionError if the driver ends."""
        self._count += 1
        id = str(self._count).encode()
        self.jobs[id] = asyncio.get_running_loop().create_future()
        try:
            await self._send([id, *message])
            return await self.jobs[id]
        except asyncio.CancelledError:
            with suppress(OSError):
                await self._send([id])
            raise
        finally:
            del self.jobs[id]

    async def _send(self, parts: list[Bytes]) -> None:
        if self.has_ended:
            raise ConnectionResetError
        self._child.writer.writelines([encode_head(parts), *parts])
        await self._child.writer.drain()

    async def _read(self) -> None:
        try:
            while message := await read_parts(self._child.reader):
                id, *found = message
                if id in self.jobs and not self.jobs[id].done():
                    self.jobs[id].set_result(found)
        except OSError:
            pass
        finally:
            for job in self.jobs.values():
                if not job.done():
                    job.set_exception(ConnectionResetError())

    async def end(self) -> None:
        self._child.kill()
        await self._child.wait()
        await asyncio.wait([self._reading])


class RayPool:
    """A JobPool (job_pool.py). Connects with the first job."""

    def __init__(self, address: str, max_workers: int = 0, rules: PoolRules | None = None) -> None:
        """`address`: as `ray.init` takes it. `max_workers`: jobs at once; 0: as many as the cluster has CPUs."""
        self._address = address
        self._most = max_workers
        self._rules = rules or PoolRules()
        self._lock = asyncio.Lock()
        self._driver: RayDriverProcess | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending = set[asyncio.Task[None]]()

    async def slots(self) -> int:
        driver = await self._connected()
        return min(self._most or driver.cpus, driver.cpus)

    async def nodes(self) -> Sequence[RayNode]:
        """Those that take jobs. Raises Busy."""
        return [msgspec.json.decode(each, type=RayNode) for each in await self._asked([NODES])]

    async def run(
        self,
        factory: WorkFactory,
        setup: bytes,
        parts: list[Bytes],
        timeout_s: float | None = None,
        *,
        node: RayNode | None = None,
    ) -> list[bytes]:
        """`node`: it runs there, or raises Busy; None: on any, and on another one if that is lost."""
        rules = msgspec.json.encode(self._rules)
        seconds = str(timeout_s or self._rules.timeout_s).encode()
        where = b"" if node is None else msgspec.json.encode(node)
        return await self._asked([where, __version__.encode(), rules, seconds, function_name(factory), setup, *parts])

    async def _asked(self, job: list[Bytes]) -> list[bytes]:
        for _ in range(ATTEMPTS):
            driver = await self._connected()
            if len(driver.jobs) >= self._rules.max_queued + driver.cpus:
                raise Busy(f"too many jobs of {self._rules.work} wait", "retry later", retry_after=BUSY_RETRY_S)
            try:
                failure, *found = await driver.run(job)
            except ConnectionError:
                continue
            finally:
                self._end_when_idle(driver)
            if failure:
                msgspec.json.decode(failure, type=JobError).raise_again()
            return found
        raise _unavailable(f"broke off twice while it worked on {self._rules.work}", self._address)

    async def _connected(self) -> RayDriverProcess:
        async with self._lock:
            if self._driver is None or self._driver.has_ended:
                await self._end_driver()
                self._driver = await self._start()
            return self._driver

    async def _start(self) -> RayDriverProcess:
        child = await start_module(DRIVER, self._address)
        error = _unavailable("does not answer", self._address)
        said = list[bytes]()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(CONNECT_S):
                said = await read_parts(child.reader)
            if len(said) == 2 and int(said[1]):
                return RayDriverProcess(child, int(said[1]))
            if len(said) == 2:
                error = _unavailable("has no CPU", self._address)
        child.kill()
        await child.wait()
        if len(said) == 1:
            msgspec.json.decode(said[0], type=JobError).raise_again()
        raise error

    def _end_when_idle(self, driver: RayDriverProcess) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_TIMEOUT_S, self._end_if_idle, driver)

    def _end_if_idle(self, driver: RayDriverProcess) -> None:
        if self._driver is driver and not driver.jobs:
            self._driver = None
            ending = asyncio.ensure_future(driver.end())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _end_driver(self) -> None:
        if self._driver is not None:
            await self._driver.end()
            self._driver = None

    async def close(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        await self._end_driver()
        await asyncio.gather(*self._ending)


def _unavailable(what: str, address: str) -> Busy:
    return Busy(f"the Ray cluster {address!r} {what}", "see `ray status`", status=503, retry_after=BUSY_RETRY_S)
