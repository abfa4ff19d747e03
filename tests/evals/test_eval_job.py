"""An eval job with judges: what they may spend, what is kept of it, and which of their errors end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from sizewise.data_class import DataClass
from sizewise.errors import BudgetExceeded, InvalidApiKey, SizewiseError
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_job import EvalJob, EvalReport, TargetRun
from sizewise.evals.runs.eval_spec import build_spec
from sizewise.evals.runs.item_scorers import TargetAnswer
from sizewise.evals.runs.run_file import EvalRun, RunHead, open_run, read_run

JUDGE = {"kind": "judge", "model": "a/judge", "rubric": "Is it right?"}
SPEC = build_spec(
    {"target": "a/b", "data": "x.jsonl", "scorers": {"one": JUDGE, "two": JUDGE}, "budget": {"usd": "0.0000000001"}}
)
HEAD = RunHead(eval="x", target="a/b", started="", data="", scoring="", scorers={}, repeat=1, planned=3)
ITEMS = [EvalItem(id=str(place), input="?") for place in range(3)]
ANSWER = TargetAnswer("Paris", cost=10)


def run(folder: Path, judge: Callable[[int], TargetAnswer]) -> tuple[EvalReport, EvalRun]:
    """With 100 pico-dollars; `judge`: of what it may spend."""
    file = folder / ".runs" / "x" / "run.jsonl"

    async def ask(target: str, item: EvalItem, repeat: int, most: int | None) -> TargetAnswer:
        return ANSWER

    async def ask_judge(model: str, prompt: str, most: int | None, data_class: DataClass | None) -> TargetAnswer:
        assert most is not None
        return judge(most)

    with open_run(file, HEAD) as writer:
        report = asyncio.run(EvalJob(SPEC, ITEMS, [TargetRun("a/b", writer)], ask=ask, ask_judge=ask_judge).run())
    return report, read_run(file)


def test_judges_share_what_an_answer_left(tmp_path: Path) -> None:
    limits = list[int]()

    def judge(most: int) -> TargetAnswer:
        limits.append(most)
        return TargetAnswer("yes", cost=most // 2)

    _, kept = run(tmp_path, judge)
    assert limits[:2] == [90, 45]
    assert kept.results[0].cost == 10 + 45 + 22, "the answer and its judges"


def test_an_answer_that_no_judge_could_be_paid_for_is_asked_again(tmp_path: Path) -> None:
    def judge(most: int) -> TargetAnswer:
        raise BudgetExceeded("the budget is used up")

    report, kept = run(tmp_path, judge)
    assert (report.stopped, report.added, report.cost) == ("budget", 0, 10) and not kept.answered


@pytest.mark.parametrize("error", [InvalidApiKey("no such key"), SizewiseError("too busy")])
def test_an_error_of_a_judge_ends_the_job_if_the_next_would_meet_it(tmp_path: Path, error: SizewiseError) -> None:
    def judge(most: int) -> TargetAnswer:
        raise error

    if isinstance(error, InvalidApiKey):
        with pytest.raises(InvalidApiKey):
            run(tmp_path, judge)
        return
    _, kept = run(tmp_path, judge)
    assert kept.is_whole and kept.results[0].scores["one"].value is None
