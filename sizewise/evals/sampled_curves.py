"""Cost-quality curves of a cascade from sampled pairs: by trust threshold, of an oracle and of random routing. Pure.

Costs and qualities are relative to the large model: 1 is as it alone. Pairs count as in the certification: undecided
ones as lost, and small answers that are better than the large one's as equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from sizewise.routing.guarantees.bounds import PairScores, QualityGuarantee, certify, samples_needed
from sizewise.routing.guarantees.sampled_certificate import TRUST_THRESHOLDS, SampledPair, pair_scores

Point = tuple[float, float]
"""Cost, quality."""
ORACLE_POINTS = 50


class SampledCurves(Struct, frozen=True):
    """`curves`: by name, by rising cost. `samples_needed`: estimated pairs until the target is certifiable; None if it
    is, or if it is unknown.
    """

    curves: Mapping[str, tuple[Point, ...]]
    is_certifiable: bool = False
    samples_needed: int | None = None


def sampled_curves(pairs: Sequence[SampledPair], small_cost: float, target: QualityGuarantee) -> SampledCurves:
    """`pairs`: by time. `small_cost`: of one small answer, where a large one costs 1."""
    scores = pair_scores(pairs)
    if not scores:
        return SampledCurves({})
    found = certify("cascade", scores, TRUST_THRESHOLDS, target)
    return SampledCurves(
        {
            "oracle": _oracle(scores, small_cost),
            "random": (_rounded(small_cost, sum(each.small for each in scores) / len(scores)), (1.0, 1.0)),
            "cascade": tuple(sorted({_cascade(scores, level, small_cost) for level in (0.0, *TRUST_THRESHOLDS)})),
        },
        found.best_step is not None,
        None if found.best_step is not None else samples_needed(found, 1.0 - target.confidence),
    )


def _cascade(scores: Sequence[PairScores], threshold: float, small_cost: float) -> Point:
    """Returns small answers with at least this trust, and pays for the others too."""
    given = [each for each in scores if each.trust >= threshold]
    lost, count = sum(each.large - each.small for each in given), len(scores)
    return _rounded(small_cost + 1.0 - len(given) / count, 1.0 - lost / count)


def _oracle(scores: Sequence[PairScores], small_cost: float) -> tuple[Point, ...]:
    """Of a router that knows all answers and pays for one of them: the small one's where it loses least."""
    count, lost, points = len(scores), 0.0, [_rounded(1.0, 1.0)]
    kept = set(range(0, count, max(1, count // ORACLE_POINTS)))
    for number, loss in enumerate(sorted(each.large - each.small for each in scores), 1):
        lost += loss
        if count - number in kept:
            points.append(_rounded(1.0 - (1.0 - small_cost) * number / count, 1.0 - lost / count))
    return tuple(sorted(points))


def _rounded(cost: float, quality: float) -> Point:
    return round(cost, 4), round(quality, 4)
