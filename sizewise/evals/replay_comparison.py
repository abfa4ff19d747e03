"""Comparison of two policies by replay on the same recorded prompts: quality and cost, paired; calls no model."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.replay import Z_95, ReplaySummary, replay_cases, replay_prompts, summarize
from sizewise.model_card import ModelCard
from sizewise.routing.learned_judge import LearnedJudge
from sizewise.routing.policy import Policy
from sizewise.routing.quality_prediction import QualityPrediction


class ReplayedPolicy(Struct, frozen=True):
    """A policy as an application has it: with its models, predictor and learned judge."""

    policy: Policy
    cards: Sequence[ModelCard]
    prediction: QualityPrediction | None = None
    judge: LearnedJudge | None = None


class ReplayComparison(Struct, frozen=True):
    """`quality_change`: second minus first, 0..1; `quality_margin`: half the width of its 95 % interval."""

    before: ReplaySummary
    after: ReplaySummary
    quality_change: float
    quality_margin: float


def compare_replays(before: ReplayedPolicy, after: ReplayedPolicy, dataset: OutcomeDataset) -> ReplayComparison:
    """On the prompts that all models of both have answered. Raises BadRequest if there are none, and for a policy that
    cannot be replayed.
    """
    cases = {
        side: replay_cases(dataset, each.cards, each.prediction, each.judge)
        for side, each in enumerate((before, after))
    }
    rows = {case.row for case in cases[0]} & {case.row for case in cases[1]}
    if not rows:
        raise BadRequest("no recorded prompt has answers of the models of both", "record them: sizewise route outcomes")
    old, new = (
        replay_prompts(each.policy, [case for case in cases[side] if case.row in rows], dataset, each.cards)
        for side, each in enumerate((before, after))
    )
    changes = [now.score - was.score for was, now in zip(old, new, strict=True)]
    mean = sum(changes) / len(changes)
    spread = sum([(each - mean) ** 2 for each in changes]) / max(1, len(changes) - 1)
    return ReplayComparison(summarize(old), summarize(new), mean, Z_95 * sqrt(spread / len(changes)))
