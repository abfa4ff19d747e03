"""Quality guarantees and the finite-sample bounds that certify them from paired scores. Does no I/O.

The loss of a prompt is (q_large - q_small) 1[small served] - eps q_large with eps = 1 - quality, so the guarantee holds
if the mean loss over all prompts is at most 0. Every method here tests that, with error probability at most `error`.

    betting     Waudby-Smith and Ramdas 2024 (arXiv:2010.09686): the wealth of bets on a loss below 0. If the guarantee
                is broken, its factors have a mean of at most 1 whatever the bets, so it reaches 1 / error with at most
                that probability (Ville). Each bet is sized by the scores before it, for the wealth that is missing and
                the scores that are left (Voracek and Orabona 2025, "STaR-Bets", arXiv:2505.22422). Valid for any number
                of scores, in any order, that were fixed before the scores were seen.
    bernstein   Maurer and Pontil 2009 (arXiv:0907.3740), theorem 4: empirical Bernstein. Valid.
    conformal   conformal risk control (arXiv:2208.02814): holds on average over samples, not with a probability.
    student     Student's t: valid for large samples only.

Thresholds are tested in a fixed sequence from the safest on, and the first failure ends it (Angelopoulos et al. 2021,
arXiv:2110.01052): then all that passed hold together with error at most `error`, whichever is chosen among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import log, log1p, sqrt
from statistics import NormalDist

from msgspec import Struct

from sizewise.errors import BadRequest

STANDARD_QUALITIES = (0.8, 0.85, 0.9, 0.95, 0.98)
"""Certified in addition to the target, each by itself, so that a request may choose another."""
MAX_BET_SHARE = 0.95
"""Share of the largest bet that cannot lose more than the whole wealth."""
AHEAD = 0.6
"""Part of the missing log wealth that a bet plans for. Less is late at the end of the sample, more loses on the way."""


class QualityGuarantee(Struct, frozen=True, forbid_unknown_fields=True):
    """`quality` (0..1) relative to the reference model, with `confidence` (0..1) in the certification."""

    quality: float
    confidence: float = 0.95
    reference: str = "large"

    def __post_init__(self) -> None:
        for name, value in (("quality", self.quality), ("confidence", self.confidence)):
            if not 0.0 < value < 1.0:
                raise BadRequest(f"target.{name} is {value!r}", "use a fraction between 0 and 1, such as 0.95")


class PairScores(Struct, frozen=True):
    """One prompt answered by both sides: scores (0..1), and the policy's trust in the small side's answer."""

    trust: float
    small: float
    large: float


Losses = Sequence[float]
RiskTest = Callable[[Losses, float, float], bool]
"""Arguments: losses between -1 (the small side fully better) and `max_loss`; `max_loss`, which is the quality; and the
error. Whether the mean loss is at most 0, with at most this error probability.
"""


def betting_test(losses: Losses, max_loss: float, error: float) -> bool:
    width, left = 1.0 + max_loss, len(losses)
    fair, most = 1.0 / width, MAX_BET_SHARE * width / max_loss  # losses are scaled to 0..1; `fair` is where 0 lies
    squares, mean, variance, missing = 0.25, 0.5, 0.25, -log(error)
    for number, loss in enumerate(losses, 2):
        value = (loss + 1.0) / width
        bet = min(sqrt(2.0 * AHEAD * missing / (variance * left)), most)
        missing -= log1p(bet * (fair - value))
        if missing <= 0.0:
            return True
        left -= 1
        mean += (value - mean) / number
        squares += (value - mean) ** 2
        variance = squares / number
    return False


def bernstein_test(losses: Losses, max_loss: float, error: float) -> bool:
    count = len(losses)
    if count < 2:
        return False
    mean, variance = _spread(losses)
    width, chance = 1.0 + max_loss, log(2.0 / error)
    return mean + sqrt(2.0 * variance * chance / count) + 7.0 * width * chance / (3.0 * (count - 1)) <= 0.0


def student_test(losses: Losses, max_loss: float, error: float) -> bool:
    count = len(losses)
    if count < 2:
        return False
    mean, variance = _spread(losses)
    return mean + t_quantile(1.0 - error, count - 1) * sqrt(variance / count) <= 0.0


def conformal_test(losses: Losses, max_loss: float, error: float) -> bool:
    """Ignores `error`: this method controls the mean."""
    return (sum(losses) + max_loss) / (len(losses) + 1) <= 0.0


def _spread(losses: Losses) -> tuple[float, float]:
    """Mean and unbiased variance."""
    mean = sum(losses) / len(losses)
    return mean, sum([(loss - mean) ** 2 for loss in losses]) / (len(losses) - 1)


RISK_TESTS: Mapping[str, RiskTest] = {
    "betting": betting_test,
    "bernstein": bernstein_test,
    "conformal": conformal_test,
    "student": student_test,
}


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t (Abramowitz and Stegun 26.7.5); off by 1e-3 from 10 degrees of freedom on."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees_of_freedom + second / degrees_of_freedom**2 + third / degrees_of_freedom**3


class CertificationStep(Struct, frozen=True):
    """One setting of a policy. `threshold` is its threshold, or its index among levels from safe to cheap."""

    threshold: float
    small_share: float  # share of the prompts answered by a small model, 0..1
    quality: float  # relative to the reference, measured on the sample
    savings: float  # share of the cost of always asking the large model; below 0 it costs more


class CertificationResult(Struct, frozen=True):
    """What one policy can guarantee. `steps`: those that passed, the safest first; empty: nothing can be guaranteed."""

    policy: str
    sample_size: int
    steps: tuple[CertificationStep, ...]
    failed_step: CertificationStep | None = None  # the first that failed
    growth: float = 0.0  # of it: what a pair adds to the log wealth of constant bets of the best size; 0: nothing

    @property
    def best_step(self) -> CertificationStep | None:
        """The step that saves most."""
        return max(self.steps, key=lambda step: step.savings, default=None)


def certify(
    policy: str,
    pairs: Sequence[PairScores],
    thresholds: Iterable[float],
    guarantee: QualityGuarantee,
    *,
    error: float | None = None,
    risk_test: RiskTest = betting_test,
) -> CertificationResult:
    """Tests `thresholds`, which were fixed before the pairs were seen, from the highest (safest) on.

    The order of `pairs` must not depend on their scores. `error` is this policy's part of 1 - confidence, if several
    policies are tested. A small answer is assumed to cost nothing.
    """
    tries = _thresholds(pairs, thresholds, guarantee)
    return fixed_sequence_test(policy, len(pairs), tries, guarantee, error=error, risk_test=risk_test)


def fixed_sequence_test(
    policy: str,
    sample_size: int,
    steps_and_losses: Iterable[tuple[CertificationStep, Losses]],
    guarantee: QualityGuarantee,
    *,
    error: float | None = None,
    risk_test: RiskTest = betting_test,
) -> CertificationResult:
    """The steps that pass before the first that fails, as in `certify`; their order was fixed before the scores were
    seen. A step in which no prompt is answered small proves nothing and is skipped.
    """
    error = 1.0 - guarantee.confidence if error is None else error
    steps = list[CertificationStep]()
    for step, losses in steps_and_losses:
        if not step.small_share:
            continue
        if not risk_test(losses, guarantee.quality, error):
            return CertificationResult(
                policy=policy,
                sample_size=sample_size,
                steps=tuple(steps),
                failed_step=step,
                growth=_growth(losses, guarantee.quality),
            )
        steps.append(step)
    return CertificationResult(policy, sample_size, tuple(steps))


def _thresholds(
    pairs: Sequence[PairScores],
    thresholds: Iterable[float],
    guarantee: QualityGuarantee,
) -> Iterator[tuple[CertificationStep, Losses]]:
    eps, count = 1.0 - guarantee.quality, len(pairs)
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
            yield CertificationStep(threshold, served / count, quality, served / count), losses


def samples_needed(result: CertificationResult, error: float) -> int | None:
    """Estimated number of pairs until the failed step passes, if new prompts resemble these; None if it never does."""
    if result.failed_step is None or result.growth <= 0.0:
        return None
    return max(result.sample_size + 1, round(-log(error) / result.growth))


def _growth(losses: Losses, max_loss: float) -> float:
    mean, variance = _spread(losses) if len(losses) > 1 else (0.0, 0.0)
    if mean >= 0.0:
        return 0.0
    bet = MAX_BET_SHARE / max_loss
    if variance > 0.0:
        bet = min(bet, -mean / variance)
    return -bet * mean - bet * bet * variance / 2.0
