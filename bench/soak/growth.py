"""How memory grows that moves by steps and stays: between reloads of the settings, and at one; draws no line.

A line takes the steps of reloads for growth: of walks without drift, made of the steps of two hours with signs drawn at
random, it says so in 31 to 43 of 100, where 5 are expected. So each piece between two reloads has a slope of its own,
and each reload a step; what both come to is known as well as they differ among each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, sqrt

SETTLING_S = 20.0
"""After a reload was asked for, and before the next: what is looked at then belongs to neither piece."""
FEWEST = 5
"""Looks in a piece."""


@dataclass(frozen=True)
class Growth:
    """Means with two standard errors each: MB an hour between reloads, and MB at a reload."""

    between: tuple[float, float]
    at_reload: tuple[float, float]


def growth_of(at_s: Sequence[float], sizes: Sequence[float], reloads_s: Sequence[float]) -> Growth:
    """`sizes`: MB at these seconds. `reloads_s`: when one was asked for, in order; what lies before the first is left
    out, so give those after memory has settled.
    """
    ends = [*reloads_s[1:], inf]
    pieces = [
        found
        for begin, end in zip(reloads_s, ends, strict=True)
        if len(found := [i for i, at in enumerate(at_s) if begin + SETTLING_S <= at <= end - SETTLING_S]) >= FEWEST
    ]
    slopes = [_slope([at_s[i] / 3600 for i in piece], [sizes[i] for i in piece]) for piece in pieces]
    steps = [sizes[after[0]] - sizes[before[-1]] for before, after in pairwise(pieces)]
    return Growth(_mean(slopes), _mean(steps))


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    across = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return across / sum((a - mean_x) ** 2 for a in x)


def _mean(values: Sequence[float]) -> tuple[float, float]:
    n = len(values)
    if n < 3:
        return 0.0, inf
    mean = sum(values) / n
    return mean, 2 * sqrt(sum((each - mean) ** 2 for each in values) / (n - 1) / n)
