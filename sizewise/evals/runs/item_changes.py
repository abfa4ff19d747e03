"""Items of a comparison by how they changed: right in both runs, newly wrong, newly right, wrong in both, flaky. Pure.

Items are paired by their content (the digest), never by row. Newly wrong: the mean over the repeats falls below one
half. Flaky: the repeats of one run disagree. An item of one run alone is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from msgspec import Struct

from sizewise.evals.runs.comparison import ItemScores
from sizewise.evals.runs.run_file import EvalRun, ItemResult

Change = Literal["bothRight", "newlyWrong", "newlyRight", "bothWrong", "onlyInBase", "onlyInHead"]
PASS_LEVEL = 0.5


class ItemChange(Struct, frozen=True):
    """`base`, `head`: the values of the score, a repeat each, those that are missing left out."""

    item: str
    digest: str
    tags: tuple[str, ...]
    change: Change
    flaky: bool
    base: tuple[float, ...]
    head: tuple[float, ...]


def item_changes(base: EvalRun, head: EvalRun, score: str) -> list[ItemChange]:
    """In the order of the head's items, then those of the base alone. Items without a value in one are left out of the
    four kinds: they are `onlyIn` the other.
    """
    one, other = ItemScores(base).results, ItemScores(head).results
    digests = [*other, *(each for each in one if each not in other)]
    return [_change(each, one.get(each, ()), other.get(each, ()), score) for each in digests]


def count_changes(changes: Sequence[ItemChange]) -> Mapping[str, int]:
    kinds: tuple[Change, ...] = ("bothRight", "newlyWrong", "newlyRight", "bothWrong", "onlyInBase", "onlyInHead")
    found: dict[str, int] = {kind: sum(each.change == kind for each in changes) for kind in kinds}
    return {**found, "flaky": sum(each.flaky for each in changes)}


def _change(digest: str, base: Sequence[ItemResult], head: Sequence[ItemResult], score: str) -> ItemChange:
    before, after = _values(base, score), _values(head, score)
    shown = (head or base)[0]
    is_flaky = any(len({value >= PASS_LEVEL for value in values}) > 1 for values in (before, after))
    return ItemChange(
        item=shown.item,
        digest=digest,
        tags=shown.tags,
        change=_kind(before, after),
        flaky=is_flaky,
        base=before,
        head=after,
    )


def _kind(base: Sequence[float], head: Sequence[float]) -> Change:
    if not base or not head:
        return "onlyInHead" if head else "onlyInBase"
    before, after = fmean(base) >= PASS_LEVEL, fmean(head) >= PASS_LEVEL
    if before:
        return "bothRight" if after else "newlyWrong"
    return "newlyRight" if after else "bothWrong"


def _values(results: Sequence[ItemResult], score: str) -> tuple[float, ...]:
    found = (each.scores[score].value for each in sorted(results, key=lambda each: each.repeat) if score in each.scores)
    return tuple(value for value in found if value is not None)
