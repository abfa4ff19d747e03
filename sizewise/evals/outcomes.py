"""Outcome dataset: recorded results of models on the same prompts, in columns. Knows no file and no policy.

dataset_files.py reads one from a folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan, nan

from msgspec import Struct

from sizewise.errors import BadRequest, did_you_mean
from sizewise.routing.quality.answer_signals import AnswerSignals

MAX_VALUE = 1e9
"""Maximum tokens or seconds of an answer, and absolute value of a log-probability."""


class RecordedPrompt(Struct, frozen=True):
    """A row of `prompts`. `category` is for reports only; no router sees it.

    Prompts with the same `group`, `session` or `template` are one piece of evidence.
    """

    prompt_id: str | int
    prompt: str
    category: str | int | None = None
    group: str | int | None = None
    session: str | int | None = None
    template: str | int | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that it is declared to belong to."""
        named = (("group", self.group), ("session", self.session), ("template", self.template))
        return tuple([f"{kind} {name}" for kind, name in named if name not in (None, "")])


class RecordedOutcome(Struct, frozen=True):
    """A row of `outcomes`: the result of `model` on a prompt. None means not measured.

    `score` is 0..1, where 1 is correct; None means that the model was not called. `confidence` is the mean, `least` the
    smallest and `first` the first log-probability of the answer's tokens.
    """

    prompt_id: str | int
    model: str
    score: float | None
    answer: str | int | float | bool | None = None
    tokens_in: float | None = None
    tokens_out: float | None = None
    confidence: float | None = None
    least: float | None = None
    seconds: float | None = None
    finish: str | None = None
    first: float | None = None
    tokens_thinking: float | None = None  # part of tokens_out
    answered_by: str | None = None  # the model that a policy chose, if `model` is one


class ModelOutcomes(Struct, frozen=True):
    """One model's results, in the order of the prompts. Not called or not measured: nan, None, or 0 tokens."""

    score: list[float]  # 0..1
    answer: list[str | None]
    tokens_in: list[int]
    tokens_out: list[int]
    confidence: list[float]  # mean log-probability, <= 0
    least: list[float]  # smallest log-probability, <= 0
    seconds: list[float]
    finish: list[str | None]
    first: list[float]  # log-probability of the first token, <= 0
    tokens_thinking: list[int]  # part of tokens_out


class OutcomeDataset(Struct, frozen=True):
    """Prompts in the order of their file, and a column for each model. `digest`: SHA-256 of the files.
    `declared_groups`: by row, for rows with any.
    """

    ids: tuple[str, ...]
    prompts: tuple[str, ...]
    categories: tuple[str, ...]
    columns: Mapping[str, ModelOutcomes]
    digest: str = ""
    declared_groups: Mapping[int, tuple[str, ...]] = {}

    def column(self, model: str) -> ModelOutcomes:
        """Raises BadRequest for a model without outcomes."""
        try:
            return self.columns[model]
        except KeyError:
            known = sorted(self.columns)
            hint = did_you_mean(model, known) or f"known: {', '.join(known)}"
            raise BadRequest(f"there are no outcomes of the model {model!r}", hint) from None

    def scored_rows(self, *models: str) -> list[int]:
        """Rows in which each of `models` has a score. Raises BadRequest as `column` does."""
        scores = [self.column(model).score for model in models]
        return [row for row in range(len(self.ids)) if not any(isnan(score[row]) for score in scores)]


def recorded_signals(outcomes: ModelOutcomes, row: int) -> AnswerSignals:
    """The recorded quality signals of an answer. `prior_log_odds` is 0: the caller predicts it from the prompt."""
    answer = outcomes.answer[row]
    return AnswerSignals(
        prior_log_odds=0.0,
        mean_logprob=None if isnan(outcomes.confidence[row]) else outcomes.confidence[row],
        min_logprob=None if isnan(outcomes.least[row]) else outcomes.least[row],
        first_logprob=None if isnan(outcomes.first[row]) else outcomes.first[row],
        tokens=outcomes.tokens_out[row],
        is_empty=answer is not None and not answer.strip(),
        is_truncated=outcomes.finish[row] == "length",
    )


