"""CPU work of commands: small work in this process, large work in a pool of jobs, with progress and resume."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from sizewise.cli.options import command_settings
from sizewise.cli.progress import progress_bar
from sizewise.jobs.cpu_batches import CpuSteps, run_here, run_in_processes
from sizewise.jobs.result_file import open_results
from sizewise.offload.job import WorkerLimits
from sizewise.offload.job_pool import open_job_pool
from sizewise.offload.worker_pool import PoolRules

T = TypeVar("T")


def run_steps(steps: CpuSteps[T], job: str, *, is_large: bool) -> T:
    """`job`: names this very work, so that a later call continues it. Raises ExternalFailure if a batch fails."""
    if not is_large:
        return run_here(steps)
    return asyncio.run(_in_pool(steps, job))


async def _in_pool(steps: CpuSteps[T], job: str) -> T:
    known = command_settings()
    rules = PoolRules(
        work="it",
        hint="run the command again: what is done is kept; max_memory_bytes in [jobs] of sizewise.toml is the limit",
        limits=WorkerLimits(memory_bytes=known.jobs.max_memory_bytes),
        timeout_s=3_600,
    )
    pool = open_job_pool(known.jobs.ray, known.jobs.workers, rules)
    try:
        with open_results(known.home / "jobs", job) as stored, progress_bar("calculating", "batches") as progress:
            return await run_in_processes(steps, pool, stored=stored, progress=progress)
    finally:
        await pool.close()
