"""Eval job: each target answers each item, each answer is scored and kept, within a budget. Knows no server.

Item by item, and target after target within it: two targets meet the same hour, and a run that ends early leaves pairs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from msgspec.structs import replace

from sizewise.batch_job import map_batches
from sizewise.errors import BudgetExceeded, ExternalFailure, Forbidden, InvalidApiKey, ModelNotFound, SizewiseError
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_spec import EvalSpec
from sizewise.evals.runs.item_scorers import Score, TargetAnswer, judge_prompt, missing, parse_judgement, score_by_rule
from sizewise.evals.runs.run_file import ItemResult, RunWriter

MAX_FAILURES = 5
"""Failures in a row after which the job stops: the next would fail as well."""
FATAL = (ExternalFailure, Forbidden, InvalidApiKey, ModelNotFound)
"""Errors that every further request would meet."""

AskTarget = Callable[[str, EvalItem, int, int | None], Awaitable[TargetAnswer]]
"""(target, item, repeat, maximum cost in pico-dollars) -> its answer. Raises SizewiseError."""
AskJudge = Callable[[str, str, int | None], Awaitable[TargetAnswer]]
"""(model, prompt, maximum cost in pico-dollars) -> its verdict. Raises SizewiseError."""


@dataclass
class EvalReport:
    """Of one job: `added` results, their cost in pico-dollars, and what stopped it (empty: nothing)."""

    added: int = 0
    cost: int = 0
    unpriced: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)  # (item, error)
    stopped: Literal["", "budget", "time", "failures"] = ""
    why: str = ""


@dataclass(frozen=True)
class TargetRun:
    """A target with its run file. `done`: (item digest, repeat) that it has answered."""

    target: str
    writer: RunWriter
    done: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class _Task:
    run: TargetRun
    item: EvalItem
    repeat: int


class EvalJob:
    """One job over one or several targets."""

    def __init__(
        self,
        spec: EvalSpec,
        items: Sequence[EvalItem],
        runs: Sequence[TargetRun],
        *,
        ask: AskTarget,
        ask_judge: AskJudge,
        progress: Callable[[int, int], None] = lambda done, whole: None,
    ) -> None:
        self._spec, self._ask, self._ask_judge, self._progress = spec, ask, ask_judge, progress
        self._left = list(_pending(spec, items, runs))
        self._whole = len(self._left)
        self._failures_in_a_row = 0
        self._until = None if spec.budget.minutes is None else monotonic() + 60 * spec.budget.minutes
        self.report = EvalReport()

    async def run(self) -> EvalReport:
        """Raises an error that every further request would meet; what was answered before is kept."""
        self._progress(0, self._whole)
        await map_batches(self._next_batch, self._work, time_limit_s=float("inf"))
        return self.report

    async def _next_batch(self, after: str) -> Sequence[str]:
        most = self._spec.budget.pico_dollars
        if self._left and most is not None and self.report.cost >= most:
            self.report.stopped = self.report.stopped or "budget"
        if self._left and self._until is not None and monotonic() >= self._until:
            self.report.stopped = self.report.stopped or "time"
        count = 0 if self.report.stopped else min(self._spec.budget.concurrency, len(self._left))
        return [each.item.id for each in self._left[:count]]

    async def _work(self, keys: Sequence[str]) -> None:
        batch, self._left = self._left[: len(keys)], self._left[len(keys) :]
        budget = self._spec.budget.pico_dollars
        most = None if budget is None else (budget - self.report.cost) // len(batch)
        ended = await asyncio.gather(*(self._one(each, most) for each in batch), return_exceptions=True)
        if error := next((each for each in ended if each is not None), None):
            raise error  # after the others have been kept

    async def _one(self, task: _Task, most: int | None) -> None:
        if self.report.stopped:
            return
        try:
            answer = await self._ask(task.run.target, task.item, task.repeat, most)
        except BudgetExceeded as error:
            self._end_budget(error)
            return
        except FATAL:
            raise
        except SizewiseError as error:
            self._fail(task, error)
            return
        self._failures_in_a_row = 0
        self._pay(answer)
        left = None if most is None else max(0, most - (answer.cost or 0))
        try:
            scores, cost = await self._scores(task.item, answer, left)
        except BudgetExceeded as error:  # not kept: an answer without its scores would not be asked again
            self._end_budget(error)
            return
        task.run.writer.append(_result(task, scores=scores, answer=replace(answer, cost=cost)))
        self.report.added += 1
        self._progress(self.report.added + len(self.report.failed), self._whole)

    async def _scores(
        self, item: EvalItem, answer: TargetAnswer, left: int | None
    ) -> tuple[dict[str, Score], int | None]:
        """By each scorer, with the cost of the answer and its judges, who may spend `left` together.

        Raises BudgetExceeded, or an error that every further request would meet.
        """
        scores, cost = dict[str, Score](), answer.cost
        for name, spec in self._spec.scorers.items():
            if spec.kind != "judge":
                scores[name] = score_by_rule(spec, item, answer)
                continue
            if not answer.text.strip():
                scores[name] = Score(0.0, "the answer is empty")
                continue
            try:
                verdict = await self._ask_judge(spec.model, judge_prompt(spec, item, answer), left)
            except (BudgetExceeded, *FATAL):
                raise
            except SizewiseError as error:
                scores[name] = missing(f"the judge failed: {error.message}")
                continue
            self._pay(verdict)
            left = None if left is None else max(0, left - (verdict.cost or 0))
            cost = None if cost is None or verdict.cost is None else cost + verdict.cost
            scores[name] = parse_judgement(spec, verdict.text)
        return scores, cost

    def _end_budget(self, error: BudgetExceeded) -> None:
        self.report.stopped, self.report.why = "budget", error.message

    def _fail(self, task: _Task, error: SizewiseError) -> None:
        task.run.writer.append(_result(task, error=error.message))
        self.report.failed.append((task.item.id, error.message))
        self._progress(self.report.added + len(self.report.failed), self._whole)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES:
            self.report.stopped, self.report.why = "failures", error.message

    def _pay(self, answer: TargetAnswer) -> None:
        self.report.cost += answer.cost or 0
        self.report.unpriced += answer.cost is None


def _pending(spec: EvalSpec, items: Sequence[EvalItem], runs: Sequence[TargetRun]) -> Iterator[_Task]:
    for repeat in range(spec.repeat):
        for item in items:
            for run in runs:
                if (item.digest, repeat) not in run.done:
                    yield _Task(run, item, repeat)


def _result(
    task: _Task, *, scores: dict[str, Score] | None = None, answer: TargetAnswer | None = None, error: str = ""
) -> ItemResult:
    said = answer or TargetAnswer("")
    return ItemResult(
        item=task.item.id,
        digest=task.item.digest,
        repeat=task.repeat,
        cluster=task.item.cluster,
        tags=task.item.tags,
        weight=task.item.weight,
        scores=scores or {},
        output=said.text,
        calls=said.calls,
        tokens=said.tokens,
        seconds=said.seconds,
        cost=said.cost,
        error=error,
    )
