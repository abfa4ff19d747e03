"""`sizewise eval` on echo models: a run is scored and kept, continued after kill -9, compared and gated."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.terminal import Done, sizewise
from tests.forked import command
from tests.running_server import Served, environment, serving, until

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large", "judge"]
[models."echo/small"]
price = {input = "1000", output = "2000"}
[models."echo/large"]
price = {input = "2000", output = "4000"}
"""
EVAL = """\
target: echo/large
data: capitals.jsonl
scorers:
  right: {kind: contains}
  cost: cost
gate:
  - {every: {tags: [must]}}
  - {score: right, not_worse_by: 0.3}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("evals"), CONFIG) as served:
        yield served


class Evals:
    """A folder of evals of its own, and the commands on it."""

    def __init__(self, server: Served, folder: Path) -> None:
        self.server, self.folder = server, folder / "evals"
        self.folder.mkdir()

    def write(self, text: str, items: list[dict[str, Any]], name: str = "capitals") -> None:
        (self.folder / f"{name}.yaml").write_text(text)
        (self.folder / "capitals.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))

    def __call__(self, verb: str, *words: str, name: str = "capitals") -> Done:
        return sizewise("eval", verb, str(self.folder / f"{name}.yaml"), *words, home=self.server.home)

    def runs(self) -> list[Path]:
        return sorted((self.folder / ".runs" / "capitals").glob("*.jsonl"))

    def run_of(self, target: str) -> Path:
        return next(each for each in self.runs() if json.loads(each.read_text().split("\n")[0])["target"] == target)

    def scores(self, name: str) -> dict[str, dict[str, Any]]:
        """Of the one run, by item."""
        lines = map(json.loads, self.runs()[0].read_text().splitlines()[1:])
        return {each["item"]: each["scores"][name] for each in lines}


@pytest.fixture
def evals(server: Served, tmp_path: Path) -> Evals:
    return Evals(server, tmp_path)


def capitals(
    count: int, wrong: Mapping[int, str] = {}, tags: tuple[str, ...] = ()
) -> list[dict[str, Any]]:  # never changed
    """Items that echo/large gets right, and echo/small where `wrong` names no other word."""
    return [
        {
            "id": f"c-{place}",
            "input": f"[[echo/small: say {wrong.get(place, 'Paris')}]] [[echo/large: say Paris]] {place}?",
            "expected": "Paris",
            "tags": list(tags) if place == 0 else [],
        }
        for place in range(count)
    ]


@pytest.mark.long
def test_a_new_eval_runs_as_it_is(server: Served) -> None:
    made = sizewise("eval", "new", "first", "--json", home=server.home)
    assert made.code == 0, made.err
    plan = sizewise("eval", "run", "first", "--dry-run", "--json", home=server.home).json
    assert plan == {"eval": "first", "items": 4, "clusters": 4, "missing": {"auto": 4}}
    again = sizewise("eval", "new", "first", home=server.home)
    assert again.code == 2 and "there is already" in again.err
    assert "first" in sizewise("eval", home=server.home).out


def test_a_run_is_scored_kept_and_not_repeated(evals: Evals) -> None:
    evals.write(EVAL, capitals(3))
    done = evals("run", "--json")
    assert done.code == 0, done.err
    (run,) = done.json["runs"]
    assert (run["answers"], run["scores"]["right"]["estimate"], run["scores"]["right"]["missing"]) == (3, 1.0, 0)
    assert run["scores"]["cost"]["estimate"] > 0 and done.json["cost_usd"] != "0"
    (file,) = evals.runs()
    assert file.stat().st_mode & 0o077 == 0
    assert (evals.folder / ".runs" / ".gitignore").read_text() == "*\n"
    assert len(file.read_text().splitlines()) == 4
    assert evals("run").code == 0 and len(evals.runs()) == 2, "a whole run is not continued"


def test_two_targets_are_compared_pair_by_pair(evals: Evals) -> None:
    evals.write(EVAL, capitals(8, wrong={2: "Lyon", 5: "Nice"}, tags=("must",)))
    assert evals("run", "-t", "echo/large", "-t", "echo/small").code == 0
    base, head = (
        next(each.stem for each in evals.runs() if name in each.read_text()[:300]) for name in ("large", "small")
    )
    found = evals("compare", base, head, "--json").json
    right = found["scores"]["right"]
    assert (found["items"], right["difference"]["estimate"], right["difference"]["method"]) == (8, -0.25, "Tango")
    assert right["newly_wrong"] == ["c-2", "c-5"] and right["newly_right"] == []
    assert found["scores"]["cost"]["difference"]["high"] < 0, "the small one is half the price"
    shown = evals("compare", base, head).out
    assert "-25.0 %" in shown and "newly wrong (2): #c-2, #c-5" in shown


@pytest.mark.long
@pytest.mark.parametrize(
    ("wrong", "count", "verdict", "said"),
    [
        ({}, 40, "pass", "right rose by 0.0 points"),
        (dict.fromkeys(range(1, 25), "Lyon"), 40, "fail", "right fell by 60.0 points"),
        ({1: "Lyon"}, 4, "unclear", "too few items to tell"),
        ({0: "Lyon"}, 40, "fail", "1 items that must be right are not: #c-0"),
    ],
)
def test_the_gate_says_pass_fail_or_unclear(
    evals: Evals, tmp_path: Path, wrong: dict[int, str], count: int, verdict: str, said: str
) -> None:
    evals.write(EVAL + "budget: {concurrency: 8}\n", capitals(count, wrong, ("must",)))
    assert evals("run", "-t", "echo/large", "-t", "echo/small").code == 0
    base, head = (
        next(str(each) for each in evals.runs() if name in each.read_text()[:300]) for name in ("large", "small")
    )
    markdown, junit = tmp_path / "comment.md", tmp_path / "junit.xml"
    done = evals("gate", "--base", base, "--head", head, "--markdown", str(markdown), "--junit", str(junit))
    assert done.code == (0 if verdict == "pass" else 1) and done.out.startswith(verdict.upper()), done.out + done.err
    assert said in done.out
    comment = markdown.read_text()
    assert comment.startswith("<!-- sizewise:evals -->") and verdict.upper() in comment and "Paris" not in comment
    suite = ElementTree.fromstring(junit.read_text())
    assert int(suite.attrib["tests"]) == 2 + count and (int(suite.attrib["failures"]) == 0) == (verdict == "pass")


def test_a_run_that_is_not_whole_does_not_pass(evals: Evals) -> None:
    evals.write(EVAL.replace("  - {score: right, not_worse_by: 0.3}\n", ""), capitals(4, tags=("must",)))
    assert evals("run").code == 0
    (file,) = evals.runs()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    done = evals("gate")
    assert (done.code, done.out[:7]) == (1, "UNCLEAR") and "3 of 4 answers" in done.out


def test_a_judge_scores_by_its_scale_and_cannot_gate(evals: Evals) -> None:
    judge = (
        EVAL.partition("gate:")[0]
        + "  fair: {kind: judge, model: echo/judge, rubric: Is it kind?, scale: [no, partly, yes]}\n"
    )
    said = ["yes", "partly", "no", "perhaps"]
    items = [
        {"id": each, "input": f"[[echo/judge: say {each}]] [[echo/large: say Paris]]", "expected": "Paris"}
        for each in said
    ]
    evals.write(judge, items)
    done = evals("run")
    assert done.code == 0, done.err
    scores = evals.scores("fair")
    assert [scores[each]["value"] for each in said] == [1.0, 0.5, 0.0, None]
    assert "cannot be read" in scores["perhaps"]["why"]
    evals.write(judge + "gate: [{score: fair, at_least: 0.5}]\n", items)
    refused = evals("gate")
    assert refused.code == 2 and "not calibrated" in refused.err


def labels(folder: Path, right: tuple[int, int], wrong: tuple[int, int]) -> str:
    """Answers by label: how many the judge accepts and rejects of each."""
    rows = [
        {"input": f"[[echo/judge: say {verdict}]] Is it?", "answer": "Paris", "label": label}
        for label, counts in (("yes", right), ("no", wrong))
        for verdict, count in zip(("yes", "no"), counts, strict=True)
        for _ in range(count)
    ]
    file = folder / "labels.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.mark.long
def test_a_judge_gates_once_its_errors_are_known(evals: Evals, tmp_path: Path) -> None:
    fair = "  fair: {kind: judge, model: echo/judge, rubric: Is it right?, calibrated: true}\n"
    head = EVAL.partition("gate:")[0] + fair
    budget = "budget: {concurrency: 16}\n"
    rule = "gate: [{score: fair, at_least: 0.6}]\n"
    items = [
        {"id": str(n), "input": f"[[echo/judge: say {'no' if n % 10 == 0 else 'yes'}]] [[echo/large: say Paris]]"}
        for n in range(100)
    ]
    evals.write(head + rule + budget, items)
    assert evals("run").code == 0
    lacking = evals("gate")
    assert lacking.code == 2 and "calibrate-judge capitals fair" in lacking.err
    few = evals("calibrate-judge", "fair", labels(tmp_path, (30, 5), (5, 15)))
    assert few.code == 1 and "100 are needed" in few.err
    assert evals("gate").out.startswith("UNCLEAR")
    good = evals("calibrate-judge", "fair", labels(tmp_path, (57, 3), (15, 45)), "--json")
    assert good.code == 0 and good.json["may_gate"] and good.json["kappa"] == pytest.approx(0.7)
    done = evals("gate", "--json")
    (found,) = done.json["rules"]
    assert (done.code, found["verdict"]) == (0, "pass") and "92.9 %" in found["why"], "(.9 + .75 - 1) / (.95 + .75 - 1)"
    evals.write(head.replace("right?", "kind?") + rule + budget, items)
    assert "another model, rubric or scale" in evals("gate").out
    useless = evals("calibrate-judge", "fair", labels(tmp_path, (40, 20), (40, 20)))
    assert useless.code == 1 and "better than chance" in useless.err


@pytest.mark.long
def test_tool_calls_are_scored_as_calls(evals: Evals) -> None:
    call = {"name": "weather", "arguments": {"city": "Rome"}}
    items: list[dict[str, Any]] = [
        {"id": "same", "input": f"[[say {json.dumps(call)} ]]", "expected": [call]},
        {"id": "other", "input": f"[[say {json.dumps(call)} ]]".replace("Rome", "Oslo"), "expected": [call]},
        {"id": "none", "input": "[[say no]]", "expected": {"tools": []}},
        {"id": "unknown", "input": "[[say no]]", "expected": "Rome"},
    ]
    evals.write("target: echo/small\ndata: capitals.jsonl\nscorers: {calls: tool_calls}\n", items)
    assert evals("run").code == 0
    scores = evals.scores("calls")
    assert scores["none"]["value"] == 1.0 and scores["unknown"]["value"] is None
    assert (scores["same"]["value"], scores["other"]["value"]) == (1.0, 0.0)


def test_a_budget_for_a_model_without_a_price_says_so_before_it_asks(evals: Evals) -> None:
    """`echo/judge` has none."""
    text = EVAL.replace("echo/large", "echo/judge")
    evals.write(text + "budget: {usd: 1.00}\n", capitals(3))
    done = evals("run")
    assert done.code == 2 and evals.runs() == []
    assert "no price is known for echo/judge" in done.err and "budget: {usd: none}" in done.hint
    evals.write(text + "budget: {usd: none}\n", capitals(3))
    free = evals("run")
    assert free.code == 0 and "3 of unknown cost" in free.out


@pytest.mark.long
def test_a_budget_stops_the_run_and_the_same_command_goes_on(evals: Evals) -> None:
    target = "{model: echo/large, max_tokens: 4}"
    evals.write(EVAL.replace("echo/large", target) + "budget: {usd: 0.4}\n", capitals(30))
    done = evals("run")
    assert done.code == 1 and "the budget is used up" in done.err and "run the same command again" in done.err
    assert "with a larger `usd` under `budget` in capitals.yaml, or none" in done.hint
    (file,) = evals.runs()
    first = len(file.read_text().splitlines()) - 1
    assert 0 < first < 30
    evals("run")
    assert len(evals.runs()) == 1 and len(file.read_text().splitlines()) - 1 > first


@pytest.mark.long
def test_story_8_a_killed_run_goes_on_and_pays_the_rest_only(evals: Evals) -> None:
    evals.write(EVAL, [{**each, "input": "[[slow 0.2]] " + each["input"]} for each in capitals(20)])
    words = command("eval", "run", str(evals.folder / "capitals.yaml"), "--home", str(evals.server.home))
    child = subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: bool(evals.runs()) and len(evals.runs()[0].read_text().splitlines()) > 4)
    child.send_signal(signal.SIGKILL)
    child.wait()
    (file,) = evals.runs()
    with file.open("a") as cut:
        cut.write('{"item": "c-')
    kept = len(file.read_text().splitlines()) - 2
    done = evals("run", "--json")
    assert done.code == 0 and done.json["added"] == 20 - kept, done.err
    lines = [json.loads(line)["item"] for line in file.read_text().splitlines()[1:]]
    assert sorted(lines) == sorted(f"c-{place}" for place in range(20))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target: [", "2:1: this is not valid YAML"),
        ("target: a\ndata: x\n", "1:1: the field `scorers` is missing"),
        (EVAL.replace("contains", "containz"), "4:10: 'right': there is no kind 'containz'"),
        (EVAL.replace("score: right", "score: rigth"), "8:5: there is no scorer 'rigth'"),
        (EVAL.replace("not_worse_by: 0.3", "sure: 0.9"), "8:5: a rule has one condition"),
        (EVAL + "budget: {usd: many}\n", "9:9: budget"),
        (EVAL + "repeat: 0\n", "9:9: `repeat` is 0"),
        (EVAL + "targets: 1\n", "9:10: there is no field 'targets'"),
        (EVAL.replace("capitals.jsonl", "none.jsonl"), "there is no data file"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(evals: Evals, text: str, said: str) -> None:
    evals.write(text, capitals(1))
    done = evals("run")
    assert done.code == 2 and said in done.err, done.err


def test_an_unknown_target_leaves_no_run(evals: Evals) -> None:
    evals.write(EVAL, capitals(2))
    done = evals("run", "-t", "echo/nope")
    assert done.code == 2 and "echo/nope" in done.err and evals.runs() == []


@pytest.mark.long
def test_labels_on_the_answers_of_a_run_correct_its_judge(evals: Evals, tmp_path: Path) -> None:
    """The judge accepts 3 of 4 bad answers: it alone would pass."""
    head = (
        EVAL.partition("gate:")[0] + "  fair: {kind: judge, model: echo/judge, rubric: Is it good?, calibrated: true}\n"
    )
    spec = head + "gate: [{score: fair, at_least: 0.75}]\nbudget: {concurrency: 16}\n"
    items = [
        {
            "id": str(n),
            "input": f"[[echo/judge: say {'no' if n % 5 in (3, 4) and n % 4 == 0 else 'yes'}]] "
            f"[[echo/large: say {'bad' if n % 5 in (3, 4) else 'good'} {n}]]",
        }
        for n in range(240)
    ]
    evals.write(spec, items)
    assert evals("run").code == 0
    assert evals("gate").code == 2, "neither calibrated nor labeled"
    file = tmp_path / "labels.jsonl"
    drawn = evals("label", "fair", evals.runs()[0].stem, "--items", "200", "--out", str(file), "--json")
    assert drawn.code == 0 and drawn.json["answers"] == 200, drawn.err
    assert evals("label", "fair", evals.runs()[0].stem, "--out", str(file)).code == 2, "labels are not overwritten"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(row["label"] is None and "verdict" not in row for row in rows) and file.stat().st_mode & 0o077 == 0
    few = [{**row, "label": "yes" if "good" in row["answer"] else "no"} for row in rows[:60]]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*few, *rows[60:]]))
    unclear = evals("gate", "--labels", str(file))
    assert unclear.code == 1 and "60 labels correct it, 100 are needed" in unclear.out
    labeled = [{**row, "label": "yes" if "good" in row["answer"] else "no"} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in labeled))
    done = evals("gate", "--labels", str(file), "--json")
    (rule,) = done.json["rules"]
    assert (done.code, rule["verdict"]) == (1, "fail") and "by the judge alone 90" in rule["why"], rule
    labeled[7]["label"] = "perhaps"
    file.write_text("".join(json.dumps(row) + "\n" for row in labeled))
    wrong = evals("gate", "--labels", str(file))
    assert wrong.code == 2 and "line 8: the label is 'perhaps'" in wrong.err
