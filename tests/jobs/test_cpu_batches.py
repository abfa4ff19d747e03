"""CPU work gives the same results in any number of processes; one that dies or takes too much costs its batch alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from sizewise.errors import ExternalFailure
from sizewise.jobs.cpu_batches import CpuBatches, CpuSteps, run_here, run_in_processes
from sizewise.jobs.result_file import open_results
from sizewise.offload.job import WorkerLimits
from sizewise.offload.worker_pool import PoolRules, WorkerPool
from tests.jobs.work import make_sum, make_trouble

LIMITS = WorkerLimits(memory_bytes=300_000_000)


@pytest.fixture(autouse=True)
def worker_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find the work of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def sums() -> CpuSteps[int]:
    """Two steps: the second depends on the first."""
    first = yield CpuBatches(make_sum, b"0", {f"part {at}": f"{at} {at + 1}".encode() for at in range(6)})
    second = yield CpuBatches(make_sum, b"100", {"all": b" ".join(first.values())})
    return int(second["all"])


def troubles(**batches: str) -> Generator[CpuBatches, Mapping[str, bytes], Mapping[str, bytes]]:
    return (yield CpuBatches(make_trouble, b"", {name: what.encode() for name, what in batches.items()}))


def ran(steps: CpuSteps[object], stored: dict[str, bytes] | None = None, workers: int = 2) -> object:
    async def run() -> object:
        pool = WorkerPool(workers, PoolRules(work="it", hint="send less", limits=LIMITS))
        try:
            return await run_in_processes(steps, pool, stored={} if stored is None else stored)
        finally:
            await pool.close()

    return asyncio.run(run())


def test_any_number_of_processes_gives_the_result_of_one_loop() -> None:
    assert run_here(sums()) == ran(sums(), workers=1) == ran(sums(), workers=3) == 136


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("memory", "the batch 'bad' failed: it needs more than 300 MB of memory"),
        ("refuse", "the batch 'bad' failed: it is refused"),
        ("die", "the batch 'bad' failed: the process that worked on it was killed by SIGKILL"),
    ],
)
def test_a_batch_that_fails_is_named_and_the_others_are_kept(what: str, why: str) -> None:
    stored = dict[str, bytes]()
    with pytest.raises(ExternalFailure) as failed:
        ran(troubles(a="1", bad=what, b="2", c="3"), stored)
    assert why in failed.value.message and failed.value.hint
    assert sorted(stored.values()) == [b"1", b"2", b"3"]


@pytest.mark.long
def test_the_batch_of_a_killed_worker_is_done_by_another(tmp_path: Path) -> None:
    found = ran(troubles(a="1", unlucky=f"die {tmp_path / 'once'}"))
    assert found == {"a": b"1", "unlucky": f"die {tmp_path / 'once'}".encode()}


@pytest.mark.long
async def test_a_cancelled_job_ends_its_workers(tmp_path: Path) -> None:
    pool = WorkerPool(1, PoolRules())
    task = asyncio.ensure_future(run_in_processes(troubles(long=f"sleep {tmp_path / 'pid'}"), pool, stored={}))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await pool.close()
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_stopped_job_continues_from_its_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_results(tmp_path, "job") as stored:
        stored["one"] = b"\0\1"
        raise RuntimeError
    with (tmp_path / "job.results").open("ab") as file:
        file.write(b"two cut o")  # by a crash
    with pytest.raises(RuntimeError), open_results(tmp_path, "job") as stored:
        assert dict(stored) == {"one": b"\0\1"}
        stored["two"] = b"2"
        with open_results(tmp_path, "job") as other:  # another process with the same job
            assert not other
        raise RuntimeError
    with open_results(tmp_path, "job") as stored:
        assert dict(stored) == {"one": b"\0\1", "two": b"2"}
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_costs_only_the_resume(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with open_results(tmp_path / "file", "job") as stored:
        stored["one"] = b"1"
        assert stored["one"] == b"1"
