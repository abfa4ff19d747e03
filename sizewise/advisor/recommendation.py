"""Ranks candidates by weighted criteria, the best of each kind first; deterministic.

More volume never favors a candidate whose added requests cost more. Volume enters the cost only, points fall linearly
with cost, and no scale, weight or choice of candidates depends on the volume. So if A is first at one volume and B at a
larger one, the sum of both comparisons shows that the added requests cost no more with B than with A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.candidates import CANDIDATE_KINDS, CandidateKind, DeploymentCandidate, Exclusion, find_candidates
from sizewise.advisor.cost import Interval, cheaper_months, cheaper_volumes
from sizewise.advisor.criteria import CRITERIA, CriterionScore
from sizewise.advisor.memory_fit import MemoryFit, fit_quantizations
from sizewise.advisor.quality_estimates import ModelOffers
from sizewise.advisor.workload import Workload

MAX_ALTERNATIVES = 2
"""Per kind."""


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """`scores` by criterion. `points`: 100 if all scores are 1; below 0 if the cost is far over budget."""

    candidate: DeploymentCandidate
    scores: Mapping[str, CriterionScore]
    points: Fraction
    alternatives: tuple[DeploymentCandidate, ...] = ()  # of the same kind with other models, best first

    @property
    def title(self) -> str:
        return CANDIDATE_KINDS[self.candidate.kind]


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Volumes at which the first candidate costs less than `alternative` over the horizon, and months for which it does
    at the given volume.
    """

    alternative: RankedCandidate
    volumes: tuple[Interval, ...]
    months: Interval | None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`ranked`: the best suitable candidate of each kind, best first; may be empty. `exclusions`: why others are
    unsuitable. `fits`: memory use of the ranked local models, by quantization.
    """

    workload: Workload
    assumptions: Assumptions
    weights: Mapping[str, Fraction]
    ranked: tuple[RankedCandidate, ...]
    exclusions: tuple[Exclusion, ...]
    fits: tuple[MemoryFit, ...]
    break_even: tuple[BreakEven, ...]

    @property
    def excluded_kinds(self) -> tuple[CandidateKind, ...]:
        there = {each.candidate.kind for each in self.ranked}
        return tuple(kind for kind in CANDIDATE_KINDS if kind not in there)


def recommend(
    workload: Workload,
    offers: ModelOffers,
    assumptions: Assumptions,
    weights: Mapping[str, Fraction],
) -> Recommendation:
    found = find_candidates(workload, offers, assumptions)
    judged = sorted((_scored(each, workload, assumptions, weights) for each in found.candidates), key=_sort_key)
    kinds = dict[CandidateKind, list[RankedCandidate]]()
    for each in judged:
        kinds.setdefault(each.candidate.kind, []).append(each)
    ranked = tuple(sorted((_best_of_kind(each) for each in kinds.values()), key=_sort_key))
    placed = [part.fit for each in ranked for part in each.candidate.placements if part.fit is not None]
    here = {(each.model.name, each.pool.kind): each for each in placed}
    fits = tuple(
        fit for each in here.values() for fit in fit_quantizations(each.model, each.pool, workload.context, assumptions)
    )
    return Recommendation(
        workload=workload,
        assumptions=assumptions,
        weights=weights,
        ranked=ranked,
        exclusions=found.exclusions,
        fits=fits,
        break_even=_break_even(ranked, workload),
    )


def _scored(
    candidate: DeploymentCandidate,
    workload: Workload,
    assumptions: Assumptions,
    weights: Mapping[str, Fraction],
) -> RankedCandidate:
    scores = {name: judge(candidate, workload, assumptions) for name, (judge, _, _) in CRITERIA.items()}
    points = sum((weights[name] * (score.value - score.over_budget) for name, score in scores.items()), Fraction(0))
    return RankedCandidate(candidate, scores, 100 * points / sum(weights.values()))


def _sort_key(each: RankedCandidate) -> tuple[Fraction, Fraction, int, str]:
    """Best first: by points, then fewest unmeasured models, then kind and name."""
    unsure = sum(not part.quality_estimate.measured for part in each.candidate.placements)
    return (-each.points, Fraction(unsure), list(CANDIDATE_KINDS).index(each.candidate.kind), each.candidate.name)


def _best_of_kind(same: list[RankedCandidate]) -> RankedCandidate:
    """`same`: candidates of one kind, best first."""
    best = same[0]
    others = dict[tuple[str, ...], DeploymentCandidate]()
    for each in same:
        others.setdefault(tuple(part.model.name for part in each.candidate.placements), each.candidate)
    return RankedCandidate(best.candidate, best.scores, best.points, tuple(others.values())[1 : MAX_ALTERNATIVES + 1])


def _break_even(ranked: tuple[RankedCandidate, ...], workload: Workload) -> tuple[BreakEven, ...]:
    if not ranked:
        return ()
    first = ranked[0].candidate.cost
    return tuple(
        BreakEven(
            each,
            cheaper_volumes(first, each.candidate.cost, workload.months),
            cheaper_months(first, each.candidate.cost, workload.requests),
        )
        for each in ranked[1:]
    )
