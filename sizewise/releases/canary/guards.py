"""The guards of a canary: error, quality, slow and cost, as evidence on three clocks, and what it decides. Pure.

clock     observations                                     known
pairs     both arms answered one request (shadow run)      when both answered and the judge compared
first     the first request of a unit                      when it has ended, after 30 s at most
session   the mean over the first 10 minutes of a unit     10 minutes after it entered

On each clock, observations are in the order of entry. What is known of a unit on one clock tells of it on another, so
bets of two clocks are not one game: each clock has its part of the allowed error by its number of bets, which is at
most the error by the union bound, and costs nothing where one bet finds the fault. Averaging over all clocks would not
be valid (Choe and Ramdas 2024, arXiv:2402.09698). Docs: docs/decisions/0082-a-canary-is-judged-on-three-clocks.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from sizewise.releases.canary.betting import (
    MAX_WEALTH,
    DifferenceInterval,
    MetricEvidence,
    interval,
    observe,
    of_difference,
    of_pair,
    of_unit,
)

Metric = Literal["error", "quality", "slow", "cost"]
METRICS: tuple[Metric, ...] = get_args(Metric)
Clock = Literal["pairs", "first", "session"]
CLOCKS: tuple[Clock, ...] = get_args(Clock)
SLOW_QUANTILE = 0.95
"""Slow is what took longer than this quantile of stable's times before."""
COST_QUANTILE = 0.99
"""Costs are cut at this quantile of stable's costs before, which makes them losses of 0..1."""

Losses = Mapping[Metric, float]
"""Of a unit or request, 0..1; without those that cannot be known."""


class GuardMargins(Struct, frozen=True):
    """How much worse the canary may be: `cost` as a ratio, others in points of 0..1. None: not watched."""

    error: float | None = 0.01
    quality: float | None = 0.03
    slow: float | None = 0.05
    cost: float | None = 0.10

    def of(self, metric: Metric) -> tuple[float, float]:
        """Points and ratio."""
        margin = getattr(self, metric) or 0.0
        return (0.0, margin) if metric == "cost" else (margin, 0.0)

    def watched(self) -> list[Metric]:
        return [each for each in METRICS if getattr(self, each) is not None]


class RollbackCause(Struct, frozen=True):
    """The evidence for a rollback: `value` of the `needed` 1 / error. `clock` and `metric`: where it is largest."""

    value: float
    clock: Clock
    metric: Metric


class GuardState(Struct, frozen=True):
    """Evidence by clock and metric. `bets`: how many share the error; it never changes while a canary runs."""

    margins: GuardMargins
    evidence: Mapping[Clock, Mapping[Metric, MetricEvidence]]
    bets: int

    def rollback(self) -> RollbackCause:
        """The clock with the most evidence, as if each bet had an equal part of the error."""
        totals = {
            clock: min(MAX_WEALTH, sum(each.wealth for each in found.values())) / self.bets
            for clock, found in self.evidence.items()
        }
        clock = max(totals, key=totals.__getitem__)
        found = self.evidence[clock]
        return RollbackCause(totals[clock], clock, max(found, key=lambda each: found[each].wealth))

    def certified(self, metric: Metric) -> float:
        """The evidence that the canary is within its margin: of the pairs and of whole sessions the larger one, halved
        where there are both. Each metric must have enough: all must hold, so their number needs no correction.
        """
        found = [self.evidence[clock][metric].certified for clock in ("pairs", "session") if self.has(clock, metric)]
        return max(found, default=0.0) / max(1, len(found))

    def certification(self) -> float:
        """Of the metric with the least evidence."""
        return min((self.certified(each) for each in self.metrics()), default=0.0)

    def least_certified(self) -> Metric:
        return min(self.metrics(), key=self.certified)

    def without(self, metric: Metric) -> GuardState:
        """`metric` is not watched any more; its part of the error is not given to others."""
        left = {
            clock: {name: each for name, each in found.items() if name != metric}
            for clock, found in self.evidence.items()
        }
        return replace(self, evidence={clock: found for clock, found in left.items() if found})

    def metrics(self) -> list[Metric]:
        return [each for each in METRICS if any(each in found for found in self.evidence.values())]

    def has(self, clock: Clock, metric: Metric) -> bool:
        return metric in self.evidence.get(clock, {})

    def difference(self, clock: Clock, metric: Metric, error: float) -> DifferenceInterval | None:
        """Canary minus stable in points; of costs, the canary's part above stable's. None: too little is known."""
        seen, (margin, ratio) = self.evidence[clock][metric], self.margins.of(metric)
        found = interval(seen, error)
        if found is None or not ratio:
            if found is None:
                return None
            points = (margin + each for each in (found.value, found.low, found.high))
            return DifferenceInterval(*(max(-1.0, min(1.0, each)) for each in points))
        unit = seen.stable.mean
        if not unit:
            return None
        return DifferenceInterval(*(ratio + each / unit for each in (found.value, found.low, found.high)))


def initial_state(margins: GuardMargins, *, shadow: bool, judged: bool) -> GuardState:
    """`shadow`: requests are answered by both arms; `judged`: a judge compares their answers."""
    watched = margins.watched()
    in_pairs = [each for each in watched if shadow and (judged or each != "quality")]
    in_units: list[Metric] = [each for each in watched if each != "quality"]
    found: dict[Clock, list[Metric]] = {"pairs": in_pairs, "first": in_units, "session": in_units}
    return GuardState(
        margins,
        {clock: dict.fromkeys(metrics, MetricEvidence()) for clock, metrics in found.items() if metrics},
        sum(map(len, found.values())),
    )


def observe_unit(state: GuardState, clock: Clock, losses: Losses, *, is_canary: bool, share: float) -> GuardState:
    """`share`: the canary's when the unit entered, above 0 and below 1."""
    found = dict(state.evidence.get(clock, {}))
    for metric, loss in losses.items():
        if metric not in found:
            continue
        seen, (margin, ratio) = found[metric], state.margins.of(metric)
        expected = seen.expected_loss(margin or ratio)
        found[metric] = _with_losses(
            observe(
                seen,
                of_unit(loss, is_canary=is_canary, share=share, expected=expected, margin=margin, ratio=ratio),
            ),
            None if is_canary else loss,
            loss if is_canary else None,
        )
    return replace(state, evidence={**state.evidence, clock: found})


def observe_pair(state: GuardState, stable: Losses, canary: Losses, worse: float | None) -> GuardState:
    """One request that both arms answered. `worse`: -1..1, how much worse the canary's answer is to a blind judge."""
    found = dict(state.evidence.get("pairs", {}))
    for metric, seen in found.items():
        margin, ratio = state.margins.of(metric)
        if metric == "quality":
            if worse is not None:
                found[metric] = observe(seen, of_difference(worse, margin=margin))
        elif metric in stable and metric in canary:
            mine, other = canary[metric], stable[metric]
            found[metric] = _with_losses(observe(seen, of_pair(mine, other, margin=margin, ratio=ratio)), other, mine)
    return replace(state, evidence={**state.evidence, "pairs": found})


def _with_losses(evidence: MetricEvidence, stable: float | None, canary: float | None) -> MetricEvidence:
    before, after = evidence.stable, evidence.canary
    return replace(
        evidence,
        stable=before if stable is None else before.add(stable),
        canary=after if canary is None else after.add(canary),
    )


def quantile(values: Sequence[float], level: float) -> float | None:
    """By nearest rank; None without values."""
    return sorted(values)[ceil(level * len(values)) - 1] if values else None
