"""What a node of a Ray cluster does: a job, in a worker process of its own, with the limits that it would have at home.

The node needs the same version of Sizewise. Ray's own process runs none of the work, so a file that makes its parser
take all memory, or crash, costs the cluster nothing.
"""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct

from sizewise import __version__
from sizewise.errors import Busy, SizewiseError
from sizewise.offload.job import JobError, find_function
from sizewise.offload.worker_pool import PoolRules, WorkerPool

NODES = b"nodes"
"""In place of a job: which nodes there are."""
BEAT_S = 0.5
"""Ray cancels a job by an interrupt that comes without a signal, so it waits until the event loop does something."""


class RayNode(Struct, frozen=True):
    """A node that takes jobs. `host`: its name, for people."""

    id: str
    host: str
    gpus: int


def run_job(version: str, rules: bytes, timeout_s: float, job: list[bytes]) -> list[bytes]:
    """`version`: of who asks; `rules`: PoolRules as JSON; `job`: name of the factory, setup, parts.

    Returns the results behind an empty one, or an error as JSON (JobError) alone.
    """
    try:
        if version != __version__:
            raise Busy(
                f"a node of the Ray cluster has Sizewise {__version__}, and this is {version}",
                "install the same version on every node, and start Ray there again",
                status=503,
            )
        return [b"", *asyncio.run(_run(msgspec.json.decode(rules, type=PoolRules), timeout_s, job))]
    except SizewiseError as error:
        return [msgspec.json.encode(JobError.of(error))]


async def _run(rules: PoolRules, timeout_s: float, job: list[bytes]) -> list[bytes]:
    name, setup, *parts = job
    pool, beat = WorkerPool(1, rules), asyncio.ensure_future(_beat())
    try:
        return await pool.run(find_function(name), setup, [*parts], timeout_s)
    finally:
        await pool.close()
        beat.cancel()


async def _beat() -> None:
    while True:  # noqa: ASYNC110 - the turn itself is what is wanted
        await asyncio.sleep(BEAT_S)
