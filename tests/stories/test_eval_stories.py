"""The acceptance stories of evals, each under its number; 8 is in tests/cli, 11 in test_unreliable_eval_stories.py."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.evals.datasets.stratified_sample import adjust_for_missing, allocate_sample, draw_sample
from sizewise.evals.runs.eval_spec import build_spec
from sizewise.evals.runs.gate import check_gate
from sizewise.evals.runs.item_scorers import Score
from sizewise.evals.runs.paired_statistics import ItemValue, mean_interval
from sizewise.evals.runs.run_file import EvalRun, ItemResult, RunHead, open_run
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[records]
contents = true
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "judge"]
[models."echo/small"]
price = {input = "5000", output = "10000"}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("stories"), CONFIG) as served:
        (served.home / "evals").mkdir()
        yield served


def write(server: Served, name: str, text: str, items: list[dict[str, Any]]) -> None:
    (server.home / "evals" / f"{name}.yaml").write_text(text)
    (server.home / "evals" / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))


@pytest.mark.long
@pytest.mark.parametrize("lost", [0.0, 0.2])
def test_story_6_weighted_means_of_a_sample_are_those_of_the_whole_traffic(lost: float) -> None:
    """Failed requests and cheap answers are oversampled and worse; a part of the contents may be gone."""
    chance = random.Random(6)
    rates = {"failed": (0.2, 150), "answered cheap": (0.75, 1_500), "answered dear": (0.97, 3_350)}
    frame = [(name, float(chance.random() < rate)) for name, (rate, count) in rates.items() for _ in range(count)]
    truth = sum(score for _, score in frame) / len(frame)
    strata, sizes = [name for name, _ in frame], Counter(name for name, _ in frame)
    drawn = allocate_sample(sizes, 240, {"failed": 3.0, "answered cheap": 2.0})
    assert drawn["failed"] / sizes["failed"] > 4 * drawn["answered dear"] / sizes["answered dear"]
    held = naive_held = 0
    for seed in range(400):
        sample = [each for each in draw_sample(strata, drawn, seed) if chance.random() >= lost]
        units = adjust_for_missing(sample, sizes)
        values = [ItemValue(str(each.place), frame[each.place][1], 1 / each.probability) for each in units]
        assert sum(each.weight for each in values) == pytest.approx(len(frame))
        found = mean_interval(values, 0.025)
        naive = mean_interval([ItemValue(each.cluster, each.value) for each in values], 0.025)
        held += found.low <= truth <= found.high
        naive_held += naive.low <= truth <= naive.high
    assert held / 400 >= 0.93 and naive_held / 400 < 0.2, (held, naive_held)


@pytest.mark.long
def test_story_6_a_run_on_sampled_records_estimates_what_the_whole_traffic_would_score(server: Served) -> None:
    for place in range(60):
        words = f"[[say {'Lyon' if place % 3 == 0 else 'Paris'}]] {place}"
        assert server.chat("echo/small", words if place < 54 else f"[[fail down]] {place}").status in (200, 502, 503)
    drawn = sizewise(
        "dataset", "from-records", "sampled", "-n", "20", "--by", "result", "--seed", "7", home=server.home
    )
    assert drawn.code == 0, drawn.err
    rows = [json.loads(each) for each in (server.home / "evals" / "sampled.jsonl").read_text().splitlines()]
    assert {each["stratum"] for each in rows} == {"answered", "failed"}
    spec = "target: echo/small\ndata: sampled.jsonl\nscorers: {right: {kind: contains, expected: Paris}}\n"
    write(server, "sampled", spec, rows)
    done = sizewise("eval", "run", "sampled", "--json", home=server.home)
    right = done.json["runs"][0]["scores"]["right"]
    answered = [each for each in rows if each["stratum"] == "answered"]
    share = sum("Paris" in str(each["input"]) for each in answered) / len(answered)
    assert right["estimate"] == pytest.approx(share), "the failed ones have no answer, and the others one weight"
    assert right["low"] <= 36 / 54 <= right["high"]


@pytest.mark.long
def test_story_7_an_erased_person_is_gone_from_items_outputs_and_scores(server: Served) -> None:
    made = graphql(server, 'mutation { createKey(name: "ada") { secret key { id } } }').data["createKey"]
    for place in range(3):
        body = {"model": "echo/small", "messages": [{"role": "user", "content": f"[[say canary-ada]] {place}"}]}
        assert server.ask("/v1/chat/completions", body, key=made["secret"]).status == 200
    assert server.chat("echo/small", "[[say canary-session]]", sizewise={"session": "s-1"}).status == 200
    assert server.chat("echo/small", "[[say canary-customer]]", user="customer-1").status == 200
    assert server.chat("echo/small", "[[say of-others]]").status == 200
    assert sizewise("dataset", "from-records", "ada", "-n", "1000", "--by", "result", home=server.home).code == 0
    eval_file = server.home / "evals" / "ada.yaml"
    eval_file.write_text("target: echo/small\ndata: ada.jsonl\nscorers: {it: {kind: contains, expected: canary-ada}}\n")
    sizewise("eval", "run", "ada", home=server.home)

    def texts() -> str:
        return "".join(each.read_text() for each in (server.home / "evals").rglob("*.jsonl"))

    assert "canary-ada" in texts() and "of-others" in texts()
    dry = sizewise("erase", "--key", made["key"]["id"], home=server.home)
    assert "3 items of data sets here, and 3 answers to them, would be erased" in dry.out and "canary-ada" in texts()
    done = sizewise("erase", "--key", made["key"]["id"], "--yes", "--json", home=server.home)
    assert done.json["eval_copies"] == {"items": 3, "answers": 3}
    assert "canary-ada" not in texts() and "canary-session" in texts() and "canary-customer" in texts()
    for option, name in (("--session", "s-1"), ("--end-user", "customer-1")):
        done = sizewise("erase", option, name, "--yes", "--json", home=server.home)
        assert done.json["eval_copies"] == {"items": 1, "answers": 1}, done.err
    assert "canary-" not in texts() and "of-others" in texts()


@pytest.mark.long
def test_story_9_an_eval_stops_at_its_budget_give_or_take_one_call(server: Served) -> None:
    spec = "target: {model: echo/small, max_tokens: 8}\ndata: dear.jsonl\nscorers: {cost: cost}\nbudget: {usd: 2.00}\n"
    write(server, "dear", spec, [{"id": str(n), "input": f"[[say one]] {n}"} for n in range(300)])
    done = sizewise("eval", "run", "dear", "--json", home=server.home)
    assert done.code == 1 and done.json["stopped"] == "budget", done.err
    (file,) = (server.home / "evals" / ".runs" / "dear").glob("*.jsonl")
    costs = [json.loads(line)["cost"] / 1e12 for line in file.read_text().splitlines()[1:]]
    most = 0.16  # dollars that one call can cost at most: its prompt, and 8 tokens
    assert 2.0 - most <= sum(costs) <= 2.0 + most and max(costs) <= most


def flaky_run(chance: random.Random, spec: Any, repeat: int) -> EvalRun:
    head = RunHead(
        eval="x", target="a/b", started="", data="data", scoring=spec.scoring_digest, scorers={"right": "contains"},
        repeat=repeat, planned=200 * repeat,
    )  # fmt: skip
    results = [
        ItemResult(
            item=str(item),
            digest=str(item),
            repeat=number,
            cluster=str(item),
            scores={"right": Score(float(chance.random() < 0.9))},
        )
        for item in range(200)
        for number in range(repeat)
    ]
    return EvalRun(head, tuple(results), "run")


@pytest.mark.long
def test_story_10_a_flaky_answer_with_repeat_5_has_one_verdict_in_20_of_20_runs() -> None:
    """Each answer is right with probability 0.9, at random: one repeat an item decides now so, now so."""
    verdicts = dict[int, set[str]]()
    for repeat in (1, 5):
        rule = {"score": "right", "at_least": 0.86}
        spec = build_spec(
            {"target": "a/b", "data": "x", "scorers": {"right": "contains"}, "gate": [rule], "repeat": repeat}
        )
        runs = [flaky_run(random.Random(seed), spec, repeat) for seed in range(20)]
        verdicts[repeat] = {check_gate(spec, each, data="data").verdict for each in runs}
    assert verdicts == {1: {"pass", "unclear"}, 5: {"pass"}}


def compared(folder: Path, count: int, wrong: int) -> dict[str, Any]:
    """`sizewise eval compare` of two runs that differ in the first `wrong` items."""
    text = "target: a/b\ndata: x.jsonl\nscorers: {right: contains}\n"
    (folder / "x.yaml").write_text(text)
    spec = build_spec({"target": "a/b", "data": "x.jsonl", "scorers": {"right": "contains"}})
    names = []
    for name, bad in (("base", 0), ("head", wrong)):
        head = RunHead(
            eval="x", target=name, started="", data="", scoring=spec.scoring_digest, scorers={"right": "contains"},
            repeat=1, planned=count,
        )  # fmt: skip
        names.append(str(folder / ".runs" / "x" / f"{name}-{count}-{wrong}.jsonl"))
        with open_run(Path(names[-1]), head) as writer:
            for n in range(count):
                score = Score(float(n >= bad))
                writer.append(ItemResult(item=str(n), digest=str(n), repeat=0, cluster=str(n), scores={"right": score}))
    done = sizewise("eval", "compare", str(folder / "x.yaml"), *names, "--json", home=folder)
    assert done.code == 0, done.err
    found: dict[str, Any] = done.json["scores"]["right"]
    return found


@pytest.mark.long
def test_story_12_compare_tells_equal_from_cannot_tell_and_says_how_many_items(tmp_path: Path) -> None:
    few, many = compared(tmp_path, 20, 0), compared(tmp_path, 200, 0)
    assert few["difference"]["estimate"] == many["difference"]["estimate"] == 0
    assert (few["verdict"], many["verdict"]) == ("unclear", "equal")
    assert 100 < few["items_needed"] <= 200 and many["items_needed"] is None
    assert compared(tmp_path, 200, 30)["verdict"] == "worse"


@pytest.mark.long
def test_story_13_a_judge_that_loves_long_answers_is_found_out(server: Served, tmp_path: Path) -> None:
    spec = (
        "target: echo/small\ndata: fair.jsonl\n"
        "scorers: {fair: {kind: judge, model: echo/judge, rubric: Is it right?, calibrated: true}}\n"
        "gate: [{score: fair, at_least: 0.5}]\nbudget: {concurrency: 16}\n"
    )
    write(server, "fair", spec, [{"input": "?"}])
    for name, words in (("fair", ("no", "no")), ("vain", ("no", "yes"))):
        rows = []
        for n in range(160):
            is_right, is_long = n % 2 == 0, n % 4 < 2
            verdict = "yes" if is_right else words[is_long]
            answer = "Paris. " * (60 if is_long else 2) + str(n)
            asked = f"[[echo/judge: say {verdict}]] {n}"
            rows.append({"input": asked, "answer": answer, "label": "yes" if is_right else "no"})
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    fair = sizewise("eval", "calibrate-judge", "fair", "fair", str(tmp_path / "fair.jsonl"), home=server.home)
    vain = sizewise("eval", "calibrate-judge", "fair", "fair", str(tmp_path / "vain.jsonl"), home=server.home)
    assert "prefers long answers" in vain.out and vain.code == 1 and "cannot gate" in vain.err
    assert "prefers long answers" not in fair.out
