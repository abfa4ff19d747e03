"""The gate on runs written by hand: nothing passes that was not shown, and nothing of another eval, data or time."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.runs.eval_spec import EvalSpec, EvalSpecError, build_spec
from sizewise.evals.runs.gate import GateResult, check_gate
from sizewise.evals.runs.item_scorers import Score
from sizewise.evals.runs.judge_calibration import JudgeCalibration, judge_digest
from sizewise.evals.runs.run_file import EvalRun, ItemResult, RunHead

SCORERS = {"right": "contains", "cost": "cost"}


def spec(*rules: dict[str, Any], scorers: dict[str, Any] = SCORERS, **fields: Any) -> EvalSpec:
    return build_spec({"target": "a/b", "data": "x.jsonl", "scorers": scorers, "gate": list(rules), **fields})


def run(of: EvalSpec, count: int, *, scores: dict[str, float], seconds: float = 1.0, first: int = 0) -> EvalRun:
    head = RunHead(
        eval="x",
        target="a/b",
        started="2026-11-28T00:00:00Z",
        data="data",
        scoring=of.scoring_digest,
        scorers={name: each.kind for name, each in of.scorers.items()},
        repeat=1,
        planned=count,
    )
    results = [
        ItemResult(
            item=str(place),
            digest=str(place),
            repeat=0,
            cluster=str(place),
            tags=("must",),
            scores={name: Score(value) for name, value in scores.items()},
            seconds=seconds,
        )
        for place in range(first, first + count)
    ]
    return EvalRun(head, tuple(results), f"run-{seconds}")


def gate(of: EvalSpec, head: EvalRun, base: EvalRun | None = None) -> GateResult:
    return check_gate(of, head, base, data="data")


def test_a_run_of_other_data_or_other_scorers_does_not_pass() -> None:
    of = spec({"score": "right", "at_least": 0.5})
    head = run(of, 50, scores={"right": 1.0, "cost": 0.1})
    assert gate(of, head).verdict == "pass"
    stale = check_gate(of, head, data="changed since")
    assert stale.verdict == "unclear" and "other data" in stale.sentence
    stricter = spec({"score": "right", "at_least": 0.5}, scorers={**SCORERS, "right": "exact"})
    assert gate(stricter, head).verdict == "unclear" and "other scorers" in gate(stricter, head).sentence


def test_a_judge_that_was_calibrated_since_scores_as_before() -> None:
    judge = {"kind": "judge", "model": "a/b", "rubric": "Is it right?"}
    one, other = (spec(scorers={"fair": {**judge, "calibrated": each}}) for each in (False, True))
    assert one.scoring_digest == other.scoring_digest


def test_every_does_not_pass_where_no_scorer_says_right() -> None:
    rule = {"every": {"tags": ["must"]}}
    costs = spec(rule, scorers={"cost": "cost"})
    assert gate(costs, run(costs, 3, scores={"cost": 0.1})).verdict == "unclear"
    of = spec(rule)
    assert gate(of, run(of, 3, scores={"cost": 0.1})).verdict == "fail", "an answer has no score"


@pytest.mark.parametrize("every", [{}, {"tags": []}])
def test_every_names_tags(every: dict[str, Any]) -> None:
    with pytest.raises(EvalSpecError, match="needs tags"):
        spec({"every": every})


@pytest.mark.parametrize("rule", [{"not_worse_by": 3}, {"at_least": 1.9}, {"at_least": 90}])
def test_a_limit_in_points_or_percent_is_refused_since_it_would_always_or_never_hold(rule: dict[str, float]) -> None:
    with pytest.raises(EvalSpecError, match="0 to 1"):
        spec({"score": "right", **rule})


def test_a_field_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(EvalSpecError, match="unknown field `pattern`") as raised:
        spec(scorers={"re": {"kind": "regex", "pattern": "a+"}})
    assert "expected" in raised.value.hint


@pytest.mark.parametrize("budget", [{"usd": "nan"}, {"usd": "inf"}, {"minutes": float("nan")}])
def test_a_budget_is_a_number(budget: dict[str, Any]) -> None:
    with pytest.raises(EvalSpecError, match="a budget is a number"):
        spec(budget=budget)


def test_a_judge_that_may_not_gate_decides_nothing_of_every_either() -> None:
    judge = {"kind": "judge", "model": "a/b", "rubric": "Is it right?", "calibrated": True}
    of = spec({"every": {"tags": ["must"]}, "score": "fair"}, scorers={"fair": judge})
    few = JudgeCalibration(
        judge=judge_digest(of.scorers["fair"]),
        labels=10,
        right_accepted=5,
        right_rejected=0,
        wrong_accepted=0,
        wrong_rejected=5,
        unreadable=0,
        length_preference=0.0,
    )
    found = check_gate(of, run(of, 3, scores={"fair": 1.0}), judges={"fair": few}, data="data")
    assert found.verdict == "unclear" and "100 are needed" in found.sentence


def test_a_base_is_another_run_of_the_same_items() -> None:
    of = spec({"score": "right", "not_worse_by": 0.2})
    head = run(of, 100, scores={"right": 1.0})
    with pytest.raises(BadRequest, match="and its base"):
        gate(of, head, replace(head, name="copy"))
    older = run(of, 100, scores={"right": 1.0}, seconds=2.0, first=10)
    found = gate(of, head, older)
    assert found.verdict == "unclear" and "lacks 10 of the run's 100 items" in found.sentence
    assert gate(of, head, run(of, 100, scores={"right": 1.0}, seconds=2.0)).verdict == "pass"


def test_a_score_that_is_0_everywhere_in_both_runs_measures_nothing_and_does_not_pass() -> None:
    of = spec({"score": "right", "not_worse_by": 0.2})
    base = run(of, 100, scores={"right": 0.0}, seconds=2.0)
    found = gate(of, run(of, 100, scores={"right": 0.0}), base)
    assert found.verdict == "unclear"
    assert "0 on all 100 items of both runs" in found.sentence and "fix the scorer" in found.sentence
    assert gate(of, run(of, 100, scores={"right": 1.0}), base).verdict == "pass"


@pytest.mark.parametrize(
    ("count", "before", "after", "verdict", "said"),
    [
        (40, 1.0, 1.1, "pass", "1.10 x"),
        (40, 1.0, 2.0, "fail", "2.00 x"),
        (4, 1.0, 1.1, "unclear", "20 are needed"),
        (40, 0.0, 90.0, "unclear", "no item has a latency in both"),
    ],
)
def test_a_latency_is_judged_from_enough_items_that_have_one(
    count: int, before: float, after: float, verdict: str, said: str
) -> None:
    of = spec({"latency": "p95", "ratio_at_most": 1.25})
    base, head = (run(of, count, scores={"right": 1.0}, seconds=each) for each in (before, after))
    found = gate(of, head, base)
    assert found.verdict == verdict and said in found.rules[0].why
