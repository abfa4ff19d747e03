"""Correction of a judge's mean by people's labels on some of the same answers: PPI++. Pure.

    theta = l x mean of f without labels + mean of (y - l x f) with labels
    l     = cov(y, f) / ((1 + n/N) var f), within 0..1; of each fold from the labels of the others (cross-fitting)

PPI++ is A. Angelopoulos, J. Duchi and T. Zrnic 2023 (arXiv:2311.01453), cross-fitting of `l` arXiv:2505.20178. `y`:
label, `f`: verdict; n answers with a label and N without. It is right for any judge, and narrower than the labels alone
for a good one. The labeled answers must be drawn at random from those of the run. The variance is that of the influence
of each cluster, with or without labels (E. Miller 2024, arXiv:2411.00640), by Student's t.

The variance has a part of z^2/4 pseudo-labels of each kind, after A. Agresti and B. Coull 1998: where people and judge
agree on all answers, the residuals alone would say that they always do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from math import sqrt
from statistics import NormalDist

from msgspec import Struct

from sizewise.evals.runs.paired_statistics import ConfidenceInterval
from sizewise.routing.guarantees.bounds import t_quantile

FOLDS = 5
MIN_LABELS = 100
"""Labels from which a corrected score may gate."""
MIN_LABELS_AT_EDGE = 200
EDGE = 0.1
"""Distance from 0 and 1 within which a rate needs MIN_LABELS_AT_EDGE: simulated at .95, 100 labels cover 87 to 90 %."""


class JudgedValue(Struct, frozen=True):
    """An item's score by the judge, or its difference; `label`: what people say, None if they were not asked."""

    cluster: str
    judged: float
    label: float | None = None
    weight: float = 1.0


def corrected_mean(values: Sequence[JudgedValue], error: float, lowest: float = 0.0) -> ConfidenceInterval:
    """The mean that people would give, from `lowest` (0, or -1 for differences) to 1. Each end is wrong with
    probability `error`. Raises ValueError with fewer than two labeled clusters.
    """
    labeled = [(each, each.label) for each in values if each.label is not None]
    rest = [each for each in values if each.label is None]
    clusters = {each.cluster for each, _ in labeled}
    if len(clusters) < 2:
        raise ValueError("two clusters with labels are needed")
    tuned = _tuned_by_fold(labeled, len(rest))
    residuals = [label - tuned[_fold(each.cluster)] * each.judged for each, label in labeled]
    weights = [each.weight for each, _ in labeled]
    whole = sum(weights)
    scale = sum(tuned[_fold(each.cluster)] * each.weight for each, _ in labeled) / whole if rest else 0.0
    mean = sum(w * r for w, r in zip(weights, residuals, strict=True)) / whole
    others = sum(each.weight for each in rest)
    judged = sum(each.weight * each.judged for each in rest) / others if rest else 0.0
    influence = defaultdict[str, float](float)
    for (each, _), residual in zip(labeled, residuals, strict=True):
        influence[each.cluster] += each.weight * (residual - mean) / whole
    for each in rest:
        influence[each.cluster] += scale * each.weight * (each.judged - judged) / others
    count, reach = len(influence), t_quantile(1 - error, len(clusters) - 1)
    squares = sum(each * each for each in influence.values()) * count / (count - 1)
    pseudo = NormalDist().inv_cdf(1 - error) ** 2 / 4
    floor = pseudo * (1.0 - lowest) ** 2 / (len(labeled) + 2 * pseudo) ** 2
    spread = sqrt(squares + floor)
    estimate = min(1.0, max(lowest, scale * judged + mean))
    return ConfidenceInterval(
        estimate=estimate,
        low=max(lowest, estimate - reach * spread),
        high=min(1.0, estimate + reach * spread),
        method="PPI++",
        items=len(values),
        clusters=len({each.cluster for each in values}),
        error=error,
        spread=spread * sqrt(len(labeled)),
    )


def _tuned_by_fold(labeled: Sequence[tuple[JudgedValue, float]], rest: int) -> list[float]:
    """Of each fold, from the other folds."""
    found = list[float]()
    for fold in range(FOLDS):
        others = [pair for pair in labeled if _fold(pair[0].cluster) != fold] if rest else []
        found.append(_tuned(others, rest))
    return found


def _tuned(labeled: Sequence[tuple[JudgedValue, float]], rest: int) -> float:
    if len(labeled) < 2:
        return 0.0
    whole = sum(each.weight for each, _ in labeled)
    judged = sum(each.weight * each.judged for each, _ in labeled) / whole
    mean = sum(each.weight * label for each, label in labeled) / whole
    shared = sum(each.weight * (each.judged - judged) * (label - mean) for each, label in labeled)
    squares = sum(each.weight * (each.judged - judged) ** 2 for each, _ in labeled)
    if squares <= 0:
        return 0.0
    return min(1.0, max(0.0, shared / squares / (1 + len(labeled) / rest)))


def _fold(cluster: str) -> int:
    return int.from_bytes(blake2b(cluster.encode("utf-8", "surrogatepass"), digest_size=4).digest()) % FOLDS


def labels_objection(labels: int, rate: float | None) -> str:
    """Why so many labels do not let the score gate; empty if they do. `rate`: None for a difference."""
    at_edge = rate is not None and not EDGE <= rate <= 1 - EDGE
    least = MIN_LABELS_AT_EDGE if at_edge else MIN_LABELS
    return (
        f"{labels} labels correct it, {least} are needed" + (" so near an end" if at_edge else "")
        if labels < least
        else ""
    )
