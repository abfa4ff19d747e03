"""Ray driver: hands jobs to a cluster, and their results back; runs none, and knows none.

`python -m sizewise.offload.ray_driver FD ADDRESS` talks over the inherited socket FD. It is a process apart because
Ray ends the process that uses it when the cluster goes away, and takes 90 MB. Its first message is how many CPUs the
cluster has, or a JobError. Then a message is an id, and what is to be done with it: the node (RayNode; empty: any), the
version and the rules of who asks, the timeout in seconds and the job; or NODES, which lists the nodes; or nothing,
which cancels it. An answer is the id and what the node said.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Protocol

import msgspec

from sizewise.errors import Busy
from sizewise.offload.frames import encode_head, read_parts
from sizewise.offload.job import JobError
from sizewise.offload.ray_task import NODES, RayNode, run_job
from sizewise.parent_process import end_with_parent

try:
    import ray
    import ray.util.scheduling_strategies
except ImportError:  # the extra `ray` is not installed: said to who starts this
    ray = None

CHECK_S = 10.0
"""Between two looks at whether the cluster is there, and how long it may take to say so: Ray alone takes 60."""
NODE_RETRIES = 3
"""Times that Ray begins a job again whose node has ended."""
UNAVAILABLE = 503
UNREACHABLE = "start one (`ray start --head`), correct `ray` in [jobs], or leave it empty: then jobs run here"


class RayTask(Protocol):
    """`run_job`, as Ray calls it somewhere, or where its options say."""

    def remote(self, version: str, rules: bytes, timeout_s: float, job: list[bytes]) -> Awaitable[list[bytes]]: ...

    def options(self, *, num_gpus: int, max_retries: int, scheduling_strategy: object) -> RayTask: ...


class RayDriver:
    """Of a process that is connected."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._task: RayTask = ray.remote(num_cpus=1, max_retries=NODE_RETRIES, scheduling_strategy="SPREAD")(run_job)
        self._running = dict[bytes, asyncio.Task[None]]()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Until the socket closes."""
        self._send([b"", str(int(ray.cluster_resources().get("CPU", 0))).encode()])
        while message := await read_parts(reader):
            id, *rest = message
            if rest:
                work = self._nodes() if rest == [NODES] else self._run(rest)
                self._running[id] = asyncio.ensure_future(self._answer(id, work))
                self._running[id].add_done_callback(partial(self._on_done, id))
            elif id in self._running:
                self._running[id].cancel()

    async def watch(self) -> None:
        """Until the cluster is gone."""
        with suppress(OSError, RuntimeError, ray.exceptions.RayError):
            while True:
                await asyncio.sleep(CHECK_S)
                await asyncio.wait_for(asyncio.to_thread(ray.cluster_resources), CHECK_S)

    async def _answer(self, id: bytes, work: Awaitable[list[bytes]]) -> None:
        try:
            found = await work
        except (OSError, RuntimeError, ray.exceptions.RayError) as error:
            found = [_encoded(_failure(error))]
        self._send([id, *found])

    async def _run(self, message: list[bytes]) -> list[bytes]:
        where, version, rules, timeout_s, *job = message
        task = self._task_on(msgspec.json.decode(where, type=RayNode)) if where else self._task
        asked = task.remote(version.decode(), rules, float(timeout_s), job)
        try:
            return await asked
        except asyncio.CancelledError:
            ray.cancel(asked)
            raise

    def _task_on(self, node: RayNode) -> RayTask:
        """A GPU that is not asked for is hidden by Ray."""
        place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)
        return self._task.options(num_gpus=min(1, node.gpus), max_retries=0, scheduling_strategy=place)

    async def _nodes(self) -> list[bytes]:
        """Those that take jobs."""
        rows = [each for each in await asyncio.to_thread(ray.nodes) if each["Alive"] and each["Resources"].get("CPU")]
        nodes = [
            RayNode(each["NodeID"], each["NodeManagerHostname"], int(each["Resources"].get("GPU", 0))) for each in rows
        ]
        return [b"", *map(msgspec.json.encode, nodes)]

    def _on_done(self, id: bytes, task: asyncio.Task[None]) -> None:
        del self._running[id]
        if not task.cancelled() and task.exception() is not None:  # unforeseen: who waits begins anew
            os._exit(1)

    def _send(self, parts: list[bytes]) -> None:
        self._writer.writelines([encode_head(parts), *parts])


def _failure(error: Exception) -> Busy:
    """Only the last line of what Ray says: before it is a stack of another machine."""
    if "No module named" in str(error):
        why = "a node of the Ray cluster has no Sizewise, or not all that it needs"
        return Busy(why, "install the same version on every node, with the same extras", status=UNAVAILABLE)
    lines = [line for line in str(error).splitlines() if line.strip()]
    return Busy(
        f"the Ray cluster did not do a job: {type(error).__name__}: {lines[-1][:300] if lines else 'no reason'}",
        "see `ray status`, and Ray's logs on the node",
        status=UNAVAILABLE,
    )


def _encoded(error: Busy) -> bytes:
    return msgspec.json.encode(JobError.of(error))


async def drive(connection: socket.socket, address: str) -> None:
    """Ends the process when the socket closes or the cluster is gone."""
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    try:
        await asyncio.to_thread(connect, address)
    except Busy as error:
        said = [_encoded(error)]
        writer.writelines([encode_head(said), *said])
        with suppress(OSError):
            await writer.drain()
        return
    driver = RayDriver(writer)
    ends = [asyncio.ensure_future(driver.serve(reader)), asyncio.ensure_future(driver.watch())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    os._exit(0)  # threads of Ray may wait for a cluster that is gone


def connect(address: str) -> None:
    """Raises Busy."""
    if ray is None:
        raise Busy("Ray is not installed", "Run: pip install 'sizewise[ray]'", status=UNAVAILABLE)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():
            socket.create_connection((host, int(port)), CHECK_S).close()  # Ray takes a minute to find nobody there
        ray.init(address=address, namespace="sizewise", log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, RuntimeError, ValueError, OverflowError, ray.exceptions.RayError) as why:
        lines = [line for line in str(why).splitlines() if line.strip()]
        said = f"{type(why).__name__}: {lines[0][:300] if lines else 'no reason'}"
        raise Busy(f"the Ray cluster {address!r} cannot be reached: {said}", UNREACHABLE, status=UNAVAILABLE) from why


def main() -> None:
    end_with_parent()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        asyncio.run(drive(connection, sys.argv[2]))


if __name__ == "__main__":
    main()
