"""Ranks the options by the weighted criteria, the best of each kind first; decides the same way every time.

More volume never favours what charges more for the added requests: volume counts in the cost alone, what is paid lowers
the points in a straight line, and nothing else (no scale, no weight, no choice of candidates) looks at the volume. If
A is first at one volume and B at a larger one, then adding up both comparisons leaves: the added requests cost no more
with B than with A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from sizewise.advisor.assumptions import Assumed
from sizewise.advisor.candidates import KINDS, Kind, Option, Out, field
from sizewise.advisor.cost import Span, cheaper, lasting
from sizewise.advisor.criteria import CRITERIA, Score
from sizewise.advisor.memory_fit import Fit, table
from sizewise.advisor.quality_estimates import Market
from sizewise.advisor.workload import Workload

OTHERS = 2
"""Further models named for a kind."""


@dataclass(frozen=True, slots=True)
class Advised:
    """An option with its scores by criterion. `points`: 100 where every score is 1; below 0 far beyond the budget."""

    option: Option
    scores: Mapping[str, Score]
    points: Fraction
    others: tuple[Option, ...] = ()  # of other models of this kind, the next best first

    @property
    def title(self) -> str:
        return KINDS[self.option.kind]


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Volumes at which the first costs less than `other` over the horizon, and months for which it does at this one."""

    other: Advised
    spans: tuple[Span, ...]
    months: Span | None


@dataclass(frozen=True, slots=True)
class Advice:
    """`ranked`: the best option of each kind that can do the work, best first; empty where none can. `out`: why others
    cannot. `fits`: the hardware, for the models that were proposed to run here."""

    work: Workload
    assumed: Assumed
    weights: Mapping[str, Fraction]
    ranked: tuple[Advised, ...]
    out: tuple[Out, ...]
    fits: tuple[Fit, ...]
    break_even: tuple[BreakEven, ...]

    @property
    def kinds_out(self) -> tuple[Kind, ...]:
        there = {each.option.kind for each in self.ranked}
        return tuple(kind for kind in KINDS if kind not in there)


def advise(work: Workload, market: Market, assumed: Assumed, weights: Mapping[str, Fraction]) -> Advice:
    found = field(work, market, assumed)
    judged = sorted((_judged(each, work, assumed, weights) for each in found.options), key=_order)
    kinds = dict[Kind, list[Advised]]()
    for each in judged:
        kinds.setdefault(each.option.kind, []).append(each)
    ranked = tuple(sorted((_first(each) for each in kinds.values()), key=_order))
    placed = [part.fit for each in ranked for part in each.option.parts if part.fit is not None]
    here = {(each.model.name, each.room.where): each for each in placed}
    fits = tuple(fit for each in here.values() for fit in table(each.model, each.room, work.context, assumed))
    return Advice(work, assumed, weights, ranked, found.out, fits, _break_even(ranked, work))


def _judged(option: Option, work: Workload, assumed: Assumed, weights: Mapping[str, Fraction]) -> Advised:
    scores = {name: judge(option, work, assumed) for name, (judge, _, _) in CRITERIA.items()}
    points = sum((weights[name] * (score.value - score.over) for name, score in scores.items()), Fraction(0))
    return Advised(option, scores, 100 * points / sum(weights.values()))


def _order(each: Advised) -> tuple[Fraction, Fraction, int, str]:
    """Best first: by points, then by what is known for sure, then by name."""
    unsure = sum(not part.able.measured for part in each.option.parts)
    return (-each.points, Fraction(unsure), list(KINDS).index(each.option.kind), each.option.name)


def _first(same: list[Advised]) -> Advised:
    """The best of a kind, with the next best of other models."""
    best = same[0]
    others = dict[tuple[str, ...], Option]()
    for each in same:
        others.setdefault(tuple(part.model.name for part in each.option.parts), each.option)
    return Advised(best.option, best.scores, best.points, tuple(others.values())[1 : OTHERS + 1])


def _break_even(ranked: tuple[Advised, ...], work: Workload) -> tuple[BreakEven, ...]:
    if not ranked:
        return ()
    first = ranked[0].option.cost
    return tuple(
        BreakEven(
            each,
            cheaper(first, each.option.cost, work.months),
            lasting(first, each.option.cost, work.requests),
        )
        for each in ranked[1:]
    )
