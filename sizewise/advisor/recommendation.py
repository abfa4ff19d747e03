"""Ranks the candidates that meet the need by weighted criteria, the best of each kind first; deterministic.

More volume never favors a candidate whose added requests cost more. Volume enters the cost only, points fall linearly
with cost, and no scale, weight or choice of candidates depends on the volume. So if A is first at one volume and B at a
larger one, the sum of both comparisons shows that the added requests cost no more with B than with A.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.candidate_kinds import CANDIDATE_KINDS, CandidateKind, Exclusion
from sizewise.advisor.candidates import DeploymentCandidate, find_candidates
from sizewise.advisor.cost import Interval, cheaper_months, cheaper_volumes
from sizewise.advisor.criteria import CRITERIA, CriterionScore
from sizewise.advisor.memory_fit import MemoryFit, fit_quantizations
from sizewise.advisor.own_criterion import OwnCriterion
from sizewise.advisor.quality_estimates import ModelOffers
from sizewise.advisor.relaxations import WayOut, relaxed
from sizewise.advisor.security_risks import SecurityRisk, security_risks
from sizewise.advisor.training_from_scratch import ScratchEstimate, scratch_estimate
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
    """`ranked`: the best candidate of each kind among those that meet the need, best first; may be empty. `near`: of
    the other kinds the best that misses the need, never ranked. `exclusions`: why others are unsuitable. `fits`:
    memory use of these local models, by quantization. `own`: the user's criteria. `ways_out`: if nothing is ranked.
    """

    workload: Workload
    assumptions: Assumptions
    weights: Mapping[str, Fraction]
    ranked: tuple[RankedCandidate, ...]
    exclusions: tuple[Exclusion, ...]
    fits: tuple[MemoryFit, ...]
    break_even: tuple[BreakEven, ...]
    near: tuple[RankedCandidate, ...] = ()
    own: tuple[OwnCriterion, ...] = ()
    ways_out: tuple[WayOut, ...] = ()

    @property
    def scratch(self) -> ScratchEstimate:
        """Of a model of 1 billion parameters."""
        return scratch_estimate(10**9, self.assumptions)

    def risks(self, each: RankedCandidate) -> tuple[SecurityRisk, ...]:
        return security_risks(each.candidate, self.workload)

    @property
    def criteria(self) -> Mapping[str, str]:
        """Name -> title, the user's own last."""
        return {
            **{name: title for name, (_, title, _) in CRITERIA.items()},
            **{each.name: each.name for each in self.own},
        }

    @property
    def excluded_kinds(self) -> tuple[CandidateKind, ...]:
        there = {each.candidate.kind for each in (*self.ranked, *self.near)}
        return tuple(kind for kind in CANDIDATE_KINDS if kind not in there)


def recommend(
    workload: Workload,
    offers: ModelOffers,
    assumptions: Assumptions,
    weights: Mapping[str, Fraction],
    own: tuple[OwnCriterion, ...] = (),
) -> Recommendation:
    """If nothing meets the need, also the single changes with which something would."""
    advice = _rank(workload, offers, assumptions, weights, own)
    if advice.ranked:
        return advice
    return replace(advice, ways_out=tuple(_ways_out(workload, offers, assumptions, weights, own)))


def _ways_out(
    workload: Workload,
    offers: ModelOffers,
    assumptions: Assumptions,
    weights: Mapping[str, Fraction],
    own: tuple[OwnCriterion, ...],
) -> Iterator[WayOut]:
    """For each option the least change that helps."""
    for changes in relaxed(workload):
        for option, changed in changes:
            if found := _rank(changed, offers, assumptions, weights, own).ranked:
                yield WayOut(option, found[0].title, found[0].candidate.name)
                break


def _rank(
    workload: Workload,
    offers: ModelOffers,
    assumptions: Assumptions,
    weights: Mapping[str, Fraction],
    own: tuple[OwnCriterion, ...],
) -> Recommendation:
    found = find_candidates(workload, offers, assumptions)
    weights = MappingProxyType({**weights, **{each.name: each.weight for each in own}})
    judged = sorted((_scored(each, workload, assumptions, weights, own) for each in found.candidates), key=_sort_key)
    meeting = [each for each in judged if each.candidate.quality >= assumptions["need"]]
    ranked = _best_of_kinds(meeting)
    kinds = {each.candidate.kind for each in ranked}
    missing = (each for each in judged if each.candidate.kind not in kinds)
    near = _best_of_kinds(sorted(missing, key=lambda each: (-each.candidate.quality, *_sort_key(each))))
    placed = [part.fit for each in (*ranked, *near) for part in each.candidate.placements if part.fit is not None]
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
        near=tuple(sorted(near, key=lambda each: (-each.candidate.quality, *_sort_key(each)))),
        own=own,
    )


def _best_of_kinds(judged: Iterable[RankedCandidate]) -> tuple[RankedCandidate, ...]:
    """`judged`: best first."""
    kinds = dict[CandidateKind, list[RankedCandidate]]()
    for each in judged:
        kinds.setdefault(each.candidate.kind, []).append(each)
    return tuple(sorted((_best_of_kind(each) for each in kinds.values()), key=_sort_key))


def _scored(
    candidate: DeploymentCandidate,
    workload: Workload,
    assumptions: Assumptions,
    weights: Mapping[str, Fraction],
    own: tuple[OwnCriterion, ...],
) -> RankedCandidate:
    scores = {name: judge(candidate, workload, assumptions) for name, (judge, _, _) in CRITERIA.items()}
    for each in own:
        value, reason = each.score(candidate)
        scores[each.name] = CriterionScore(value, reason, (each.number(),))
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
