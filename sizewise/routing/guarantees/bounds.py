"""What a policy may promise, and how sure: bounds on the quality lost, from prompts that both sides answered; pure.

The loss of a prompt is (q_large - q_small) 1[small served] - eps q_large with eps = 1 - quality, so the promise is kept
where its mean over all prompts is not above 0. Every method here is asked: is it, with error at most `error`?

    betting     Waudby-Smith and Ramdas 2024 (arXiv:2010.09686), section 3.1: a wealth that bets on the loss being below
                0, with bets set by what came before (their predictable plug-in). Where the promise is broken its
                factors have a mean of at most 1, so it ever reaches 1 / error with that chance at most (Ville). Valid
                for any sample size, in any order that was fixed before the scores were seen.
    bernstein   Maurer and Pontil 2009 (arXiv:0907.3740), theorem 4: empirical Bernstein. Valid.
    conformal   conformal risk control (arXiv:2208.02814): keeps the promise on average over samples, not with a chance.
    student     Student's t: right for large samples only.

Thresholds are tried in a fixed sequence from the safest on, and the first that fails ends it (Angelopoulos et al. 2021,
arXiv:2110.01052): then all that passed hold together with error at most `error`, whichever is chosen among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import log, log1p, sqrt
from statistics import NormalDist

from msgspec import Struct

from sizewise.errors import BadRequest

QUALITIES = (0.8, 0.85, 0.9, 0.95, 0.98)
"""Certified beside the one that is asked for, each by itself, so that a request may wish for another."""
MOST_BET = 0.75
"""Of the largest bet that cannot lose more than everything."""


class Promise(Struct, frozen=True, forbid_unknown_fields=True):
    """`quality` (0..1) of the reference's, with chance `confidence` (0..1) that what was certified is true."""

    quality: float
    confidence: float = 0.95
    reference: str = "large"

    def __post_init__(self) -> None:
        for name, value in (("quality", self.quality), ("confidence", self.confidence)):
            if not 0.0 < value < 1.0:
                raise BadRequest(f"target.{name} is {value!r}", "it is a share between 0 and 1, as 0.95")


class Pair(Struct, frozen=True):
    """One prompt that both sides answered: how well (0..1), and how sure the policy is of the small side's answer."""

    trust: float
    small: float
    large: float


Losses = Sequence[float]
Judgement = Callable[[Losses, float, float], bool]
"""Losses between -1 (the small side wholly better) and `top`, which is the quality; and the error. Whether their mean
is not above 0, with at most this error."""


def evidence(losses: Losses, top: float, error: float) -> float:
    """Log of the highest wealth that a gambler against the promise's being broken has had."""
    width = 1.0 + top
    fair, most = 1.0 / width, MOST_BET * width / top  # losses are put on 0..1; the fair mean is where 0 lies
    spurred = 2.0 * -log(error) / max(1, len(losses))
    squares, mean, variance, wealth, best = 0.25, 0.5, 0.25, 0.0, 0.0
    for number, loss in enumerate(losses, 2):
        value = (loss + 1.0) / width
        wealth += log1p(min(sqrt(spurred / variance), most) * (fair - value))
        if wealth > best:
            best = wealth
        mean += (value - mean) / number
        squares += (value - mean) ** 2
        variance = squares / number
    return best


def betting(losses: Losses, top: float, error: float) -> bool:
    return evidence(losses, top, error) >= -log(error)


def bernstein(losses: Losses, top: float, error: float) -> bool:
    count = len(losses)
    if count < 2:
        return False
    mean, variance = _spread(losses)
    width, chance = 1.0 + top, log(2.0 / error)
    return mean + sqrt(2.0 * variance * chance / count) + 7.0 * width * chance / (3.0 * (count - 1)) <= 0.0


def student(losses: Losses, top: float, error: float) -> bool:
    count = len(losses)
    if count < 2:
        return False
    mean, variance = _spread(losses)
    return mean + students(1.0 - error, count - 1) * sqrt(variance / count) <= 0.0


