"""Bad days of a training: what is refused before anything is trained, with the numbers; and two at once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from bench.tuning.task import messages
from sizewise.catalog.file_lock import file_lock
from sizewise.settings.load import load_settings
from sizewise.tuning.environment import TrainingEnvironment
from sizewise.tuning.run_store import Measured, RunStore
from tests.cli.terminal import Done, sizewise
from tests.forked import PYTHONPATH, command
from tests.running_server import environment
from tests.tuning.echo_trainer import echo_environment

pytestmark = pytest.mark.long
NAME = "intents"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Path:
    """With a planned run, and a training environment without PyTorch: what gets so far would fail in it."""
    home = tmp_path_factory.mktemp("bad-days")
    models = load_settings(None, home, environ=dict(os.environ)).cache_dir / "models"
    environment_of_tests = home / "cache" / "tuning-environment"
    (environment_of_tests / "bin").mkdir(parents=True)
    (environment_of_tests / "bin" / "python").symlink_to(sys.executable)
    ready = TrainingEnvironment(str(environment_of_tests), gpu=False, versions={})
    (environment_of_tests / "ready.json").write_bytes(msgspec.json.encode(ready))
    (home / "cache" / "models").symlink_to(models)
    for name, count, test in (("data", 600, False), ("test", 480, True)):
        chosen = [each for each in messages(count, 4, test=test) if each[1] in ("invoice", "customs")]
        rows = [json.dumps({"input": text, "output": said}) for text, said in chosen[: 60 if not test else 48]]
        (home / f"{name}.jsonl").write_text("\n".join(rows))
    done = tune(home, "plan", NAME, str(home / "data.jsonl"), "--test", str(home / "test.jsonl"))
    assert done.code == 0, done.err
    return home


@pytest.fixture
def store(home: Path) -> Iterator[RunStore]:
    """The run as it was planned, before and after."""
    store = RunStore(home)
    before = store.require(NAME)
    yield store
    store.save(before)


def tune(home: Path, *words: str) -> Done:
    return sizewise("tune", *words, home=home, SIZEWISE_CACHE=str(home / "cache"))


def test_a_training_that_does_not_fit_is_refused_with_both_sizes(home: Path, store: RunStore) -> None:
    run = store.require(NAME)
    store.save(replace(run, estimate=replace(run.estimate, bytes=10**15)))
    done = tune(home, "run", NAME, "--anyway")
    assert done.code == 3 and "needs about 1,000" in done.err.replace("1000", "1,000") and "are free" in done.err
    assert "tune a smaller model" in done.hint and not (store.folder(NAME) / "training.log").exists()


def test_another_file_of_the_base_is_refused(home: Path, store: RunStore) -> None:
    store.save(replace(store.require(NAME), base_sha256="0" * 64))
    done = tune(home, "run", NAME, "--anyway")
    assert done.code == 2 and "is another file than when 'intents' was planned" in done.err


def test_changed_examples_are_refused(home: Path, store: RunStore) -> None:
    file = home / "data.jsonl"
    before = file.read_text()
    file.write_text(before + '\n{"input": "One more", "output": "invoice"}')
    done = tune(home, "run", NAME, "--anyway")
    file.write_text(before)
    assert done.code == 2 and "have changed since it was planned" in done.err and done.hint.endswith("Plan a new run.")


async def test_a_second_training_waits_for_the_first(home: Path, store: RunStore) -> None:
    run = store.require(NAME)
    store.save(replace(run, estimate=replace(run.estimate, bytes=10**15)))
    said = await _run_while_another_trains(home, store)
    assert said[0].strip() == "waiting for another tuning to end", said
    assert any("needs about" in line for line in said[1:]), "it went on once the first had ended"


async def _run_while_another_trains(home: Path, store: RunStore) -> list[str]:
    env = {**environment(SIZEWISE_HOME=str(home), SIZEWISE_CACHE=str(home / "cache")), "PYTHONPATH": PYTHONPATH}
    words = command("tune", "run", NAME, "--anyway")
    async with file_lock(store.lock):
        process = subprocess.Popen(words, env=env, cwd=home, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        first = await asyncio.to_thread(process.stderr.readline)
        assert process.poll() is None
    rest = await asyncio.to_thread(process.communicate)
    return [first, *rest[1].splitlines()]


def test_what_broke_off_says_how_to_go_on(home: Path, store: RunStore) -> None:
    done = tune(home, "run", NAME, "--anyway")
    assert done.code == 3 and "the training ended early" in done.err and "Run it again to continue" in done.hint


def test_a_run_is_asked_what_its_plan_asked_though_others_ask_more(home: Path, store: RunStore, tmp_path: Path) -> None:
    run, asked = store.require(NAME), 44
    assert run.test_count == 48
    baselines = {name: Measured(of.right[:asked]) for name, of in run.baselines.items()}
    store.save(replace(run, test_count=asked, baselines=baselines))
    echo_environment(tmp_path)
    done = sizewise("tune", "run", NAME, "--anyway", home=home, SIZEWISE_CACHE=str(tmp_path))
    trained = store.require(NAME)
    assert trained.state == "trained" and trained.tuned is not None, done.err
    assert len(trained.tuned.right) == asked
    (store.folder(NAME) / "adapter.gguf").unlink()
