"""Whether a policy still keeps its promise, from requests sampled by chance; pure, and valid whenever one looks.

What is watched is the loss of a sampled request: how much worse (0..1) the answer given was than the large model's, and
0 where the large model's was given; better counts as equal. The promise is kept while its mean is at most eps.

after, wealth   a gambler bets that it is more. While the promise is kept, the chance that the wealth ever comes to
                1 / (1 - sure) is at most 1 - sure (Ville's inequality; Waudby-Smith and Ramdas 2023, arXiv:2010.09686).
                Wealth lost in a long good time would hide a later drift, so the stake is spread over all the times at
                which one might have begun: request n gets 1 / (n * (n + 1)) of it, which sums to 1 and leaves the
                above true (a mixture, after Shin, Ramdas and Rinaldo 2022, arXiv:2203.03532). What that is worth:
                docs/decisions/0014-an-alarm-that-spreads-its-stake.md.
                A request that nobody could judge counts as no loss: that can delay an alarm, never make it false.
estimate        mean and confidence sequence: at all times together it holds the true mean with chance `sure`.

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

BETS: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
"""Shares of the largest bet that cannot lose more than everything."""
FINE = 40
"""Halvings until a bound is found: finer than anybody shows it."""


class Drift(Struct, frozen=True):
    """What is known after `samples` requests. `wealths`: by bet, of what was staked so far."""

    samples: int = 0
    wealths: tuple[float, ...] = (0.0,) * len(BETS)


BEGUN = Drift()


def after(drift: Drift, loss: float, eps: float) -> Drift:
    """One request later. `loss` 0..1, `eps` the mean loss that was promised, above 0."""
    number = drift.samples + 1
    stake, gain = 1.0 / (number * (number + 1)), loss / eps - 1.0
    return Drift(
        number, tuple((had + stake) * (1.0 + bet * gain) for had, bet in zip(drift.wealths, BETS, strict=True))
    )


def wealth(drift: Drift) -> float:
    """What the gambler has who began with 1; what was not staked yet is his too."""
    return 1.0 / (drift.samples + 1) + sum(drift.wealths) / len(BETS)


def alarming(drift: Drift, sure: float) -> bool:
    return wealth(drift) * (1.0 - sure) >= 1.0


class Estimate(Struct, frozen=True):
    """The mean loss, 0..1, between `low` and `high`; None where nothing was measured.

    `lost` takes the `unjudged` for what the others are. The interval takes nothing for granted: at `low` they lost
    nothing, at `high` everything.
    """

    samples: int = 0
    unjudged: int = 0
    lost: float | None = None
    low: float | None = None
    high: float | None = None


def estimate(large: int, small: Mapping[float, int], unjudged: int, sure: float) -> Estimate:
    """Of requests that the `large` model answered, and `small` ones: by their loss, and those of unknown loss."""
    judged = sum(small.values())
    samples = large + judged + unjudged
    if not samples or (not judged and unjudged):
        return Estimate(samples, unjudged)
    mean = sum(loss * times for loss, times in small.items()) / judged if judged else 0.0
    lost = mean * (judged + unjudged) / samples
    least = Counter(small) + Counter({0.0: large + unjudged})
    gained = Counter({1.0 - loss: times for loss, times in small.items()}) + Counter({1.0: large, 0.0: unjudged})
    error = (1.0 - sure) / 2
    return Estimate(samples, unjudged, lost, min(lost, _least(least, error)), max(lost, 1.0 - _least(gained, error)))


def _least(values: Mapping[float, int], error: float) -> float:
    """The smallest mean that the values do not refute: below it a gambler would have 1 / error."""
    below, above = 0.0, 1.0
    for _ in range(FINE):
        mean = (below + above) / 2
        if _bet(values, mean) >= -log(error):
            below = mean
        else:
            above = mean
    return below


def _bet(values: Mapping[float, int], mean: float) -> float:
    """Log of the wealth of betting that the true mean is above `mean`, the stake spread evenly over the bets."""
    each = [
        sum(times * log(1.0 - bet + bet * value / mean) for value, times in values.items()) - log(len(BETS))
        for bet in BETS
    ]
    most = max(each)
    return most + log(sum(exp(one - most) for one in each)) if most > -inf else most