def build_dataset(
    prompts: Iterable[RecordedPrompt],
    outcomes: Iterable[RecordedOutcome],
    digest: str = "",
) -> OutcomeDataset:
    """Raises BadRequest for a repeated prompt or outcome, an outcome without its prompt, or a value out of range."""
    known = tuple(prompts)
    rows = {str(each.prompt_id): row for row, each in enumerate(known)}
    if len(rows) < len(known):
        twice = next(each.prompt_id for row, each in enumerate(known) if rows[str(each.prompt_id)] != row)
        raise BadRequest(f"the prompt_id {twice!r} is repeated", "use a unique id for each prompt")
    columns: dict[str, ModelOutcomes] = {}
    for each in outcomes:
        column = columns.get(each.model)
        if column is None:
            column = columns[each.model] = _empty(len(known))
        _put(column, rows.get(str(each.prompt_id)), each)
    texts = tuple(each.prompt for each in known)
    return OutcomeDataset(
        ids=tuple(rows),
        prompts=texts,
        categories=tuple(str(each.category or "") for each in known),
        columns=columns,
        digest=digest,
        declared_groups={row: each.groups for row, each in enumerate(known) if each.groups},
    )


def _empty(rows: int) -> ModelOutcomes:
    def unknown() -> list[float]:
        return [nan] * rows

    return ModelOutcomes(
        score=unknown(),
        answer=[None] * rows,
        tokens_in=[0] * rows,
        tokens_out=[0] * rows,
        confidence=unknown(),
        least=unknown(),
        seconds=unknown(),
        finish=[None] * rows,
        first=unknown(),
        tokens_thinking=[0] * rows,
    )


def _put(column: ModelOutcomes, row: int | None, outcome: RecordedOutcome) -> None:
    where = f"{outcome.model!r} on {outcome.prompt_id!r}"
    if row is None:
        raise BadRequest(f"the outcome of {where} has no prompt", "use only a prompt_id from the prompts")
    if outcome.score is None or isnan(outcome.score):
        return
    if not isnan(column.score[row]):
        raise BadRequest(f"the outcome of {where} is repeated", "keep one score for each model and prompt")
    if not 0.0 <= outcome.score <= 1.0:
        raise BadRequest(f"the score of {where} is {outcome.score!r}", "use a number from 0 to 1")
    for name, value, least, most in (
        ("tokens_in", outcome.tokens_in, 0, MAX_VALUE),
        ("tokens_out", outcome.tokens_out, 0, MAX_VALUE),
        ("tokens_thinking", outcome.tokens_thinking, 0, MAX_VALUE),
        ("confidence", outcome.confidence, -MAX_VALUE, 0),
        ("least", outcome.least, -MAX_VALUE, 0),
        ("first", outcome.first, -MAX_VALUE, 0),
        ("seconds", outcome.seconds, 0, MAX_VALUE),
    ):
        if value is not None and not isnan(value) and not least <= value <= most:
            raise BadRequest(f"the {name} of {where} is {value!r}", f"use a number from {least:g} to {most:g}")
    column.score[row] = outcome.score
    column.answer[row] = None if outcome.answer is None else str(outcome.answer)
    column.tokens_in[row] = _whole(outcome.tokens_in)
    column.tokens_out[row] = _whole(outcome.tokens_out)
    column.tokens_thinking[row] = _whole(outcome.tokens_thinking)
    column.confidence[row] = _number(outcome.confidence)
    column.least[row] = _number(outcome.least)
    column.seconds[row] = _number(outcome.seconds)
    column.finish[row] = outcome.finish
    column.first[row] = _number(outcome.first)


def _whole(number: float | None) -> int:
    return 0 if number is None or isnan(number) else round(number)


def _number(number: float | None) -> float:
    return nan if number is None else number
