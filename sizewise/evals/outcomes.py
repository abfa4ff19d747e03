"""What models made of the same prompts: values in columns, one row a prompt; knows no file and no policy.

A folder of them is read by folder.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan, nan

from msgspec import Struct

from sizewise.errors import BadRequest, nearest
from sizewise.routing.quality.answer_signals import Said

MOST = 1e9
"""Tokens or seconds of one answer, and how far below 0 a log-probability may lie."""


class Prompt(Struct, frozen=True):
    """One line of `prompts`. `category` is what its maker calls its kind; only for reports, no router sees it."""

    prompt_id: str | int
    prompt: str
    category: str | int | None = None


class Outcome(Struct, frozen=True):
    """One line of `outcomes`: how `model` did on a prompt. What was not measured is None, as JSON has no nan.

    `score` is 0..1, 1 right; None: not asked. `confidence` is the mean, `least` the smallest log-probability of the
    answer's tokens.
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


class Column(Struct, frozen=True):
    """One model on every prompt, in the order of the prompts. Not asked: nan, None, 0 tokens; not measured the same."""

    score: list[float]  # 0..1
    answer: list[str | None]
    tokens_in: list[int]
    tokens_out: list[int]
    confidence: list[float]  # mean log-probability, <= 0
    least: list[float]  # smallest log-probability, <= 0
    seconds: list[float]
    finish: list[str | None]


class Outcomes(Struct, frozen=True):
    """Prompts in the order of their file, and a column for each model. `digest` names the bytes they were read from."""

    ids: tuple[str, ...]
    prompts: tuple[str, ...]
    categories: tuple[str, ...]
    models: Mapping[str, Column]
    digest: str = ""

    def column(self, model: str) -> Column:
        """Raises BadRequest for a model that nobody asked."""
        try:
            return self.models[model]
        except KeyError:
            known = sorted(self.models)
            hint = nearest(model, known) or f"known: {', '.join(known)}"
            raise BadRequest(f"the outcomes have no model {model!r}", hint) from None

    def answered(self, *models: str) -> list[int]:
        """Rows on which every one of `models` has a score. Raises BadRequest as `column`."""
        scores = [self.column(model).score for model in models]
        return [row for row in range(len(self.ids)) if not any(isnan(score[row]) for score in scores)]


def heard(its: Column, row: int) -> Said:
    """What is known of an answer that tells how good it is; its odds by the prompt are not."""
    answer = its.answer[row]
    return Said(
        0.0,
        None if isnan(its.confidence[row]) else its.confidence[row],
        None if isnan(its.least[row]) else its.least[row],
        its.tokens_out[row],
        answer is not None and not answer.strip(),
        its.finish[row] == "length",
    )


def gathered(prompts: Iterable[Prompt], outcomes: Iterable[Outcome], digest: str = "") -> Outcomes:
    """Raises BadRequest for a prompt that comes twice, an outcome without its prompt or twice, a score not in 0..1."""
    known = tuple(prompts)
    rows = {str(each.prompt_id): row for row, each in enumerate(known)}
    if len(rows) < len(known):
        twice = next(each.prompt_id for row, each in enumerate(known) if rows[str(each.prompt_id)] != row)
        raise BadRequest(f"the prompt {twice!r} comes twice", "give every prompt an id of its own")
    columns: dict[str, Column] = {}
    for each in outcomes:
        column = columns.get(each.model)
        if column is None:
            column = columns[each.model] = _empty(len(known))
        _put(column, rows.get(str(each.prompt_id)), each)
    texts = tuple(each.prompt for each in known)
    return Outcomes(tuple(rows), texts, tuple(str(each.category or "") for each in known), columns, digest)


def _empty(rows: int) -> Column:
    def unknown() -> list[float]:
        return [nan] * rows

    return Column(unknown(), [None] * rows, [0] * rows, [0] * rows, unknown(), unknown(), unknown(), [None] * rows)


def _put(column: Column, row: int | None, each: Outcome) -> None:
    where = f"{each.model!r} on {each.prompt_id!r}"
    if row is None:
        raise BadRequest(f"the outcome of {where} has no prompt", "every prompt_id must be one of the prompts")
    if each.score is None or isnan(each.score):
        return
    if not isnan(column.score[row]):
        raise BadRequest(f"the outcome of {where} comes twice", "keep one score for each model and prompt")
    if not 0.0 <= each.score <= 1.0:
        raise BadRequest(f"the score of {where} is {each.score!r}", "a score is a number from 0 to 1")
    for name, value, least, most in (
        ("tokens_in", each.tokens_in, 0, MOST),
        ("tokens_out", each.tokens_out, 0, MOST),
        ("confidence", each.confidence, -MOST, 0),
        ("least", each.least, -MOST, 0),
        ("seconds", each.seconds, 0, MOST),
    ):
        if value is not None and not isnan(value) and not least <= value <= most:
            raise BadRequest(f"the {name} of {where} is {value!r}", f"it is a number from {least:g} to {most:g}")
    column.score[row] = each.score
    column.answer[row] = None if each.answer is None else str(each.answer)
    column.tokens_in[row] = _whole(each.tokens_in)
    column.tokens_out[row] = _whole(each.tokens_out)
    column.confidence[row] = _number(each.confidence)
    column.least[row] = _number(each.least)
    column.seconds[row] = _number(each.seconds)
    column.finish[row] = each.finish


def _whole(number: float | None) -> int:
    return 0 if number is None or isnan(number) else round(number)


def _number(number: float | None) -> float:
    return nan if number is None else number
