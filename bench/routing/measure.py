"""Figures of one order of asking the large model: APGR, CPT, saving; each with its bootstrap interval; knows no router.

The order goes from the prompt whose large answer is worth most to the one that needs it least. APGR: the area under the
share of the quality gap recovered, against the share of calls to the large model (random: 0.5). CPT(x): share of calls,
in percent, for x of the gap. Saved: percent of all-large's cost at 95 % of its quality, small answers paid for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 1_000
KEEP = 0.95


@dataclass(frozen=True)
class Figure:
    value: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True)
class Figures:
    apgr: Figure
    cpt50: Figure
    cpt80: Figure
    saved: Figure


@dataclass(frozen=True)
class Curve:
    """`calls[i]` and `quality[i]`: shares after i prompts in order went to the large model; the first is none."""

    calls: Floats
    quality: Floats


def order(rank: Floats, seed: int = 0) -> NDArray[np.int64]:
    """The places of the prompts, highest rank first, ties by lot."""
    lot = np.random.default_rng(seed).random(len(rank))
    return np.lexsort((lot, -rank))


@dataclass(frozen=True)
class Ranking:
    """For each prompt the worth of the large model, and how good the answer is that is served where it is not asked:
    the small model's, or the better of two small ones as far as one can tell.
    """

    worth: Floats
    served: Floats


def curve(its: Ranking, large: Floats, seed: int = 0) -> Curve:
    gains = (large - its.served)[order(its.worth, seed)]
    count = len(gains)
    quality = np.concatenate([[its.served.mean()], its.served.mean() + np.cumsum(gains) / count])
    return Curve(np.arange(count + 1) / count, quality)


def figures(its: Ranking, small: Floats, large: Floats, always: float, kept: float, seed: int = 0) -> Figures:
    """`always`: what every request costs beside the large model, whose answer costs 1; `kept`: where it stays small."""
    chance = np.random.default_rng(seed)
    ranked = order(its.worth, seed)
    columns = its.served[ranked], small[ranked], large[ranked]
    count = len(ranked)
    draws = chance.multinomial(count, np.full(count, 1.0 / count), RESAMPLES)
    rows = np.asarray([_one(*columns, times, always, kept) for times in draws])
    whole = _one(*columns, np.ones(count), always, kept)
    low, high = np.quantile(rows, [0.025, 0.975], axis=0)
    return Figures(*(Figure(float(whole[i]), float(low[i]), float(high[i])) for i in range(4)))


def _one(
    served: Floats,
    small: Floats,
    large: Floats,
    times: NDArray[np.float64] | NDArray[np.int64],
    always: float,
    kept: float,
) -> Floats:
    total = times.sum()
    base, worst, best = (float((each * times).sum() / total) for each in (served, small, large))
    width = np.concatenate([[0.0], np.cumsum(times) / total])
    quality = base + np.concatenate([[0.0], np.cumsum((large - served) * times) / total])
    gap = best - worst
    if gap <= 0:
        return np.asarray([0.5, 50.0, 80.0, 100.0 * (1.0 - always - kept)])
    height = (quality - worst) / gap
    area = float(((height[1:] + height[:-1]) / 2 * np.diff(width)).sum())
    reached = [100.0 * _first(width, height, share) for share in (0.5, 0.8)]
    needed = _first(width, quality, KEEP * best)
    return np.asarray([area, *reached, 100.0 * max(0.0, (1.0 - kept) * (1.0 - needed) - always)])


def _first(width: Floats, height: Floats, wanted: float) -> float:
    """The smallest width from which on the height is wanted or more; 1 where it never is."""
    there = np.flatnonzero(height >= wanted - 1e-12)
    return float(width[there[0]]) if len(there) else 1.0
