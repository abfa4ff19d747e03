"""Jobs on a real Ray cluster end as they do at home: also when a node or the whole cluster is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sizewise.errors import Busy, ExternalFailure
from sizewise.jobs.cpu_batches import CpuBatches, CpuSteps, run_in_processes
from sizewise.offload.job import WorkerLimits
from sizewise.offload.ray_pool import RayPool
from sizewise.offload.worker_pool import PoolRules
from tests.cli.test_calibrate import ASK, written
from tests.forked import command
from tests.graphql.graphql_client import graphql
from tests.jobs.ray_cluster import RAY, REPOSITORY, RayCluster, ray_cluster, ray_environment
from tests.jobs.test_cpu_batches import sums, troubles
from tests.jobs.work import make_place
from tests.knowledge.knowledge_server import ADD, CONFIG, add, listed
from tests.knowledge.sample_files import pdf
from tests.running_server import environment, serving

RULES = PoolRules(work="it", hint="send less", limits=WorkerLimits(memory_bytes=300_000_000))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2) as started:
        yield started


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    if (RAY / "ray").is_dir():
        for name, value in ray_environment().items():
            monkeypatch.setenv(name, value)


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[RayPool]:
    pool = RayPool(address, rules=RULES)
    try:
        yield pool
    finally:
        await pool.close()


def ran(address: str, steps: CpuSteps[object], stored: dict[str, bytes] | None = None) -> object:
    async def run() -> object:
        async with opened(address) as pool:
            return await run_in_processes(steps, pool, stored={} if stored is None else stored)

    return asyncio.run(run())


def places(count: int) -> CpuSteps[dict[str, bytes]]:
    found = yield CpuBatches(make_place, b"", {str(number): b"" for number in range(count)})
    return dict(found)


@pytest.mark.apart
def test_a_job_runs_on_all_nodes_and_gives_the_result_of_one_loop(cluster: RayCluster) -> None:
    assert ran(cluster.address, sums()) == 136
    found = ran(cluster.address, places(6))
    assert isinstance(found, dict)
    nodes = {str(node.pid) for node in cluster.nodes}
    assert {word for each in found.values() for word in each.decode().split()} >= nodes


@pytest.mark.apart
def test_a_machine_that_is_no_node_asks_through_the_door_for_clients(cluster: RayCluster) -> None:
    assert ran(cluster.client, sums()) == 136


@pytest.mark.apart
def test_a_certificate_of_a_cluster_is_that_of_one_process(cluster: RayCluster, tmp_path: Path) -> None:
    """Bit for bit, and at a terminal."""
    home, found = written(tmp_path, 5_000), list[object]()
    settings = home / "sizewise.toml"
    before = settings.read_text()
    for place in ("workers = 1", f'ray = "{cluster.address}"'):
        settings.write_text(f"{before}\n[jobs]\n{place}\n")
        words, env = command("route", "calibrate", str(home), *ASK, "--json"), environment(**ray_environment())
        done = subprocess.run(words, env={**env, "SIZEWISE_HOME": str(home)}, cwd=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append({name: value for name, value in json.loads(done.stdout).items() if name != "diff"})
    assert found[0] == found[1]


@pytest.mark.apart
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("memory", "the batch 'bad' failed: it needs more than 300 MB of memory"),
        ("refuse", "the batch 'bad' failed: it is refused"),
        ("die", "the batch 'bad' failed: the process that worked on it was killed by SIGKILL"),
    ],
)
def test_a_batch_fails_there_as_it_does_here(cluster: RayCluster, what: str, why: str) -> None:
    stored = dict[str, bytes]()
    with pytest.raises(ExternalFailure) as failed:
        ran(cluster.address, troubles(a="1", bad=what, b="2", c="3"), stored)
    assert why in failed.value.message and failed.value.hint
    assert sorted(stored.values()) == [b"1", b"2", b"3"]


@pytest.mark.apart
async def test_a_cancelled_job_ends_on_its_node(cluster: RayCluster, tmp_path: Path) -> None:
    async with opened(cluster.address) as pool:
        job = troubles(a=f"sleep {tmp_path / 'pid'}")
        running = asyncio.ensure_future(run_in_processes(job, pool, stored={}))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        process = Path("/proc", (tmp_path / "pid").read_text())
        for _ in range(1_200):
            if not process.exists():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it still runs")


@pytest.mark.apart
async def test_a_node_that_is_killed_costs_no_batch_and_a_cluster_that_is_gone_no_server(tmp_path: Path) -> None:
    """The server, too, reads its files there: each is refused with the reason, or read, and it lives on."""
    ray, stored = ray_environment(), dict[str, bytes]()
    with ray_cluster(2) as cluster:
        async with opened(cluster.address) as pool:
            job = asyncio.ensure_future(run_in_processes(places(12), pool, stored=stored))
            while len(stored) < 3:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(cluster.kill_node, 1)
            assert len(await job) == 12
        with serving(tmp_path, f'{CONFIG}\n[jobs]\nray = "{cluster.address}"\n', **ray) as server:
            assert add(server, "before.pdf", pdf(["Holidays are thirty days a year."]))["outcome"] == "added"
            cluster.kill_node(0)
            words = {"base": "handbook", "source": "after.pdf", "data": b64encode(pdf(["Ask your lead."])).decode()}
            (error,) = graphql(server, ADD, **words).errors
            assert "Ray" in error["message"], error
            assert server.ask("/healthz").status == 200
            assert [each["source"] for each in listed(server)] == ["before.pdf"]


def test_no_cluster_and_no_ray_are_said_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    with pytest.raises(Busy) as failed:
        ran("127.0.0.1:1", sums())
    assert (failed.value.message, failed.value.hint) == ("Ray is not installed", "Run: pip install 'sizewise[ray]'")
