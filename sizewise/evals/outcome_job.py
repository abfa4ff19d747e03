"""Outcome job: each model answers each prompt, each answer is scored and kept, within a budget. Knows no server.

Prompt by prompt, so that a run that ends early leaves whole pairs. Answers that the folder holds are not asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from sizewise.errors import (
    BudgetExceeded,
    ExternalFailure,
    Forbidden,
    InvalidApiKey,
    ModelNotFound,
    SizewiseError,
)
from sizewise.evals.outcome_folder import OutcomeFolder
from sizewise.evals.outcomes import RecordedOutcome
from sizewise.evals.prompt_files import ScoredPrompt
from sizewise.evals.scorers import score_answer
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.jobs.shared_budget import SharedBudget
from sizewise.messages import ChatRequest, Choice, Message, Reply, Usage
from sizewise.routing.llm_verifier import parse_verification, verification_request
from sizewise.routing.quality.answer_signals import MIN_LOGPROB

MAX_FAILURES = 5
"""Failures in a row, of any models, after which the run stops: the next would fail as well."""
DIGITS = 5  # of a log-probability in the file
FATAL = (ExternalFailure, Forbidden, InvalidApiKey, ModelNotFound)
"""Errors that every further request would meet."""


class ModelAnswer(Struct, frozen=True):
    """`cost`: pico-dollars; None: unknown. `logprobs`: of its tokens in order; empty: the model gives none."""

    text: str
    tokens_in: int
    tokens_out: int
    seconds: float
    finish: str = ""
    cost: int | None = None
    logprobs: tuple[float, ...] = ()
    answered_by: str = ""  # if it is not known: empty
    tokens_thinking: int = 0  # part of tokens_out


AskModel = Callable[[str, str, int | None], Awaitable[ModelAnswer]]
"""(model, prompt, maximum cost in pico-dollars) -> its answer; None: no maximum. Raises SizewiseError."""


class OutcomeBudget(Struct, frozen=True):
    """Limits of one run. `cost` in pico-dollars; `answers`: new ones. None: no limit. `concurrent`: requests."""

    cost: int | None = None
    answers: int | None = None
    concurrent: int = 1


class FailedAnswer(Struct, frozen=True):
    prompt_id: str
    model: str
    error: str


class OutcomeReport(Struct):
    """Of one run: `added` outcomes, the cost in pico-dollars, and what stopped it (empty: nothing) in one word, and why
    in the words of the last error, if there was one.
    """

    added: int = 0
    cost: int = 0
    unpriced: int = 0  # answers of unknown cost
    failed: list[FailedAnswer] = []
    stopped: Literal["", "budget", "limit", "failures"] = ""
    why: str = ""


class _Question(Struct, frozen=True):
    prompt: ScoredPrompt
    model: str
    most: int | None
    """Pico-dollars that it may cost; None: no maximum."""


class OutcomeJob:
    """One run. `ask` is called with a maximum cost only where the budget has one."""

    def __init__(
        self,
        prompts: Sequence[ScoredPrompt],
        models: Sequence[str],
        folder: OutcomeFolder,
        ask: AskModel,
        *,
        judge: str = "",
        budget: OutcomeBudget | None = None,
        progress: Callable[[int, int], None] = lambda done, whole: None,
    ) -> None:
        """`judge`: the model that scores prompts whose scorer is `judge`. `progress`: answers of the run so far, and
        in all."""
        self._folder, self._ask, self._judge, self._progress = folder, ask, judge, progress
        self._budget = budget or OutcomeBudget()
        self._left = list(pending(prompts, models, folder.done))
        self._whole = len(self._left)
        self._failures_in_a_row = 0
        self._shares = SharedBudget(self._budget.concurrent)
        self.report = OutcomeReport()

    async def run(self) -> OutcomeReport:
        """Raises an error that every further request would meet; what was answered before is kept."""
        self._progress(0, self._whole)
        await map_batches(self._batches(), self._answer, self._keep, concurrency=self._budget.concurrent)
        return self.report

    async def _batches(self) -> AsyncIterator[Batch[_Question]]:
        """One answer each. Ends where the budget does."""
        most, limit, report = self._budget.cost, self._budget.answers, self.report
        for prompt, model in self._left:
            while limit is not None and self._shares.running and report.added + self._shares.running >= limit:
                await self._shares.wait()  # one that fails makes room for another
            await self._shares.turn()
            if limit is not None and report.added >= limit:
                report.stopped = report.stopped or "limit"
            if most is not None and report.cost >= most > 0:
                report.stopped = report.stopped or "budget"
            if report.stopped:
                return
            share = self._shares.take(None if most is None else most - report.cost)
            yield Batch(f"{prompt.prompt_id} {model}", _Question(prompt, model, share))

    async def _answer(self, question: _Question) -> RecordedOutcome | None:
        """None if it failed, or if the job has ended."""
        prompt, model = question.prompt, question.model

        async def ask(most: int | None) -> RecordedOutcome | None:
            return None if self.report.stopped else await self._outcome(prompt, model, most)

        try:
            return await self._shares.spend(question.most, ask, self._left_to_spend, BudgetExceeded)
        except BudgetExceeded as error:
            self.report.stopped, self.report.why = "budget", error.message
        except FATAL:
            raise
        except SizewiseError as error:
            self._fail(prompt, model, error)
        return None

    def _left_to_spend(self) -> int:
        """Pico-dollars, where there is a budget."""
        return (self._budget.cost or 0) - self.report.cost

    def _keep(self, key: str, outcome: RecordedOutcome | None) -> None:
        if outcome is None:
            return
        self._failures_in_a_row = 0
        self._folder.append(outcome)
        self.report.added += 1
        self._progress(self.report.added + len(self.report.failed), self._whole)

    def _fail(self, prompt: ScoredPrompt, model: str, error: SizewiseError) -> None:
        self.report.failed.append(FailedAnswer(prompt.prompt_id, model, error.message))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES:
            self.report.stopped, self.report.why = "failures", error.message

    async def _outcome(self, prompt: ScoredPrompt, model: str, most: int | None) -> RecordedOutcome:
        answer = await self._ask(model, prompt.prompt, most)
        self._pay(answer)
        if prompt.scorer == "judge":
            spent = answer.cost or 0
            score = await self._judged(prompt, answer, None if most is None else max(0, most - spent))
        else:
            score = score_answer(prompt.scorer, answer.text, prompt.reference, prompt.compiled_schema())
        return _record(prompt, model, answer, score)

    async def _judged(self, prompt: ScoredPrompt, answer: ModelAnswer, most: int | None) -> float:
        """1, 0.5 if the judge contradicts itself when the options are swapped, or 0. Raises SizewiseError."""
        if not answer.text.strip():
            return 0.0
        question = ChatRequest(self._judge, [Message("user", prompt.judge_question())], {})
        said: list[Reply] = []
        for is_swapped in (False, True):
            asked = verification_request(question, _reply(answer.text), is_swapped)
            verdict = await self._ask(self._judge, asked.messages[0].text, most)
            self._pay(verdict)
            most = None if most is None else max(0, most - (verdict.cost or 0))
            said.append(_reply(verdict.text))
        found = parse_verification(self._judge, *said)
        if found.score is None:
            raise SizewiseError(found.why, "use another model as the judge")
        return found.score

    def _pay(self, answer: ModelAnswer) -> None:
        self.report.cost += answer.cost or 0
        self.report.unpriced += answer.cost is None


def pending(
    prompts: Sequence[ScoredPrompt],
    models: Sequence[str],
    done: set[tuple[str, str]],
) -> Iterator[tuple[ScoredPrompt, str]]:
    """What is still to be answered, prompt by prompt."""
    for prompt in prompts:
        for model in models:
            if (model, prompt.prompt_id) not in done:
                yield prompt, model


def missing_by_model(
    prompts: Sequence[ScoredPrompt],
    models: Sequence[str],
    done: set[tuple[str, str]],
) -> dict[str, int]:
    """How many prompts have no outcome, by model."""
    return dict(Counter(dict.fromkeys(models, 0) | Counter(model for _, model in pending(prompts, models, done))))


def _reply(text: str) -> Reply:
    return Reply((Choice(text=text),), Usage())


def _record(prompt: ScoredPrompt, model: str, answer: ModelAnswer, score: float) -> RecordedOutcome:
    known = [round(max(MIN_LOGPROB, min(0.0, each)), DIGITS) for each in answer.logprobs]
    return RecordedOutcome(
        prompt_id=prompt.prompt_id,
        model=model,
        score=score,
        answer=answer.text,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        tokens_thinking=answer.tokens_thinking or None,
        confidence=round(sum(known) / len(known), DIGITS) if known else None,
        least=min(known, default=None),
        seconds=round(answer.seconds, 3),
        finish=answer.finish or None,
        first=known[0] if known else None,
        answered_by=answer.answered_by if answer.answered_by not in ("", model) else None,
    )
