"""Is a promise kept as often as it says? Calibrations drawn from a held fold, judged by the whole fold; no model here.

The held fold is the population: samples are drawn from it with replacement, so the truth of every threshold is known.
The grid of thresholds is fixed by the other fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from sizewise.routing.promise import METHODS, Pair, Promise, certify

Floats = NDArray[np.float64]
QUALITIES = (0.90, 0.95, 0.98)
SAMPLES = (200, 500, 1_000, 2_000)
GRID = 40  # thresholds
SURE = 0.95


@dataclass(frozen=True)
class Row:
    method: str
    quality: float
    sample: int
    draws: int
    broken: int
    served: float  # mean share of the small side, none where nothing was certified
    best: float  # of the best threshold that keeps the promise in truth

    @property
    def passes(self) -> bool:
        """One-sided binomial test at 5 %: so many broken, or more, would come in more than 1 of 20 such runs."""
        return self.broken <= allowed(self.draws, 1.0 - SURE)


def allowed(draws: int, chance: float) -> int:
    """The largest count that a binomial passes with a chance above 5 %."""
    above, count = 1.0, 0
    while above > 0.05:
        above -= comb(draws, count) * chance**count * (1.0 - chance) ** (draws - count)
        count += 1
    return count - 1


def rows(
    worth: Floats, small: Floats, large: Floats, seed: int, draws: int, methods: tuple[str, ...] = tuple(METHODS)
) -> Iterator[Row]:
    """`worth` of the large model for each prompt, -1..1; the less, the surer the small side is."""
    half = np.random.default_rng(seed).permutation(len(worth)) % 2 == 0
    trust = -worth
    grid = np.unique(np.quantile(trust[half], np.linspace(0.0, 1.0, GRID))).tolist()
    held_trust, held_small, held_large = trust[~half], small[~half], large[~half]
    for quality in QUALITIES:
        true = {threshold: _loss(threshold, held_trust, held_small, held_large, quality) for threshold in grid}
        shares = {threshold: float((held_trust >= threshold).mean()) for threshold in grid}
        best = max([shares[each] for each in grid if true[each] <= 0.0], default=0.0)
        for sample in SAMPLES:
            chance = np.random.default_rng([seed, sample, round(1_000 * quality)])
            broken, served = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0.0)
            for _ in range(draws):
                drawn = chance.integers(0, len(held_trust), sample)
                columns = (held_trust[drawn].tolist(), held_small[drawn].tolist(), held_large[drawn].tolist())
                pairs = [Pair(*each) for each in zip(*columns, strict=True)]
                for method in methods:
                    chosen = certify(method, pairs, grid, Promise(quality, SURE), judged=METHODS[method]).best
                    if chosen is not None:
                        broken[method] += true[chosen.at] > 1e-12
                        served[method] += shares[chosen.at]
            for method in methods:
                yield Row(method, quality, sample, draws, broken[method], served[method] / draws, best)


def _loss(threshold: float, trust: Floats, small: Floats, large: Floats, quality: float) -> float:
    served = trust >= threshold
    return float(((large - small) * served - (1.0 - quality) * large).mean())
