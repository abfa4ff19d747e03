"""Stories of evals with parts that fail: flaky answers, a scorer that raises, a judge that is down, lost items."""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Done, sizewise
from tests.fakes.json_server import JsonHandler, json_server
from tests.forked import PYTHONPATH, command
from tests.running_server import ECHO, Served, environment, serving

ITEMS = 30


class Unreliable(JsonHandler):
    """A model that is right in nineteen of twenty answers, at random, and a judge that can be down."""

    chance = random.Random(10)
    lock = threading.Lock()
    is_down = False

    def do_POST(self) -> None:
        asked = self.read_json()
        if asked["model"] == "judge" and self.is_down:
            return self.answer(500, {"error": {"message": "down", "type": "server_error"}})
        with self.lock:
            text = "Paris" if self.chance.random() < 0.95 else "Lyon"
        if asked["model"] == "judge":
            text = "yes" if "sunny" in str(asked["messages"]) else "no"
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return self.answer(200, {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with json_server(Unreliable) as url:
        config = f"""{ECHO}
[providers.far]
base_url = "{url}/v1"
place = "machine"
models = ["flaky", "judge"]
"""
        with serving(tmp_path_factory.mktemp("unreliable"), config) as served:
            yield served


def write(server: Served, name: str, text: str, inputs: list[str]) -> Path:
    folder = server.home / "evals"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(f"data: {name}.jsonl\nbudget: {{concurrency: 16}}\n{text}")
    items = [{"id": f"i-{n}", "input": each, "expected": "Paris"} for n, each in enumerate(inputs)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))
    return folder / ".runs" / name


def eval_(server: Served, verb: str, name: str, *words: str) -> Done:
    return sizewise("eval", verb, name, *words, home=server.home)


@pytest.mark.long
def test_story_10_twenty_runs_of_a_flaky_model_with_repeat_5_have_one_verdict(server: Served) -> None:
    text = "target: far/flaky\nscorers: {right: contains}\ngate: [{score: right, at_least: 0.8}]\nrepeat: 5\n"
    write(server, "flaky", text, [f"Which capital is this? {n}" for n in range(ITEMS)])
    means, verdicts = set[float](), set[str]()
    for _ in range(20):
        done = eval_(server, "run", "flaky", "--json")
        assert done.code == 0 and done.json["added"] == ITEMS * 5, done.err
        means.add(done.json["runs"][0]["scores"]["right"]["estimate"])
        verdicts.add(eval_(server, "gate", "flaky", "--json").json["verdict"])
    assert verdicts == {"pass"} and len(means) > 5


LABELS = (("It is sunny", "yes"), ("It rains", "no"))
PLUGIN = """
def polite(given):
    if "crash" in given.answer:
        raise RuntimeError(given.answer)
    return "please" in given.answer
"""


@pytest.mark.long
def test_story_11_a_scorer_that_raises_is_missing_and_not_zero(server: Served, tmp_path: Path) -> None:
    (tmp_path / "polite_scorer.py").write_text(PLUGIN)
    info = tmp_path / "polite_scorer-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polite-scorer\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sizewise.scorers]\npolite = polite_scorer:polite\n")
    scorers = "scorers: {polite: {kind: plugin, name: polite}}\ngate: [{score: polite, at_least: 0.5}]\n"
    inputs = ["[[say please]]"] * 38 + ["[[say crash canary-answer]]"] * 2
    write(server, "polite", f"target: echo/small\n{scorers}", inputs)

    def with_plugin(verb: str) -> tuple[int, Any]:
        env = environment(SIZEWISE_HOME=str(server.home), PYTHONPATH=f"{tmp_path}:{PYTHONPATH}")
        words = command("eval", verb, "polite", "--json")
        done = subprocess.run(words, env=env, cwd=server.home, capture_output=True, text=True)
        assert "Traceback" not in done.stderr and "canary-answer" not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout)

    _, shown = with_plugin("run")
    score = shown["runs"][0]["scores"]["polite"]
    assert (score["missing"], score["estimate"]) == (2, 1.0), "the mean of those that have one"
    code, shown = with_plugin("gate")
    assert (code, shown["verdict"]) == (1, "unclear") and "lacks 2 of 40 values of 'polite'" in str(shown)


@pytest.mark.long
def test_a_judge_that_is_down_passes_nothing_and_is_named(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = "scorers: {fair: {kind: judge, model: far/judge, rubric: Is it right?, calibrated: true}}\n"
    rule = "gate: [{score: fair, at_least: 0.5}]\n"
    write(server, "judged", f"target: echo/small\n{judge}{rule}", ["It is sunny [[say Paris]]"] * 40)
    labels = [{"input": weather, "answer": "Paris", "label": label} for weather, label in LABELS for _ in range(60)]
    (server.home / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    assert eval_(server, "calibrate-judge", "judged", "fair", str(server.home / "labels.jsonl")).code == 0
    assert eval_(server, "run", "judged").code == 0
    assert eval_(server, "gate", "judged", "--json").json["verdict"] == "pass"
    monkeypatch.setattr(Unreliable, "is_down", True)
    done = eval_(server, "run", "judged", "--json")
    score = done.json["runs"][0]["scores"]["fair"]
    assert (score["missing"], score["estimate"]) == (40, None), done.out
    gate = eval_(server, "gate", "judged", "--json")
    assert (gate.code, gate.json["verdict"]) == (1, "unclear") and "lacks 40 of 40 values of 'fair'" in gate.out


@pytest.mark.long
def test_a_run_of_which_half_of_the_items_fail_does_not_pass(server: Served) -> None:
    inputs = ["[[say Paris]]" if n % 2 else "[[say Paris]] [[fail upstream]]" for n in range(40)]
    text = "target: echo/small\nscorers: {right: contains}\ngate: [{score: right, at_least: 0.5}]\n"
    write(server, "half", text, inputs)
    done = eval_(server, "run", "half", "--json")
    assert done.code == 1, done.out
    gate = eval_(server, "gate", "half", "--json")
    assert (gate.code, gate.json["verdict"]) == (1, "unclear") and "20 of 40 answers" in gate.out, gate.out
