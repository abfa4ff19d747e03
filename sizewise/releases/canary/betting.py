"""Bets on whether a canary is worse than stable, from bounded contrasts one by one. Pure; valid whenever one looks.

A contrast of the arms has a mean of at most 0 while the canary is within its margin. A bet gains its share of each; a
bettor on such contrasts multiplies a stake by K with probability at most 1/K, at all times together (Ville's
inequality; Waudby-Smith and Ramdas 2024, arXiv:2010.09686). The wealth of a bet is the evidence.

of_unit      a unit that entered when the canary's share was p, with arm A, loss x in 0..1 and m foreseen from earlier
             units: y = A(x - m)/p - (1 + r)(1 - A)(x - m)/(1 - p) - margin - r m, whose mean is that of the canary
             - (1 + r) that of stable - margin (inverse probability weights: Horvitz and Thompson 1952). The share may
             change at any time, since p is known when the unit enters; m lowers the variance and cannot bias.
of_pair      both arms answered one request: y = x_canary - (1 + r) x_stable - margin.
observe      bets on "worse" spread over the times at which a fault might have begun (drift.py); bets on the mirror
             image, "at least the margin worse", are what certifies that the canary is not.
interval     of the difference, from counts alone: an asymptotic confidence sequence (Waudby-Smith et al. 2024,
             arXiv:2103.06476). It is shown beside the evidence and decides nothing.
"""

from __future__ import annotations

from math import log, sqrt

from msgspec import Struct
from msgspec.structs import replace

from sizewise.routing.guarantees.drift import BET_SHARES, INITIAL_DRIFT, DriftState, place_bets, wealth

MAX_WEALTH = 1e100
"""A wealth is cut here, which only lowers it."""
PRIOR_UNITS = 10
"""Units that the margin counts for as the loss that is foreseen before anything was seen."""
SHARPEST_AT = 1_000
"""Observations at which the interval is narrowest for its level."""


class ArmContrast(Struct, frozen=True):
    """`value` is between `lowest` and `highest`, and 0 at most in the mean while the canary is within its margin."""

    value: float
    lowest: float
    highest: float


class ArmLosses(Struct, frozen=True):
    """Losses of one arm: how many, and their sum."""

    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def add(self, loss: float) -> ArmLosses:
        return ArmLosses(self.count + 1, self.total + loss)


class MetricEvidence(Struct, frozen=True):
    """About one metric, after `count` observations. `not_worse`: by bet, the wealth of its mirror image; `certified`:
    its highest mean so far. `total`, `squares`: of the observed values.
    """

    worse: DriftState = INITIAL_DRIFT
    not_worse: tuple[float, ...] = (1.0,) * len(BET_SHARES)
    certified: float = 1.0
    stable: ArmLosses = ArmLosses()
    canary: ArmLosses = ArmLosses()
    total: float = 0.0
    squares: float = 0.0

    @property
    def count(self) -> int:
        return self.worse.sample_count

    @property
    def wealth(self) -> float:
        """1 before anything was seen; the evidence that the canary is worse."""
        return min(MAX_WEALTH, wealth(self.worse))

    def expected_loss(self, margin: float) -> float:
        """Of stable's next unit, 0..1."""
        return (self.stable.total + margin * PRIOR_UNITS) / (self.stable.count + PRIOR_UNITS)


def of_unit(
    loss: float, *, is_canary: bool, share: float, expected: float, margin: float, ratio: float = 0.0
) -> ArmContrast:
    """`loss`, `expected`: 0..1. `share`: above 0 and below 1. `margin`: points; `ratio`: how much more is allowed."""
    stable_weight, offset = (1.0 + ratio) / (1.0 - share), margin + ratio * expected
    value = (loss - expected) / share if is_canary else (expected - loss) * stable_weight
    lowest = min(-expected / share, (expected - 1.0) * stable_weight)
    highest = max((1.0 - expected) / share, expected * stable_weight)
    return ArmContrast(value - offset, lowest - offset, highest - offset)


def of_pair(canary: float, stable: float, *, margin: float, ratio: float = 0.0) -> ArmContrast:
    """Both losses: 0..1."""
    return of_difference(canary - (1.0 + ratio) * stable, lowest=-(1.0 + ratio), margin=margin)


def of_difference(worse: float, *, margin: float, lowest: float = -1.0) -> ArmContrast:
    """`worse`: `lowest`..1; negative where the canary is better."""
    return ArmContrast(worse - margin, lowest - margin, 1.0 - margin)


def observe(evidence: MetricEvidence, seen: ArmContrast) -> MetricEvidence:
    """Without the losses of the arms."""
    fall = place_bets(evidence.worse, seen.value / -seen.lowest)
    mirrored = -seen.value / seen.highest if seen.highest > 0 else 0.0
    not_worse = tuple(
        min(MAX_WEALTH, had * (1.0 + bet * mirrored)) for had, bet in zip(evidence.not_worse, BET_SHARES, strict=True)
    )
    return replace(
        evidence,
        worse=DriftState(fall.sample_count, tuple(min(MAX_WEALTH, each) for each in fall.bet_wealths)),
        not_worse=not_worse,
        certified=max(evidence.certified, sum(not_worse) / len(not_worse)),
        total=evidence.total + seen.value,
        squares=evidence.squares + seen.value**2,
    )


class DifferenceInterval(Struct, frozen=True):
    """`value` is the estimate of a mean between `low` and `high`."""

    value: float
    low: float
    high: float


def interval(evidence: MetricEvidence, error: float) -> DifferenceInterval | None:
    """Of the mean of the observed values; wrong at any time with probability `error`. None before two were seen."""
    count = evidence.count
    if count < 2:
        return None
    mean = evidence.total / count
    variance = max(0.0, evidence.squares / count - mean**2)
    scale = (-2.0 * log(error) + log(-2.0 * log(error)) + 1.0) / SHARPEST_AT
    spread = 2.0 * (count * scale + 1.0) / (count**2 * scale) * log(sqrt(count * scale + 1.0) / error)
    reach = sqrt(variance * spread)
    return DifferenceInterval(mean, mean - reach, mean + reach)
