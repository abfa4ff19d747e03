"""What a policy may promise, and how sure: bounds on the quality lost, from prompts that both sides answered; pure.

The loss of a prompt is (q_large - q_small) 1[small served] - eps q_large with eps = 1 - quality, so the promise is kept
where its mean over all prompts is not above 0. Every method here is asked: is it, with error at most `error`?

    betting     Waudby-Smith and Ramdas 2024 (arXiv:2010.09686), section 5, as one e-value: the mean of the wealths of
                many constant bets (their diversified Kelly). Each is a product of factors 1 - bet x loss whose mean is
                at most 1 where the promise is broken, so it reaches 1 / error with that chance at most (Markov). Valid
                for any sample size, and the same for any order of the prompts.
    bernstein   Maurer and Pontil 2009 (arXiv:0907.3740), theorem 4: empirical Bernstein. Valid.
    conformal   conformal risk control (arXiv:2208.02814): keeps the promise on average over samples, not with a chance.
    student     Student's t: right for large samples only.

Thresholds are tried in a fixed sequence from the safest on, and the first that fails ends it (Angelopoulos et al. 2021,
arXiv:2110.01052): then all that passed hold together with error at most `error`, whichever is chosen among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import exp, inf, log, log1p, sqrt
from statistics import NormalDist

from msgspec import Struct

from sizewise.errors import BadRequest

BETS = 24
"""Constant bets of the mixture, spread evenly on a log scale between the two ends."""
LEAST_BET = 0.02
MOST_BET = 0.98
"""Of the largest bet that cannot lose more than everything."""


class Promise(Struct, frozen=True):
    """`quality` (0..1) of the reference's, with chance `sure` (0..1) that what was certified is true."""

    quality: float
    sure: float = 0.95
    of: str = "large"

    def __post_init__(self) -> None:
        for name, value in (("quality", self.quality), ("sure", self.sure)):
            if not 0.0 < value < 1.0:
                raise BadRequest(f"promise.{name} is {value!r}", "it is a share between 0 and 1, as 0.95")


class Pair(Struct, frozen=True):
    """One prompt that both sides answered: how well (0..1), and how sure the policy is of the small side's answer."""

    trust: float
    small: float
    large: float


Judgement = Callable[["Sums", float], bool]
"""Whether the mean loss is not above 0, with at most this error."""


class Sums:
    """What the methods need to know of the losses at one threshold; moved from one to the next by what changes.

    Losses lie between -1 and `top` = quality: the small side wholly better, wholly worse.
    """

    __slots__ = ("bets", "count", "squares", "top", "total", "wealth")

    def __init__(self, quality: float) -> None:
        self.top = quality
        self.count = 0
        self.total = self.squares = 0.0
        step = (MOST_BET / LEAST_BET) ** (1.0 / (BETS - 1))
        self.bets = tuple(LEAST_BET * step**number / self.top for number in range(BETS))
        self.wealth = [0.0] * BETS  # logs

    def add(self, loss: float, times: int = 1) -> None:
        """`times` -1 takes it away again."""
        self.count += times
        self.total += times * loss
        self.squares += times * loss * loss
        self.wealth = [had + times * log1p(-bet * loss) for bet, had in zip(self.bets, self.wealth, strict=True)]

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Unbiased; infinite for fewer than two."""
        if self.count < 2:
            return inf
        return max(0.0, self.squares - self.count * self.mean**2) / (self.count - 1)

    @property
    def evidence(self) -> float:
        """Log of the mean of the wealths."""
        most = max(self.wealth)
        return most + log(sum(exp(each - most) for each in self.wealth) / BETS)


def betting(sums: Sums, error: float) -> bool:
    return sums.evidence >= -log(error)


def bernstein(sums: Sums, error: float) -> bool:
    if sums.count < 2:
        return False
    width, chance = 1.0 + sums.top, log(2.0 / error)
    slack = sqrt(2.0 * sums.variance * chance / sums.count) + 7.0 * width * chance / (3.0 * (sums.count - 1))
    return sums.mean + slack <= 0.0


def student(sums: Sums, error: float) -> bool:
    if sums.count < 2:
        return False
    return sums.mean + _t(1.0 - error, sums.count - 1) * sqrt(sums.variance / sums.count) <= 0.0


def conformal(sums: Sums, error: float) -> bool:
    """Has no use for `error`: what it controls is the mean."""
    return (sums.total + sums.top) / (sums.count + 1) <= 0.0


METHODS: Mapping[str, Judgement] = {
    "betting": betting,
    "bernstein": bernstein,
    "conformal": conformal,
    "student": student,
}


def _t(share: float, freedom: int) -> float:
    """Quantile of Student's t (Abramowitz and Stegun 26.7.5); off by 1e-3 from 10 degrees of freedom on."""
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


class Step(Struct, frozen=True):
    """One threshold: the small side is served where its trust is at least this."""

    threshold: float
    served: float  # share of the prompts, 0..1
    quality: float  # of the reference's, as measured on the sample
    evidence: float  # log of the betting wealth


class Certified(Struct, frozen=True):
    """What one policy may promise. `steps` are those that passed, the safest first; empty: nothing can be promised."""

    policy: str
    sample: int
    steps: tuple[Step, ...]
    failed: Step | None = None  # the first that did not pass

    @property
    def best(self) -> Step | None:
        """The one that serves the small side most often."""
        return max(self.steps, key=lambda step: step.served, default=None)


def certify(
    policy: str,
    pairs: Sequence[Pair],
    thresholds: Iterable[float],
    promise: Promise,
    *,
    error: float | None = None,
    judged: Judgement = betting,
) -> Certified:
    """Tries `thresholds`, which were fixed before the pairs were seen, from the highest (safest) on.

    `error` is this policy's part of 1 - sure, where several are tried. A threshold that serves nobody proves nothing
    and is passed over.
    """
    error = 1.0 - promise.sure if error is None else error
    eps = 1.0 - promise.quality
    sums = Sums(promise.quality)
    reference = sum(pair.large for pair in pairs)
    for pair in pairs:
        sums.add(-eps * pair.large)
    waiting = sorted(pairs, key=lambda pair: pair.trust)  # the most trusted last
    lost, served, steps = 0.0, 0, list[Step]()
    for threshold in sorted(set(thresholds), reverse=True):
        before = served
        while waiting and waiting[-1].trust >= threshold:
            pair = waiting.pop()
            sums.add(-eps * pair.large, -1)
            sums.add(pair.large - pair.small - eps * pair.large)
            lost += pair.large - pair.small
            served += 1
        if served == before:
            continue
        quality = (reference - lost) / reference if reference else 1.0
        step = Step(threshold, served / len(pairs), quality, sums.evidence)
        if not judged(sums, error):
            return Certified(policy, len(pairs), tuple(steps), step)
        steps.append(step)
    return Certified(policy, len(pairs), tuple(steps))


def wanted(certified: Certified, error: float) -> int | None:
    """How many pairs it would about take until the step that failed passes; None where no number would.

    The log of the wealth grows in proportion to the sample, as long as the new prompts are like the old.
    """
    step = certified.failed
    if step is None or step.evidence <= 0.0:
        return None
    return max(certified.sample + 1, round(certified.sample * -log(error) / step.evidence))
