"""Drift detection: whether a quality guarantee still holds, from randomly sampled requests. Valid at any time.

Observed is the loss of a sampled request: how much worse (0..1) the given answer was than the large model's; 0 if the
large model's was given, or if it was better. The guarantee holds while the mean loss is at most eps.

update_drift,   a bet that the mean is above eps. While the guarantee holds, the wealth ever reaches
wealth          1 / (1 - confidence_level) with probability at most 1 - confidence_level (Ville's inequality;
                Waudby-Smith and Ramdas 2023, arXiv:2010.09686). Wealth lost in a long good time would hide a later
                drift, so the stake is spread over all times at which one might have begun: request n gets
                1 / (n * (n + 1)) of it, which sums to 1 and keeps the bound (a mixture, after Shin, Ramdas and Rinaldo
                2022, arXiv:2203.03532). What that gains: docs/decisions/0014-an-alarm-that-spreads-its-stake.md.
                An undecided request counts as no loss: that can delay an alarm, never cause a false one.
estimate_loss   mean and confidence sequence: with probability `confidence_level` it contains the true mean at all times
                together.

Both use a few fixed bets instead of bets that adapt to the data: as good here within a few requests, and independent of
order, so that the estimate needs only counts. Both are valid for any sampling rate, even a changing one, as long as it
does not depend on what a request says: nothing is weighted. If the rate changes, the estimate is of the sampled times,
those with more samples counting more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, inf, log

from msgspec import Struct

BET_SHARES: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
"""Shares of the largest bet that cannot lose more than the whole wealth."""
BISECTIONS = 40
"""Bisection steps for a bound: finer than any display."""


class DriftState(Struct, frozen=True):
    """State after `sample_count` requests. `bet_wealths`: by bet, the wealth of what was staked so far."""

    sample_count: int = 0
    bet_wealths: tuple[float, ...] = (0.0,) * len(BET_SHARES)


INITIAL_DRIFT = DriftState()


def update_drift(drift: DriftState, loss: float, max_loss: float) -> DriftState:
    """State after one more request. `loss`: 0..1; `max_loss`: the guaranteed mean loss, above 0."""
    return place_bets(drift, loss / max_loss - 1.0)


def place_bets(drift: DriftState, gain: float) -> DriftState:
    """State after one more observation. `gain`: at least -1, and at most 0 in the mean while the guarantee holds."""
    number = drift.sample_count + 1
    stake = 1.0 / (number * (number + 1))
    return DriftState(
        number,
        tuple((had + stake) * (1.0 + bet * gain) for had, bet in zip(drift.bet_wealths, BET_SHARES, strict=True)),
    )


def wealth(drift: DriftState) -> float:
    """The wealth of a bettor who started with 1, including what is not staked yet."""
    return 1.0 / (drift.sample_count + 1) + sum(drift.bet_wealths) / len(BET_SHARES)


def is_alarm(drift: DriftState, confidence_level: float) -> bool:
    return wealth(drift) * (1.0 - confidence_level) >= 1.0


class LossEstimate(Struct, frozen=True):
    """The mean loss, 0..1, between `low` and `high`; None if nothing was measured.

    `mean_loss` assumes that undecided requests resemble the others. The interval assumes nothing: at `low` they lost
    nothing, at `high` everything.
    """

    sample_count: int = 0
    undecided: int = 0
    mean_loss: float | None = None
    low: float | None = None
    high: float | None = None


def estimate_loss(
    large_count: int,
    loss_counts: Mapping[float, int],
    undecided: int,
    confidence_level: float,
) -> LossEstimate:
    """`large_count`: requests answered by the large model. `loss_counts`: requests answered by a small model, by loss;
    `undecided`: those of unknown loss.
    """
    judged = sum(loss_counts.values())
    samples = large_count + judged + undecided
    if not samples or (not judged and undecided):
        return LossEstimate(samples, undecided)
    mean = sum(loss * times for loss, times in loss_counts.items()) / judged if judged else 0.0
    lost = mean * (judged + undecided) / samples
    least = Counter(loss_counts) + Counter({0.0: large_count + undecided})
    gained = Counter({1.0 - loss: times for loss, times in loss_counts.items()}) + Counter(
        {1.0: large_count, 0.0: undecided},
    )
    error = (1.0 - confidence_level) / 2
    return LossEstimate(
        sample_count=samples,
        undecided=undecided,
        mean_loss=lost,
        low=min(lost, _least(least, error)),
        high=max(lost, 1.0 - _least(gained, error)),
    )


def _least(values: Mapping[float, int], error: float) -> float:
    """The smallest mean that the values do not refute: for lower ones the betting wealth reaches 1 / error."""
    below, above = 0.0, 1.0
    for _ in range(BISECTIONS):
        mean = (below + above) / 2
        if _bet(values, mean) >= -log(error):
            below = mean
        else:
            above = mean
    return below


def _bet(values: Mapping[float, int], mean: float) -> float:
    """Log of the wealth of betting that the true mean is above `mean`, with the stake spread evenly over the bets."""
    each = [
        sum(times * log(1.0 - bet + bet * value / mean) for value, times in values.items()) - log(len(BET_SHARES))
        for bet in BET_SHARES
    ]
    most = max(each)
    return most + log(sum(exp(one - most) for one in each)) if most > -inf else most
