"""A real training: from examples to an adapter that answers, killed in between; where the environment is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bench.tuning.task import messages
from sizewise.settings.load import load_settings
from sizewise.tuning.environment import find_environment
from tests.forked import PYTHONPATH, command, run
from tests.running_server import environment

pytestmark = pytest.mark.long


@pytest.fixture
def planned(tmp_path: Path, smollm_gguf: Path) -> Path:
    """A home with the run `tiny`: three answers, so that minutes are enough."""
    if find_environment(load_settings(None, tmp_path, environ=dict(os.environ)).cache_dir) is None:
        pytest.skip("no training environment: sizewise tune setup")
    for name, count, test in (("data", 480, False), ("test", 240, True)):
        chosen = [each for each in messages(count, 3, test=test) if each[1] in ("damaged", "invoice", "customs")]
        rows = [json.dumps({"input": text[:60], "output": said}) for text, said in chosen[: 96 if not test else 30]]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    files = str(tmp_path / "data.jsonl"), "--test", str(tmp_path / "test.jsonl")
    tune(tmp_path, "plan", "tiny", *files, "--preset", "quick", "--instructions", "Topic?")
    return tmp_path


def tune(home: Path, *words: str) -> None:
    env = {**environment(SIZEWISE_HOME=str(home)), "PYTHONPATH": PYTHONPATH}
    done = run(command("tune", *words), env=env, cwd=home, timeout=1_800)
    assert done.returncode in (0, 1), done.stderr


def run_file(home: Path) -> Any:
    return json.loads((home / "tuning" / "tiny" / "run.json").read_text())


def test_a_killed_training_goes_on_and_its_adapter_is_the_same_in_both_runtimes(planned: Path) -> None:
    env = environment(SIZEWISE_HOME=str(planned))
    words = command("tune", "run", "tiny", "--anyway")
    with subprocess.Popen(words, env={**env, "PYTHONPATH": PYTHONPATH}, cwd=planned) as process:
        checkpoint = planned / "tuning" / "tiny" / "checkpoint.pt"
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    tune(planned, "run", "tiny", "--anyway")
    found = run_file(planned)
    assert found["state"] == "trained"
    assert found["equality"]["equal"] >= 0.95 * found["equality"]["asked"]
    assert found["equality"]["logprob_difference"] <= 0.05
    assert found["memory"]["planted"] == 6 and found["memory"]["revealed"] <= 1
    assert sum(found["tuned"]["right"]) > sum(found["baselines"]["prompting"]["right"])
    assert found["cost"]["bytes"] / 2 <= found["estimate"]["bytes"] <= found["cost"]["bytes"] * 2
    assert "message" not in (planned / "tuning" / "tiny" / "run.json").read_text()
