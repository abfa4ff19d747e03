"""Drift detection: whether a quality guarantee still holds, from randomly sampled requests. Valid at any time.

What is watched is the loss of a sampled request: how much worse (0..1) the answer given was than the large model's, and
0 where the large model's was given; better counts as equal. The promise is kept while its mean is at most eps.

after, wealth   a gambler bets that it is more. While the promise is kept, the chance that the wealth ever comes to
                1 / (1 - sure) is at most 1 - sure (Ville's inequality; Waudby-Smith and Ramdas 2023, arXiv:2010.09686).
                Wealth lost in a long good time would hide a later drift, so the stake is spread over all the times at
                which one might have begun: request n gets 1 / (n * (n + 1)) of it, which sums to 1 and leaves the
                above true (a mixture, after Shin, Ramdas and Rinaldo 2022, arXiv:2203.03532). What that is worth:
                docs/decisions/0014-an-alarm-that-spreads-its-stake.md.
                A request that nobody could judge counts as no loss: that can delay an alarm, never make it false.
estimate        mean and confidence sequence: at all times together it holds the true mean with chance
`confidence_level`.

Both bet by a fixed few shares instead of by what was seen so far: as good here within a few requests, and it needs no
order, so that the estimate comes from counts. Both hold for any share of requests that are sampled, and while it
changes, as long as it does not depend on what a request says: nothing is weighted. Where it changes, the estimate is of
the sampled times, the busier sampled ones counting more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, inf, log

from msgspec import Struct

BET_SHARES: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
"""Shares of the largest bet that cannot lose more than everything."""
BISECTIONS = 40
"""Halvings until a bound is found: finer than anybody shows it."""


class DriftState(Struct, frozen=True):
    """What is known after `sample_count` requests. `bet_wealths`: by bet, of what was staked so far."""

    sample_count: int = 0
    bet_wealths: tuple[float, ...] = (0.0,) * len(BET_SHARES)


INITIAL_DRIFT = DriftState()


def update_drift(drift: DriftState, loss: float, max_loss: float) -> DriftState:
    """One request later. `loss` 0..1, `max_loss` the mean loss that was promised, above 0."""
    number = drift.sample_count + 1
    stake, gain = 1.0 / (number * (number + 1)), loss / max_loss - 1.0
    return DriftState(
        number,
        tuple((had + stake) * (1.0 + bet * gain) for had, bet in zip(drift.bet_wealths, BET_SHARES, strict=True)),
    )


def wealth(drift: DriftState) -> float:
    """What the gambler has who began with 1; what was not staked yet is his too."""
    return 1.0 / (drift.sample_count + 1) + sum(drift.bet_wealths) / len(BET_SHARES)


def is_alarm(drift: DriftState, confidence_level: float) -> bool:
    return wealth(drift) * (1.0 - confidence_level) >= 1.0


class LossEstimate(Struct, frozen=True):
    """The mean loss, 0..1, between `low` and `high`; None where nothing was measured.

    `mean_loss` takes the `undecided` for what the others are. The interval takes nothing for granted: at `low` they
    lost nothing, at `high` everything.
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
    """Of requests that the `large_count` model answered, and `loss_counts` ones: by their loss, and those of unknown
    loss."""
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
        samples,
        undecided,
        lost,
        min(lost, _least(least, error)),
        max(lost, 1.0 - _least(gained, error)),
    )


def _least(values: Mapping[float, int], error: float) -> float:
    """The smallest mean that the values do not refute: below it a gambler would have 1 / error."""
    below, above = 0.0, 1.0
    for _ in range(BISECTIONS):
        mean = (below + above) / 2
        if _bet(values, mean) >= -log(error):
            below = mean
        else:
            above = mean
    return below


def _bet(values: Mapping[float, int], mean: float) -> float:
    """Log of the wealth of betting that the true mean is above `mean`, the stake spread evenly over the bets."""
    each = [
        sum(times * log(1.0 - bet + bet * value / mean) for value, times in values.items()) - log(len(BET_SHARES))
        for bet in BET_SHARES
    ]
    most = max(each)
    return most + log(sum(exp(one - most) for one in each)) if most > -inf else most
