"""Is a promise kept as often as it says? Calibrations drawn from a held half, judged by the whole of it; no model here.

What is calibrated is what ships: the two policies of `sizewise route calibrate` with their levels, the chance of error
shared out between them, and of what certifies that which saves most. The half that taught has fixed the levels; the
other is the population, from which samples are drawn with replacement, so the truth of every level is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, log, sqrt

import numpy as np
from numpy.typing import NDArray

from sizewise.evals.calibration import CalibrationData
from sizewise.routing.guarantees.bounds import (
    RISK_TESTS,
    CertificationStep,
    QualityGuarantee,
    fixed_sequence_test,
    t_quantile,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]
QUALITIES = (0.90, 0.95, 0.98)
SAMPLES = (200, 500, 1_000, 2_000)
SURE = 0.95
BLOCK = 3  # levels judged at once: few are certified from a small sample, and the first failure ends it
ROUNDING = 1e-9  # a bound nearer to 0 than this is on neither side for sure


@dataclass(frozen=True)
class Row:
    """`saved`: mean share of the cost, 0..1, nothing where nothing was certified. `best`: of the cheapest level that
    keeps the promise in truth.
    """

    method: str
    quality: float
    sample: int
    draws: int
    broken: int
    saved: float
    best: float

    @property
    def passes(self) -> bool:
        """One-sided binomial test at 5 %: so many broken, or more, would come in more than 1 of 20 such runs."""
        return self.broken <= allowed(self.draws, 1.0 - SURE)


@dataclass(frozen=True)
class Family:
    """One policy on the population: what each level gave, (levels, n), and what it cost; whether any was kept small."""

    got: Floats
    cost: Floats
    serves: Flags


def allowed(draws: int, chance: float) -> int:
    """The largest count that a binomial passes with a chance above 5 %."""
    above, count = 1.0, 0
    while above > 0.05:
        above -= comb(draws, count) * chance**count * (1.0 - chance) ** (draws - count)
        count += 1
    return count - 1


def rows(
    ready: CalibrationData,
    seed: int,
    draws: int,
    methods: tuple[str, ...] = tuple(RISK_TESTS),
    *,
    qualities: tuple[float, ...] = QUALITIES,
    samples: tuple[int, ...] = SAMPLES,
) -> Iterator[Row]:
    families = replayed(ready)
    large = ready.scores[:, -1]
    for quality in qualities:
        errors = [(1.0 - SURE) * share for share in ready.error_shares(quality).values()]
        true = [(quality * large - its.got).mean(axis=1) for its in families]
        saves = [1.0 - its.cost.mean(axis=1) for its in families]
        best = best_possible(families, true)
        for sample in samples:
            chance = np.random.default_rng([seed, sample, round(1_000 * quality)])
            broken, saved = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0.0)
            for draw in range(draws):
                drawn = chance.integers(0, len(large), sample)
                evidence = [Losses(its, quality * large[drawn], drawn) for its in families]
                for method in methods:
                    levels = [
                        certified(method, each, quality, error) for each, error in zip(evidence, errors, strict=True)
                    ]
                    if draw == 0:
                        _same_as_shipped(method, evidence, levels, quality, errors)
                    chosen = cheapest(evidence, levels)
                    if chosen is not None:
                        family, level = chosen
                        broken[method] += bool(true[family][level] > 1e-12)
                        saved[method] += float(saves[family][level])
            for method in methods:
                yield Row(method, quality, sample, draws, broken[method], saved[method] / draws, best)


def replayed(ready: CalibrationData) -> list[Family]:
    return [
        Family(
            np.asarray([each.score for each in its]),
            np.asarray([each.cost for each in its]),
            np.asarray([each.small_share > 0 for each in its], np.bool_),
        )
        for its in ready.replays.values()
    ]


def best_possible(families: list[Family], true: list[Floats]) -> float:
    """What the cheapest level saves that keeps the promise in truth; `true`: of each level the mean loss."""
    saves = [(1.0 - its.cost.mean(axis=1))[lost <= 0.0] for its, lost in zip(families, true, strict=True)]
    kept: Floats = np.concatenate(saves)
    return max(0.0, float(np.max(kept, initial=0.0)))


class Losses:
    """One policy's losses on one sample, (levels, n), of the levels that keep any prompt small; made as they are read.

    `starts`: where each group of the drawn rows begins; a group is one piece of evidence, with its mean.
    """

    def __init__(self, family: Family, wanted: Floats, drawn: Places, starts: Places | None = None) -> None:
        self.levels = np.flatnonzero(family.serves)
        self._family, self._wanted, self._drawn, self._starts = family, wanted, drawn, starts
        self._blocks: list[Floats] = []

    def blocks(self) -> Iterator[Floats]:
        """BLOCK levels at a time, safest first."""
        for number in range(-(-len(self.levels) // BLOCK)):
            if number == len(self._blocks):
                some = self.levels[number * BLOCK : (number + 1) * BLOCK]
                self._blocks.append(self._means(self._wanted - self._family.got[np.ix_(some, self._drawn)]))
            yield self._blocks[number]

    def saves(self, levels: Places) -> Floats:
        """Share of the cost of the large model alone, on the sample."""
        found: Floats = 1.0 - self._means(self._family.cost[np.ix_(levels, self._drawn)]).mean(axis=1)
        return found

    def _means(self, values: Floats) -> Floats:
        if self._starts is None:
            return values
        sizes = np.diff(np.append(self._starts, values.shape[1]))
        found: Floats = np.add.reduceat(values, self._starts, axis=1) / sizes
        return found


def certified(method: str, losses: Losses, quality: float, error: float) -> Places:
    """The levels that pass before the first that does not."""
    passed = 0
    for block in losses.blocks():
        failed = np.flatnonzero(~passes(method, block, quality, error))
        if len(failed):
            return losses.levels[: passed + failed[0]]
        passed += len(block)
    return losses.levels


def cheapest(evidence: list[Losses], levels: list[Places]) -> tuple[int, int] | None:
    """Of what is certified, the policy and level that save most on the sample; None if none saves."""
    best, found = 0.0, None
    for number, (its, known) in enumerate(zip(evidence, levels, strict=True)):
        if len(known):
            saves = its.saves(known)
            place = int(np.argmax(saves))
            if saves[place] > best:
                best, found = float(saves[place]), (number, int(known[place]))
    return found


def passes(method: str, losses: Floats, top: float, error: float) -> Flags:
    """What `RISK_TESTS[method]` says of each level, (levels, n) -> (levels,): of all at once, which is much faster.

    A mean loss of exactly 0 is common (scores are 0 or 1), and which side of 0 its rounded sum lies depends on the
    order of the additions. What lies that near is judged by the shipped test itself.
    """
    if method == "betting":  # each bet rests on the wealth before it
        return np.asarray([RISK_TESTS[method](level, top, error) for level in losses.tolist()], np.bool_)
    slack = _slack(method, losses, top, error)
    flags: Flags = slack <= 0.0
    for level in np.flatnonzero(np.abs(slack) < ROUNDING):
        flags[level] = RISK_TESTS[method](losses[level].tolist(), top, error)
    return flags


def _slack(method: str, losses: Floats, top: float, error: float) -> Floats:
    """The upper bound of the mean loss, which must not be above 0."""
    count = losses.shape[1]
    mean, spread = losses.mean(axis=1), losses.std(axis=1, ddof=1)
    bound: Floats
    if method == "conformal":
        bound = (losses.sum(axis=1) + top) / (count + 1)
    elif method == "student":
        bound = mean + t_quantile(1.0 - error, count - 1) * spread / sqrt(count)
    else:
        width, chance = 1.0 + top, log(2.0 / error)
        bound = mean + spread * sqrt(2.0 * chance / count) + 7.0 * width * chance / (3.0 * (count - 1))
    return bound


def _same_as_shipped(
    method: str, evidence: list[Losses], levels: list[Places], quality: float, errors: list[float]
) -> None:
    """What is measured here must be what ships: the first draw of each cell is certified by bounds.py too."""
    for its, ours, error in zip(evidence, levels, errors, strict=True):
        every = (row.tolist() for block in its.blocks() for row in block)
        tries = [
            (CertificationStep(float(place), 1.0, 0.0, 0.0), row) for place, row in zip(its.levels, every, strict=True)
        ]
        shipped = fixed_sequence_test(
            "", 0, tries, QualityGuarantee(quality, SURE), error=error, risk_test=RISK_TESTS[method]
        )
        assert [step.threshold for step in shipped.steps] == ours.tolist(), method
