"""Eval job: each target answers each item, each answer is scored and kept, within a budget. Knows no server.

Item by item, and target after target within it: two targets meet the same hour, and a run that ends early leaves pairs.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from msgspec.structs import replace

from sizewise.errors import BudgetExceeded, ExternalFailure, Forbidden, InvalidApiKey, ModelNotFound, SizewiseError
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_spec import MODEL_KINDS, EvalSpec
from sizewise.evals.runs.item_scorers import Score, TargetAnswer, missing, score_by_rule
from sizewise.evals.runs.model_scorers import AskJudge, EmbedTexts, ModelScoring
from sizewise.evals.runs.plugin_scorers import PluginScorers
from sizewise.evals.runs.run_file import ItemResult, RunWriter
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.jobs.shared_budget import SharedBudget

MAX_FAILURES = 5
"""Failures in a row after which the job stops: the next would fail as well."""
FATAL = (ExternalFailure, Forbidden, InvalidApiKey, ModelNotFound)
"""Errors that every further request would meet."""

AskTarget = Callable[[str, EvalItem, int, int | None], Awaitable[TargetAnswer]]
"""(target, item, repeat, maximum cost in pico-dollars) -> its answer. Raises SizewiseError."""


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
    most: int | None = None
    """Pico-dollars that it may cost; None: no maximum."""


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
        embed: EmbedTexts | None = None,
        progress: Callable[[int, int], None] = lambda done, whole: None,
    ) -> None:
        self._spec, self._ask, self._ask_judge, self._embed, self._progress = spec, ask, ask_judge, embed, progress
        self._plugins = PluginScorers(each.name for each in spec.scorers.values() if each.kind == "plugin")
        self._left = list(_pending(spec, items, runs))
        self._whole = len(self._left)
        self._failures_in_a_row = 0
        self._shares = SharedBudget(spec.budget.concurrency)
        self._until = None if spec.budget.minutes is None else monotonic() + 60 * spec.budget.minutes
        self.report = EvalReport()

    async def run(self) -> EvalReport:
        """Raises an error that every further request would meet; what was answered before is kept."""
        self._progress(0, self._whole)
        await map_batches(self._batches(), self._answer, self._keep, concurrency=self._spec.budget.concurrency)
        return self.report

    async def _batches(self) -> AsyncIterator[Batch[_Task]]:
        """One answer each. Ends where the budget does."""
        most, report = self._spec.budget.pico_dollars, self.report
        for task in self._left:
            await self._shares.turn()
            if most is not None and report.cost >= most:
                report.stopped = report.stopped or "budget"
            if self._until is not None and monotonic() >= self._until:
                report.stopped = report.stopped or "time"
            if report.stopped:
                return
            share = self._shares.take(None if most is None else most - report.cost)
            name = f"{task.run.target} {task.item.id} {task.repeat}"
            yield Batch(name, dataclasses.replace(task, most=share))

    async def _answer(self, task: _Task) -> tuple[_Task, ItemResult] | None:
        """None if the job has ended."""

        async def ask(most: int | None) -> tuple[_Task, ItemResult] | None:
            return None if self.report.stopped else (task, await self._result(dataclasses.replace(task, most=most)))

        try:
            return await self._shares.spend(task.most, ask, self._left_to_spend, BudgetExceeded)
        except BudgetExceeded as error:  # an answer without its scores is not kept, so it is asked again
            self.report.stopped, self.report.why = "budget", error.message
            return None

    def _left_to_spend(self) -> int:
        """Pico-dollars, where there is a budget."""
        return (self._spec.budget.pico_dollars or 0) - self.report.cost

    async def _result(self, task: _Task) -> ItemResult:
        """Raises BudgetExceeded, or an error that every further request would meet."""
        try:
            answer = await self._ask(task.run.target, task.item, task.repeat, task.most)
        except (BudgetExceeded, *FATAL):
            raise
        except SizewiseError as error:
            return _result(task, error=error.message)
        self._pay(answer)
        left = None if task.most is None else max(0, task.most - (answer.cost or 0))
        scores, cost = await self._scores(task.item, answer, left)
        return _result(task, scores=scores, answer=replace(answer, cost=cost))

    def _keep(self, key: str, ended: tuple[_Task, ItemResult] | None) -> None:
        if ended is None:
            return
        task, result = ended
        task.run.writer.append(result)
        if result.error:
            self._fail(task, result.error)
        else:
            self._failures_in_a_row = 0
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
            if spec.kind == "plugin":
                scores[name] = await asyncio.to_thread(self._plugins, spec, item, answer)
                continue
            if spec.kind not in MODEL_KINDS:
                scores[name] = score_by_rule(spec, item, answer)
                continue
            scored = ModelScoring(self._ask_judge, self._embed, left)
            try:
                scores[name] = await scored(spec, item, answer)
            except (BudgetExceeded, *FATAL):
                raise
            except SizewiseError as error:
                scores[name] = missing(f"the {spec.kind} scorer failed: {error.message}")
            finally:
                self.report.cost += sum(each or 0 for each in scored.costs)
                self.report.unpriced += scored.costs.count(None)
            left = scored.left
            cost = None if cost is None or None in scored.costs else cost + sum(each or 0 for each in scored.costs)
        return scores, cost

    def _fail(self, task: _Task, error: str) -> None:
        self.report.failed.append((task.item.id, error))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES:
            self.report.stopped, self.report.why = "failures", error

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
