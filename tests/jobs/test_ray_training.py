"""Trainings on a real Ray cluster: on the node that can, on another one if it is lost, and at home if none is left."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.tuning.task import messages
from sizewise.catalog.loader import bundled_models, weights_path
from sizewise.cli.tune_run import RULES
from sizewise.offload.ray_pool import RayPool
from sizewise.process import physical_cores
from sizewise.settings.load import load_settings
from sizewise.tuning.environment import environment_folder, find_environment
from sizewise.tuning.home_training import HomeTraining
from sizewise.tuning.ray_training import RayTraining
from sizewise.tuning.run_store import RunStore, TuningRun
from sizewise.tuning.training import TrainingPlace
from sizewise.tuning.tuner import BaseModel, Reporter, Tuner
from tests.cli.terminal import Done
from tests.forked import command
from tests.forked import run as run_forked
from tests.jobs.ray_cluster import RAY, REPOSITORY, ray_cluster, ray_environment
from tests.running_server import environment, until
from tests.tuning.echo_trainer import BATCH, STEPS, echo_environment, steps_done

pytestmark = pytest.mark.apart
NAME = "tiny"
WAIT_S = 600.0


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    if (RAY / "ray").is_dir():
        for name, value in ray_environment().items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Path:
    """With the planned run NAME: three answers, so that minutes are enough."""
    home = tmp_path_factory.mktemp("trained")
    for name, count, test in (("data", 480, False), ("test", 240, True)):
        chosen = [each for each in messages(count, 3, test=test) if each[1] in ("damaged", "invoice", "customs")]
        rows = [json.dumps({"input": text[:60], "output": said}) for text, said in chosen[: 48 if not test else 8]]
        (home / f"{name}.jsonl").write_text("\n".join(rows))
    files = str(home / "data.jsonl"), "--test", str(home / "test.jsonl")
    done = tune(home, "", "plan", NAME, *files, "--preset", "quick", "--instructions", "Topic?")
    assert done.code == 0, done.err
    return home


@pytest.fixture
def run(home: Path) -> Iterator[TuningRun]:
    """As it was planned, before and after."""
    store = RunStore(home)
    before = store.require(NAME)
    yield before
    store.delete(NAME)
    store.save(before)


@pytest.fixture
def caches(tmp_path: Path, smollm_gguf: Path) -> list[Path]:
    """Of two nodes that can train."""
    found = [tmp_path / "one", tmp_path / "two"]
    for each in found:
        echo_environment(each)
    return found


def tune(home: Path, ray: str, *words: str, cache: Path | None = None) -> Done:
    """`ray`: the address; empty: at home. `cache`: without one, the models of this machine alone."""
    done = run_forked(command("tune", *words), env=variables(home, ray, cache), cwd=home, timeout=WAIT_S)
    return Done(done.returncode, done.stdout, done.stderr)


def variables(home: Path, ray: str, cache: Path | None = None) -> dict[str, str]:
    (home / "sizewise.toml").write_text(f'[jobs]\nray = "{ray}"\n')
    cache = cache or cache_without_environment(home)
    return environment(SIZEWISE_HOME=str(home), SIZEWISE_CACHE=str(cache), **ray_environment())


def cache_without_environment(home: Path) -> Path:
    cache = home / "cache"
    if not cache.exists():
        cache.mkdir()
        (cache / "models").symlink_to(load_settings(None, home, environ=dict(os.environ)).cache_dir / "models")
    return cache


def training(home: Path, ray: str) -> subprocess.Popen[str]:
    words, env = command("tune", "run", NAME, "--anyway"), variables(home, ray)
    return subprocess.Popen(words, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def saved_step(home: Path) -> int:
    return RunStore(home).require(NAME).step


def test_a_node_that_is_lost_costs_a_batch_and_no_step(home: Path, run: TuningRun, caches: list[Path]) -> None:
    """And the command's machine needs no training environment."""
    ready = environment_folder(caches[0]) / "ready.json"
    made = ready.read_bytes()
    ready.unlink()  # the head's: it goes with the cluster, so the other one begins
    with ray_cluster(2, caches=caches) as cluster, training(home, cluster.address) as process:
        until(lambda: process.poll() is not None or saved_step(home) >= BATCH, WAIT_S)
        until(lambda: process.poll() is not None or steps_done(caches[1])[-1] > BATCH, WAIT_S)
        ready.write_bytes(made)
        cluster.kill_node(1)
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode in (0, 1), err
    assert "is lost" in err, err
    found = RunStore(home).require(NAME)
    assert found.state == "trained" and found.step == STEPS
    begun, *others = steps_done(caches[0])
    assert begun > 0 and begun % BATCH == 0, "it went on from the last checkpoint"
    assert sorted({begun, *others}) == list(range(begun, STEPS + 1))
    assert found.cost is not None and found.cost.cpu_seconds == pytest.approx(STEPS / 10), "each step once"


