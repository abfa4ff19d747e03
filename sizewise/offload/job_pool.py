"""Where the CPU work of jobs runs: in processes of this machine, or on a Ray cluster; knows none of the work."""

from __future__ import annotations

from typing import Protocol

from sizewise.offload.frames import Bytes
from sizewise.offload.job import WorkFactory
from sizewise.offload.ray_pool import RayPool
from sizewise.offload.worker_pool import PoolRules, WorkerPool


class JobPool(Protocol):
    """Runs jobs, each confined and limited by the same PoolRules wherever it runs."""

    async def slots(self) -> int:
        """How many jobs can run at once now. Raises Busy if that cannot be known."""
        ...

    async def run(
        self, factory: WorkFactory, setup: bytes, parts: list[Bytes], timeout_s: float | None = None
    ) -> list[bytes]:
        """Calls `factory(setup)(*parts)`. `timeout_s`: of this job, without what it waits for a place.

        Raises what that raises; Busy if too many jobs wait, or there is no place for it: no process can be started, the
        cluster is away; ExternalFailure if it takes too long or too much memory, or its process ends.
        """
        ...

    async def close(self) -> None: ...


def open_job_pool(ray: str, max_workers: int, rules: PoolRules | None = None) -> JobPool:
    """`ray`: the address of a cluster; empty: processes of this machine. `max_workers`: at once; 0: as many as there
    are cores, or CPUs of the cluster.
    """
    return RayPool(ray, max_workers, rules) if ray else WorkerPool(max_workers, rules)
