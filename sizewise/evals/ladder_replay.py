"""Replays threshold ladders on labeled prompts, and draws the curves of cost against quality. Needs numpy.

Means are over groups: each counts once, and within a group each prompt counts alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from sizewise.routing.guarantees.thresholds import ThresholdLadder
from sizewise.routing.training.trainer import Floats, Ints

Z_95 = 1.96  # standard errors of an interval of 95 %
Curves = Mapping[str, tuple[tuple[float, float], ...]]
"""(cost, quality) by rising cost, both relative to the large model."""
ORACLE_POINTS = 50  # of the oracle's curve


@dataclass(frozen=True)
class StageEstimates:
    """Estimates for some prompts, by stage: the gain from escalating, and the index of the best answer so far."""

    escalation_gain: list[Floats]
    best_index: list[Ints]


@dataclass(frozen=True)
class ScoredPrompts:
    """Scores of some prompts, 0..1, (n, models), and the group of each, numbered by first occurrence."""

    scores: Floats
    groups: Ints

    @property
    def group_means(self) -> Floats:
        """(groups, models)"""
        return np.stack([self.mean_by_group(column) for column in self.scores.T], axis=1)

    @property
    def weights(self) -> Floats:
        """Of each prompt; the prompts of a group weigh 1 together."""
        return np.asarray(1.0 / np.bincount(self.groups)[self.groups], float)

    def mean_by_group(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.groups, values) / np.bincount(self.groups), float)


@dataclass(frozen=True)
class LadderReplay:
    """A level (one threshold ladder) replayed on some prompts: the scores of the answers given, 0..1, and their costs,
    where a large answer costs 1; both by group.
    """

    ladder: ThresholdLadder
    score: Floats
    cost: Floats
    small_share: float

    @property
    def savings(self) -> float:
        return 1.0 - float(self.cost.mean())

    @property
    def savings_margin(self) -> float:
        return Z_95 * float(self.cost.std()) / sqrt(len(self.cost))


def replay_ladder(
    ladder: ThresholdLadder,
    stages: StageEstimates,
    prompts: ScoredPrompts,
    small_costs: Sequence[float],
) -> LadderReplay:
    """Passes all prompts through the stages at once."""
    scores = prompts.scores
    count = len(scores)
    got, cost, small = scores[:, -1].copy(), np.ones(count), np.zeros(count, bool)
    waiting, paid = np.ones(count, bool), 0.0
    for place, (stage, worth, best) in enumerate(
        zip(ladder.stages, stages.escalation_gain, stages.best_index, strict=False),
    ):
        given, up = (
            waiting & (worth <= stage.give_max),
            waiting & (worth > stage.escalate_min) & (worth > stage.give_max),
        )
        got[given] = scores[np.flatnonzero(given), best[given]]
        cost[given] = paid if place else small_costs[0]
        cost[up] = paid + 1.0
        small |= given
        waiting &= ~given & ~up
        paid += small_costs[place] if place < len(small_costs) else 0.0
    kept = prompts.mean_by_group(small.astype(float))
    return LadderReplay(ladder, prompts.mean_by_group(got), prompts.mean_by_group(cost), float(kept.mean()))


def cost_quality_curves(
    prompts: ScoredPrompts,
    small_costs: Sequence[float],
    replays: Mapping[str, Sequence[LadderReplay]],
) -> Curves:
    """Curves of each policy over its levels; of random routing, from all small to all large; and of an oracle, which
    uses the cheapest of the best small answers, and calls the large model only where that is better.
    """
    means, scores = prompts.group_means, prompts.scores
    count, reference = len(means), float(means[:, -1].sum()) or 1.0
    small = (small_costs[0], float(means[:, 0].sum()) / reference)
    found = {
        "oracle": _oracle(scores, prompts.weights, small_costs, count, reference),
        "random": [small, (1.0, 1.0)],
    }
    for name, its in replays.items():
        points = [(float(each.cost.mean()), float(each.score.sum()) / reference) for each in its]
        found[name] = sorted(set(points))
    return {name: tuple((round(cost, 4), round(quality, 4)) for cost, quality in its) for name, its in found.items()}


def _oracle(
    scores: Floats,
    weights: Floats,
    small_costs: Sequence[float],
    group_count: int,
    reference: float,
) -> list[tuple[float, float]]:
    best = scores[:, :-1].max(axis=1)
    cost = np.where(scores[:, :-1] == best[:, None], small_costs, np.inf).min(axis=1)
    order = np.argsort(best - scores[:, -1], kind="stable")  # largest gain first
    gained = np.concatenate([[0.0], np.cumsum((weights * (scores[:, -1] - best))[order])])
    paid = np.concatenate([[0.0], np.cumsum((weights * (1.0 - cost))[order])])
    asked = np.unique(np.linspace(0, int((scores[:, -1] > best).sum()), ORACLE_POINTS).astype(int))
    spent, good = float(weights @ cost), float(weights @ best)
    return [(float(spent + paid[up]) / group_count, float(good + gained[up]) / reference) for up in asked]
