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
from sizewise.tuning.training import SCRIPT
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


GRADIENTS = """
import json, sys, torch
sys.path.insert(0, {scripts!r})
import training_script as script
alike = list(range(1000, 1020))
examples = [([*alike, *range(at, at + length), 7, 8], 20 + length) for at, length in ((300, 3), (2000, 9), (50, 5))]
model = script.load_base(dict(base={base!r}, device="cpu", examples=examples, rank=4, alpha=8))
weights = [each for each in model.parameters() if each.requires_grad]
torch.manual_seed(1)
for each in weights:
    torch.nn.init.normal_(each, std=0.02)
found = []
for shared in ([], alike):
    loss = script.loss_of(model, examples, shared, "cpu")
    found.append((loss, torch.cat([each.flatten() for each in torch.autograd.grad(loss, weights)])))
(one, ours), (other, theirs) = found
print(json.dumps([abs(float(one - other)), float((ours - theirs).norm() / ours.norm())]))
"""


def test_what_examples_begin_with_gives_the_same_gradients_computed_once(tmp_path: Path, smollm_gguf: Path) -> None:
    made = find_environment(load_settings(None, tmp_path, environ=dict(os.environ)).cache_dir)
    if made is None:
        pytest.skip("no training environment: sizewise tune setup")
    code = GRADIENTS.format(scripts=str(SCRIPT.parent), base=str(smollm_gguf))
    done = subprocess.run([made.python, "-I", "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    loss, gradients = json.loads(done.stdout.splitlines()[-1])
    assert loss < 1e-4 and gradients < 1e-3


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