def test_a_cluster_that_goes_away_ends_it_and_home_goes_on(home: Path, run: TuningRun, caches: list[Path]) -> None:
    with ray_cluster(2, caches=caches) as cluster, training(home, cluster.address) as process:
        until(lambda: process.poll() is not None or saved_step(home) >= BATCH, WAIT_S)
        cluster.close()
        _, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 3 and "Ray" in err, err
    begun = saved_step(home)
    echo = caches[0]
    before = len(steps_done(echo))
    done = tune(home, "", "run", NAME, "--anyway", cache=echo)
    assert done.code in (0, 1), done.err
    assert steps_done(echo)[before] == begun > 0 and steps_done(echo)[-1] == STEPS
    assert RunStore(home).require(NAME).state == "trained"


def test_a_node_that_cannot_train_says_what_to_do_there(home: Path, run: TuningRun, caches: list[Path]) -> None:
    (caches[0] / "models").unlink()
    (environment_folder(caches[1]) / "ready.json").unlink()
    with ray_cluster(2, caches=caches) as cluster:
        done = tune(home, cluster.address, "run", NAME, "--anyway")
        assert done.code == 3 and "no node of the Ray cluster can train: " in done.err, done.err
        assert "does not have local/smollm2-135m" in done.err and "has no training environment" in done.err
        assert "run: sizewise models pull smollm2-135m" in done.hint or "run: sizewise tune setup" in done.hint
        assert steps_done(caches[0]) == steps_done(caches[1]) == []
        files = str(home / "data.jsonl"), "--test", str(home / "test.jsonl")
        planned = tune(home, cluster.address, "plan", "another", *files, "--json")
        assert planned.code == 0 and planned.json["node"] and planned.json["estimate"]["cpu_seconds"] > 0, planned.err
        caches[0].joinpath("models").symlink_to(caches[1] / "models")
        RunStore(home).save(replace(run, estimate=replace(run.estimate, bytes=10**15)))
        done = tune(home, cluster.address, "run", NAME, "--anyway")
        assert done.code == 3 and "has too little memory: the training needs about 1000000.0 GB" in done.err, done.err
        RunStore(home).save(run)
        done = tune(home, cluster.address, "run", NAME, "--anyway")
        assert done.code in (0, 1), done.err
    assert steps_done(caches[0])[-1] == STEPS and not steps_done(caches[1]), "on the only one that can"


async def test_an_adapter_of_two_nodes_is_that_of_this_machine(home: Path, run: TuningRun, tmp_path: Path) -> None:
    """Bit for bit, with PyTorch, where one node was lost in the middle: they have one kind of processor."""
    here = load_settings(None, home, environ=dict(os.environ))
    environment = find_environment(here.cache_dir)
    if environment is None:
        pytest.skip("no training environment: sizewise tune setup")
    weights = bundled_models()["smollm2-135m"].weights
    base = BaseModel(run.base, weights_path(weights, here.cache_dir), weights.sha256)
    store, run = RunStore(home), replace(run, recipe=replace(run.recipe, epochs=2))
    store.save(run)
    place = HomeTraining(here.cache_dir, base.file, physical_cores())
    home_run = await tuner(store, place, Said()).train(run, base)
    adapter = store.folder(NAME) / "adapter.gguf"
    at_home = adapter.read_bytes()
    adapter.unlink()
    store.save(run)
    caches = [linked(tmp_path / name, here.cache_dir) for name in ("one", "two")]
    make_ready(caches[1], here.cache_dir)
    with ray_cluster(2, caches=caches) as cluster:

        def lose_a_node() -> None:
            make_ready(caches[0], here.cache_dir)
            cluster.kill_node(1)

        found = await _trained(store, base, cluster.address, lose_a_node)
    assert found.state == home_run.state == "trained" and found.equality == home_run.equality
    assert adapter.read_bytes() == at_home


def linked(folder: Path, cache: Path) -> Path:
    """A cache with the models of `cache`, which can train once its `ready` is that of `cache`."""
    environment_folder(folder).mkdir(parents=True)
    (folder / "models").symlink_to(cache / "models")
    return folder


def make_ready(folder: Path, cache: Path) -> None:
    (environment_folder(folder) / "ready.json").symlink_to(environment_folder(cache) / "ready.json")


def tuner(store: RunStore, place: TrainingPlace, said: Said) -> Tuner:
    return Tuner(store, said, place, embed=None, threads=0)


async def _trained(store: RunStore, base: BaseModel, address: str, after_a_batch: Callable[[], None]) -> TuningRun:
    """In short batches."""
    pool, said = RayPool(address, rules=RULES), Said()
    try:
        work = tuner(store, RayTraining(pool, pause_ratio=0.3), said).train(store.require(NAME), base)
        training = asyncio.ensure_future(work)
        while not training.done() and not store.require(NAME).step:
            await asyncio.sleep(0.1)
        await asyncio.to_thread(after_a_batch)
        found = await training
    finally:
        await pool.close()
    assert any("is lost" in each for each in said.stages), said.stages
    return found


class Said(Reporter):
    def __init__(self) -> None:
        self.stages = list[str]()

    def stage(self, text: str) -> None:
        self.stages.append(text)
