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
    MAX_BET_SHARE,
    RISK_TESTS,
    CertificationStep,
    QualityGuarantee,
    fixed_sequence_test,
    t_quantile,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
QUALITIES = (0.90, 0.95, 0.98)
SAMPLES = (200, 500, 1_000, 2_000)
SURE = 0.95
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


def rows(ready: CalibrationData, seed: int, draws: int, methods: tuple[str, ...] = tuple(RISK_TESTS)) -> Iterator[Row]:
    families = [
        Family(
            np.asarray([each.score for each in its]),
            np.asarray([each.cost for each in its]),
            np.asarray([each.small_share > 0 for each in its], np.bool_),
        )
        for its in ready.replays.values()
    ]
    large = ready.scores[:, -1]
    for quality in QUALITIES:
        errors = [(1.0 - SURE) * share for share in ready.error_shares(quality).values()]
        true = [(quality * large - its.got).mean(axis=1) for its in families]
        saves = [1.0 - its.cost.mean(axis=1) for its in families]
        kept = np.concatenate([its[lost <= 0.0] for its, lost in zip(saves, true, strict=True)])
        best = max(0.0, float(kept.max(initial=0.0)))
        for sample in SAMPLES:
            chance = np.random.default_rng([seed, sample, round(1_000 * quality)])
            broken, saved = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0.0)
            for draw in range(draws):
                drawn = chance.integers(0, len(large), sample)
                losses = [quality * large[drawn] - its.got[:, drawn] for its in families]
                paid = [1.0 - its.cost[:, drawn].mean(axis=1) for its in families]
                for method in methods:
                    passed = [passes(method, each, quality, error) for each, error in zip(losses, errors, strict=True)]
                    if draw == 0:
                        _same_as_shipped(method, losses, families, passed, quality, errors)
                    chosen = _chosen(passed, paid, families)
                    if chosen is not None:
                        family, level = chosen
                        broken[method] += bool(true[family][level] > 1e-12)
                        saved[method] += float(saves[family][level])
            for method in methods:
                yield Row(method, quality, sample, draws, broken[method], saved[method] / draws, best)


def _chosen(passed: list[Flags], paid: list[Floats], families: list[Family]) -> tuple[int, int] | None:
    """Of what passed before the first that did not, what saves most on the sample."""
    best, found = 0.0, None
    for number, (flags, saves, its) in enumerate(zip(passed, paid, families, strict=True)):
        tried = np.flatnonzero(its.serves)
        failed = np.flatnonzero(~flags[tried])
        certified = tried[: failed[0]] if len(failed) else tried
        for level in certified:
            if saves[level] > best:
                best, found = float(saves[level]), (number, int(level))
    return found


def passes(method: str, losses: Floats, top: float, error: float) -> Flags:
    """What `RISK_TESTS[method]` says of each level, (levels, n) -> (levels,): of all at once, which is much faster.

    A mean loss of exactly 0 is common (scores are 0 or 1), and which side of 0 its rounded sum lies depends on the
    order of the additions. What lies that near is judged by the shipped test itself.
    """
    slack = _betting_slack(losses, top, error) if method == "betting" else _slack(method, losses, top, error)
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


def _betting_slack(losses: Floats, top: float, error: float) -> Floats:
    """What the log of the highest wealth lacks."""
    width, count = 1.0 + top, losses.shape[1]
    fair, most = 1.0 / width, MAX_BET_SHARE * width / top
    value, number = (losses + 1.0) / width, np.arange(2, count + 2)
    mean = (0.5 + np.cumsum(value, axis=1)) / number
    variance = (0.25 + np.cumsum((value - mean) ** 2, axis=1)) / number
    before = np.concatenate([np.full((len(losses), 1), 0.25), variance[:, :-1]], axis=1)
    bets = np.minimum(np.sqrt(2.0 * -log(error) / count / before), most)
    wealth = np.cumsum(np.log1p(bets * (fair - value)), axis=1)
    lacking: Floats = -log(error) - np.maximum(wealth.max(axis=1), 0.0)
    return lacking


def _same_as_shipped(
    method: str,
    losses: list[Floats],
    families: list[Family],
    passed: list[Flags],
    quality: float,
    errors: list[float],
) -> None:
    """What is measured here must be what ships: the first draw of each cell is certified by bounds.py too."""
    for its, family, flags, error in zip(losses, families, passed, errors, strict=True):
        tries = [
            (CertificationStep(float(place), float(family.serves[place]), 0.0, 0.0), row.tolist())
            for place, row in enumerate(its)
        ]
        promise = QualityGuarantee(quality, SURE)
        shipped = fixed_sequence_test("", its.shape[1], tries, promise, error=error, risk_test=RISK_TESTS[method])
        tried = np.flatnonzero(family.serves)
        failed = np.flatnonzero(~flags[tried])
        ours = tried[: failed[0]] if len(failed) else tried
        assert [step.threshold for step in shipped.steps] == ours.tolist(), method
