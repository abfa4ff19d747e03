"""Thresholds of a cascade that treat groups alike: fitted on some texts of recorded answers, judged on others. Pure.

The promise is a share of the large model's quality. It is kept by one threshold for all (before), by one that keeps it
in every group, or by one for each group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from statistics import fmean
from typing import Literal

from msgspec import Struct

from sizewise.evals.bias.grouped_answers import GroupedAnswer

Way = Literal["one", "every-group", "by-group"]
NEVER_SMALL = 1.0
"""A threshold that no answer reaches."""


class CascadeRow(Struct, frozen=True):
    """A prompt that both models answered. `trust`: the small answer's confidence, 0..1. `kinds`: dimension -> group."""

    template: str
    groups: Mapping[str, str]
    trust: float
    small: float
    large: float
    is_small_refused: bool = False
    is_large_refused: bool = False


class Thresholds(Struct, frozen=True):
    """A small answer is kept from `common` on; with `dimension`, from its group's own threshold on."""

    common: float
    dimension: str = ""
    by_group: Mapping[str, float] = {}

    def keeps(self, row: CascadeRow) -> bool:
        needed = self.by_group.get(row.groups.get(self.dimension, ""), self.common)
        return needed < NEVER_SMALL and row.trust >= needed

    def answers(self, rows: Sequence[CascadeRow]) -> list[GroupedAnswer]:
        """What the cascade would have answered."""
        return [
            GroupedAnswer(
                template=row.template,
                groups=row.groups,
                quality=row.small if self.keeps(row) else row.large,
                is_refused=row.is_small_refused if self.keeps(row) else row.is_large_refused,
                is_small=self.keeps(row),
            )
            for row in rows
        ]


def split(rows: Sequence[CascadeRow]) -> tuple[list[CascadeRow], list[CascadeRow]]:
    """(to fit, to judge): halves by a hash of the text, so that all versions of a text are in one of them."""
    fit = [row for row in rows if sha256(row.template.encode()).digest()[0] % 2]
    return fit, [row for row in rows if not sha256(row.template.encode()).digest()[0] % 2]


def fit_thresholds(rows: Sequence[CascadeRow], promise: float, way: Way, dimension: str = "") -> Thresholds:
    """`promise`: share of the large model's mean score, 0..1. `every-group`: of `dimension`, or of all dimensions."""
    if way == "one":
        return Thresholds(_lowest(rows, promise))
    if way == "every-group":
        members = _members(rows, dimension)
        return Thresholds(max(_lowest(rows, promise), *(_lowest(each, promise) for each in members.values())))
    members = _members(rows, dimension)
    return Thresholds(
        _lowest(rows, promise), dimension, {group: _lowest(each, promise) for (_, group), each in members.items()}
    )


def _members(rows: Sequence[CascadeRow], dimension: str) -> dict[tuple[str, str], list[CascadeRow]]:
    found = dict[tuple[str, str], list[CascadeRow]]()
    for row in rows:
        for name, group in row.groups.items():
            if dimension in ("", name):
                found.setdefault((name, group), []).append(row)
    return found


def _lowest(rows: Sequence[CascadeRow], promise: float) -> float:
    """The lowest threshold from which on the promise is kept at every higher one too, so that one lucky value is not
    taken."""
    ordered = sorted(rows, key=lambda row: row.trust, reverse=True)
    wanted = promise * fmean(row.large for row in rows) * len(rows)
    sum_, best = sum(row.large for row in rows), NEVER_SMALL
    for at, row in enumerate(ordered):
        sum_ += row.small - row.large
        is_last_of_its_trust = at + 1 == len(ordered) or ordered[at + 1].trust < row.trust
        if is_last_of_its_trust:
            if sum_ < wanted - 1e-9:
                break
            best = row.trust
    return best
