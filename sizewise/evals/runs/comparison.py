"""Comparison of two runs on the same items: each score of both, their paired difference and what changed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import NormalDist, fmean
from typing import Literal

import msgspec

from sizewise.errors import BadRequest
from sizewise.evals.runs.eval_spec import MEASURES
from sizewise.evals.runs.paired_statistics import (
    ConfidenceInterval,
    ItemValue,
    difference_interval,
    holm,
    mean_interval,
    p_value,
    unbounded_interval,
)
from sizewise.evals.runs.run_file import EvalRun, ItemResult

SHOWN_ERROR = 0.025
"""Of each end of the intervals that people see: a level of 95 %."""


@dataclass(frozen=True)
class ScoreSummary:
    """One score of one run. `interval`: None without a value. `missing`: items without a value."""

    interval: ConfidenceInterval | None
    missing: int


@dataclass(frozen=True)
class ScoreChange:
    """One score in both runs. `difference`: head minus base, over items that both have; None if there are none.
    `newly_wrong`, `newly_right`: items whose mean score fell or rose across one half.
    """

    kind: str
    base: ScoreSummary
    head: ScoreSummary
    difference: ConfidenceInterval | None
    p: float
    newly_wrong: tuple[str, ...]
    newly_right: tuple[str, ...]


ChangeVerdict = Literal["better", "worse", "equal", "unclear"]


def judge_change(change: ScoreChange, margin: float) -> tuple[ChangeVerdict, int | None]:
    """Whether the head is better or worse, equal within `margin`, or whether that cannot be told; then about how many
    items would tell. A score that differs in no item needs those of which none may (z^2 / margin, as Wilson's).
    """
    found = change.difference
    if found is None:
        return "unclear", None
    if found.low > 0 or found.high < 0:
        return ("better" if found.low > 0 else "worse"), None
    if -margin < found.low and found.high < margin:
        return "equal", None
    needed = found.items_needed(margin) or ceil(NormalDist().inv_cdf(1 - found.error) ** 2 / margin)
    return "unclear", max(needed, found.items + 1)


@dataclass(frozen=True)
class RunComparison:
    """`items`: of both runs; `left_out`: of one alone."""

    base: EvalRun
    head: EvalRun
    items: int
    left_out: int
    changes: Mapping[str, ScoreChange]


class ItemScores:
    """Results of one run by item."""

    def __init__(self, run: EvalRun) -> None:
        self.run = run
        self.results = dict[str, list[ItemResult]]()
        for result in run.answered.values():
            self.results.setdefault(result.digest, []).append(result)
        failed = {each.digest: each for each in run.results if each.error}
        self.failed = tuple(each for digest, each in failed.items() if digest not in self.results)

    def values(self, score: str) -> dict[str, ItemValue]:
        """The mean over the repeats that have a value, by the item's digest."""
        found = dict[str, ItemValue]()
        for digest, its in self.results.items():
            known = [each.scores[score].value for each in its if score in each.scores]
            numbers = [each for each in known if each is not None]
            if numbers:
                repeats = tuple(numbers) if len(numbers) > 1 else ()
                found[digest] = ItemValue(its[0].cluster, fmean(numbers), its[0].weight, repeats)
        return found

    def missing(self, score: str) -> int:
        """Results without a value of `score` that should have one, failed ones among them."""
        lacking = sum(
            score not in each.scores or each.scores[score].is_missing for its in self.results.values() for each in its
        )
        return lacking + len(self.failed)

    def why_missing(self, score: str) -> str:
        """The most frequent reason; empty if none is missing, or no answer was scored."""
        reasons = Counter(
            each.scores[score].why or "no reason"
            for its in self.results.values()
            for each in its
            if score in each.scores and each.scores[score].is_missing
        )
        return reasons.most_common(1)[0][0] if reasons else ""

    def names(self) -> dict[str, str]:
        """Item ids by digest."""
        return {digest: its[0].item for digest, its in self.results.items()}


def summarize(scores: ItemScores, name: str, kind: str, error: float = SHOWN_ERROR) -> ScoreSummary:
    values = list(scores.values(name).values())
    missing = scores.missing(name)
    if not values:
        return ScoreSummary(None, missing)
    if kind not in MEASURES:
        return ScoreSummary(mean_interval(values, error), missing)
    found = unbounded_interval(values, error)
    return ScoreSummary(msgspec.structs.replace(found, low=max(0.0, found.low)), missing)  # no amount is negative


def compare_runs(base: EvalRun, head: EvalRun) -> RunComparison:
    """Raises BadRequest if the runs were scored otherwise, or share no item."""
    if base.head.scoring != head.head.scoring:
        raise BadRequest(
            f"{base.name!r} and {head.name!r} were scored by other scorers or repeats",
            "run the eval again for both, as it is now",
        )
    one, other = ItemScores(base), ItemScores(head)
    shared = one.results.keys() & other.results.keys()
    if not shared:
        raise BadRequest(f"{base.name!r} and {head.name!r} have no item in common", "compare runs of the same data")
    changes = {name: _change(one, other, name, kind) for name, kind in head.head.scorers.items()}
    corrected = holm({name: each.p for name, each in changes.items()})
    return RunComparison(
        base=base,
        head=head,
        items=len(shared),
        left_out=len(one.results.keys() ^ other.results.keys()),
        changes={name: replace(each, p=corrected[name]) for name, each in changes.items()},
    )


def paired_values(
    base: Mapping[str, ItemValue], head: Mapping[str, ItemValue], combine: Callable[[float, float], float]
) -> list[ItemValue]:
    """`combine(base, head)` of each item that both have, in the order of the head's."""
    return [_paired(base[digest], its, combine) for digest, its in head.items() if digest in base]


def _paired(base: ItemValue, head: ItemValue, combine: Callable[[float, float], float]) -> ItemValue:
    repeats = tuple(map(combine, base.repeats, head.repeats)) if len(base.repeats) == len(head.repeats) else ()
    return ItemValue(head.cluster, combine(base.value, head.value), head.weight, repeats)


def _change(one: ItemScores, other: ItemScores, name: str, kind: str) -> ScoreChange:
    base, head = one.values(name), other.values(name)
    values = paired_values(base, head, lambda before, after: after - before)
    interval = unbounded_interval if kind in MEASURES else difference_interval
    difference = interval(values, SHOWN_ERROR) if values else None
    crossed = _crossed(base, head, other.names()) if kind not in MEASURES else ((), ())
    return ScoreChange(
        kind=kind,
        base=summarize(one, name, kind),
        head=summarize(other, name, kind),
        difference=difference,
        p=1.0 if difference is None else p_value(difference),
        newly_wrong=crossed[0],
        newly_right=crossed[1],
    )


def _crossed(
    base: Mapping[str, ItemValue], head: Mapping[str, ItemValue], names: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    both: Sequence[str] = [digest for digest in head if digest in base]
    wrong = tuple(names[each] for each in both if base[each].value >= 0.5 > head[each].value)
    right = tuple(names[each] for each in both if base[each].value < 0.5 <= head[each].value)
    return wrong, right