def conformal(losses: Losses, top: float, error: float) -> bool:
    """Has no use for `error`: what it controls is the mean."""
    return (sum(losses) + top) / (len(losses) + 1) <= 0.0


def _spread(losses: Losses) -> tuple[float, float]:
    """Mean and unbiased variance."""
    mean = sum(losses) / len(losses)
    return mean, sum([(loss - mean) ** 2 for loss in losses]) / (len(losses) - 1)


METHODS: Mapping[str, Judgement] = {
    "betting": betting,
    "bernstein": bernstein,
    "conformal": conformal,
    "student": student,
}


def students(share: float, freedom: int) -> float:
    """Quantile of Student's t (Abramowitz and Stegun 26.7.5); off by 1e-3 from 10 degrees of freedom on."""
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


class Step(Struct, frozen=True):
    """One setting of a policy. `at` is its threshold, or its place among the levels from safe to cheap."""

    at: float
    served: float  # share of the prompts that a small model answers, 0..1
    quality: float  # of the reference's, as measured on the sample
    saves: float  # share of the cost of asking the large model always; below 0 it costs more


class Certified(Struct, frozen=True):
    """What one policy may promise. `steps` are those that passed, the safest first; empty: nothing can be promised."""

    policy: str
    sample: int
    steps: tuple[Step, ...]
    failed: Step | None = None  # the first that did not pass
    evidence: float = 0.0  # for it: log of the highest betting wealth

    @property
    def best(self) -> Step | None:
        """The one that saves most."""
        return max(self.steps, key=lambda step: step.saves, default=None)


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

    The order of `pairs` must not depend on their scores. `error` is this policy's part of 1 - confidence, where several
    are tried. A small answer is taken to cost nothing.
    """
    tries = _thresholds(pairs, thresholds, promise)
    return in_sequence(policy, len(pairs), tries, promise, error=error, judged=judged)


def in_sequence(
    policy: str,
    sample: int,
    tries: Iterable[tuple[Step, Losses]],
    promise: Promise,
    *,
    error: float | None = None,
    judged: Judgement = betting,
) -> Certified:
    """The steps that pass before the first that does not, as `certify`; their order was fixed before the scores were
    seen. A step that serves nobody proves nothing and is passed over."""
    error = 1.0 - promise.confidence if error is None else error
    steps = list[Step]()
    for step, losses in tries:
        if not step.served:
            continue
        if not judged(losses, promise.quality, error):
            return Certified(policy, sample, tuple(steps), step, evidence(losses, promise.quality, error))
        steps.append(step)
    return Certified(policy, sample, tuple(steps))


def _thresholds(pairs: Sequence[Pair], thresholds: Iterable[float], promise: Promise) -> Iterator[tuple[Step, Losses]]:
    eps, count = 1.0 - promise.quality, len(pairs)
    reference = sum([pair.large for pair in pairs])
    losses = [-eps * pair.large for pair in pairs]
    waiting = sorted(range(count), key=lambda place: pairs[place].trust)  # the most trusted last
    lost, served = 0.0, 0
    for threshold in sorted(set(thresholds), reverse=True):
        before = served
        while waiting and pairs[waiting[-1]].trust >= threshold:
            place = waiting.pop()
            harm = pairs[place].large - pairs[place].small
            losses[place] += harm
            lost += harm
            served += 1
        if served > before:
            quality = (reference - lost) / reference if reference else 1.0
            yield Step(threshold, served / count, quality, served / count), losses


def wanted(certified: Certified, error: float) -> int | None:
    """How many pairs it would about take until the step that failed passes; None where none can be told.

    The log of the wealth grows in proportion to the sample, as long as the new prompts are like the old.
    """
    if certified.failed is None or certified.evidence <= 0.0:
        return None
    return max(certified.sample + 1, round(certified.sample * -log(error) / certified.evidence))
