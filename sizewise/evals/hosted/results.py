"""Results of an eval run: of each item, and their sums with intervals; knows no table and no API. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec import Struct

from sizewise.evals.hosted.graders import Grade
from sizewise.evals.runs.paired_statistics import ConfidenceInterval, ItemValue, mean_interval

Json = dict[str, Any]
ItemStatus = Literal["pass", "fail", "error"]
PASSED, FAILED, MISSING = "p", "f", "-"
SHOWN_ERROR = 0.025
"""Of each end of an interval: a level of 95 %."""


class ModelUse(Struct, frozen=True, array_like=True):
    """Tokens of one model. `input` includes `cached`."""

    model: str
    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0

    def __add__(self, other: ModelUse) -> ModelUse:
        return ModelUse(
            model=self.model,
            calls=self.calls + other.calls,
            input=self.input + other.input,
            output=self.output + other.output,
            cached=self.cached + other.cached,
        )


class ItemOutcome(Struct, frozen=True, array_like=True):
    """The encrypted part of one item's result. `grades`: one a grader, in their order. `error`: code and message."""

    item: Json
    sample: Json
    grades: list[Grade]
    error: tuple[str, str] | None = None


class GradedItem(Struct, frozen=True):
    """`position`: of the item in the data, from 0. `marks`: a character a grader. `cost`: pico-dollars; None:
    unknown.
    """

    position: int
    outcome: ItemOutcome
    uses: tuple[ModelUse, ...] = ()
    cost: int | None = 0

    @property
    def marks(self) -> str:
        return "".join(
            MISSING if each.score is None else PASSED if each.passed else FAILED for each in self.outcome.grades
        )

    @property
    def status(self) -> ItemStatus:
        return status_of(self.marks, has_error=self.outcome.error is not None)


def status_of(marks: str, *, has_error: bool) -> ItemStatus:
    """`pass`: every grader passed. An item without all of its grades is an error, never a fail."""
    if has_error or MISSING in marks:
        return "error"
    return "fail" if FAILED in marks else "pass"


class CriterionResult(Struct, frozen=True):
    """`low`, `high`: 95 % interval of the share that passes, of the items that have a grade; None if none has."""

    passed: int
    failed: int
    missing: int
    low: float | None = None
    high: float | None = None
    method: str = ""


class RunSummary(Struct, frozen=True):
    """Sums over the items so far. `cost`: pico-dollars; `unpriced`: items whose cost is unknown."""

    passed: int = 0
    failed: int = 0
    errored: int = 0
    criteria: tuple[CriterionResult, ...] = ()
    uses: tuple[ModelUse, ...] = ()
    cost: int = 0
    unpriced: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.errored


class ItemCounts(Struct, frozen=True):
    """What is stored of an item in clear."""

    status: str
    marks: str
    uses: tuple[ModelUse, ...]
    cost: int | None


def summarize(items: Iterable[ItemCounts], graders: int) -> RunSummary:
    statuses = {"pass": 0, "fail": 0, "error": 0}
    marks, uses, cost, unpriced = list[str](), dict[str, ModelUse](), 0, 0
    for each in items:
        statuses[each.status] += 1
        marks.append(each.marks)
        cost, unpriced = cost + (each.cost or 0), unpriced + (each.cost is None)
        for use in each.uses:
            uses[use.model] = uses.get(use.model, ModelUse(use.model)) + use
    return RunSummary(
        passed=statuses["pass"],
        failed=statuses["fail"],
        errored=statuses["error"],
        criteria=tuple(_criterion([each[place : place + 1] for each in marks]) for place in range(graders)),
        uses=tuple(uses.values()),
        cost=cost,
        unpriced=unpriced,
    )


def _criterion(marks: Sequence[str]) -> CriterionResult:
    """An item that got no answer has no mark."""
    passed, failed = marks.count(PASSED), marks.count(FAILED)
    missing = len(marks) - passed - failed
    if not passed + failed:
        return CriterionResult(0, 0, missing)
    found = _share(passed, failed)
    return CriterionResult(
        passed=passed,
        failed=failed,
        missing=missing,
        low=round(found.low, 6),
        high=round(found.high, 6),
        method=found.method,
    )


def _share(passed: int, failed: int) -> ConfidenceInterval:
    scores = [1.0] * passed + [0.0] * failed
    return mean_interval([ItemValue(str(place), score) for place, score in enumerate(scores)], SHOWN_ERROR)
