"""Second models: which one to ask beside a small model, by recorded answers; asks no model and recommends no first one.

If both agree, the small answer is kept; else the large model is asked. A second model is worth its price if it agrees
often where the small one is right, and errs elsewhere than it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, sqrt
from statistics import fmean

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.runs.paired_statistics import ItemValue, difference_interval
from sizewise.routing.answer_agreement import answers_agree

MIN_PROMPTS = 30
CONFIDENCE_ERROR = 0.025
"""Of each end of an interval, so that both are 95 %."""


class SecondModel(Struct, frozen=True):
    """One candidate. Shares are 0..1, of the prompts that all three answered.

    `agreement`: how often both say the same; undecidable answers do not agree. `right_if_agreed` and
    `right_if_not`: of the small model. `error_correlation`: of both models' errors, -1..1; None if one never errs or
    always. `quality`: of the cascade, relative to the large model alone; `loss_low` and `loss_high`: its loss in
    points of score. `cost`: relative to the large model alone.
    """

    name: str
    prompts: int
    agreement: float
    right_if_agreed: float | None
    right_if_not: float | None
    error_correlation: float | None
    quality: float
    loss_low: float
    loss_high: float
    cost: float


def rank_seconds(
    dataset: OutcomeDataset, small: str, large: str, costs: Mapping[str, float], promise: float
) -> list[SecondModel]:
    """Best first: those that keep `promise` of the large model's quality by what they cost, then the others by quality.

    `costs`: mean cost of an answer, in any unit; a model without one is left out. Raises BadRequest if there is no
    candidate with enough prompts.
    """
    others = [name for name in dataset.columns if name in costs and name not in (small, large)]
    found = [_candidate(dataset, small, name, large, costs) for name in others]
    known = [each for each in found if each is not None]
    if not known:
        raise BadRequest(
            f"no third model has {MIN_PROMPTS} prompts in common with {small!r} and {large!r}",
            "let it answer the same prompts: sizewise route outcomes",
        )
    return sorted(
        known, key=lambda each: (each.quality < promise, each.cost if each.quality >= promise else -each.quality)
    )


def _candidate(
    dataset: OutcomeDataset, small: str, second: str, large: str, costs: Mapping[str, float]
) -> SecondModel | None:
    rows = [row for row in dataset.scored_rows(small, second, large) if dataset.column(small).answer[row] is not None]
    rows = [row for row in rows if dataset.column(second).answer[row] is not None]
    if len(rows) < MIN_PROMPTS:
        return None
    first, other, best = dataset.column(small), dataset.column(second), dataset.column(large)
    agree = [bool(answers_agree(first.answer[row] or "", other.answer[row] or "")) for row in rows]
    right = [first.score[row] for row in rows]
    given = [first.score[row] if agrees else best.score[row] for row, agrees in zip(rows, agree, strict=True)]
    large_scores = [best.score[row] for row in rows]
    loss = difference_interval(
        [ItemValue(str(row), b - g) for row, b, g in zip(rows, large_scores, given, strict=True)], CONFIDENCE_ERROR
    )
    share = fmean(agree)
    return SecondModel(
        name=second,
        prompts=len(rows),
        agreement=share,
        right_if_agreed=_mean([score for score, agrees in zip(right, agree, strict=True) if agrees]),
        right_if_not=_mean([score for score, agrees in zip(right, agree, strict=True) if not agrees]),
        error_correlation=_correlation([1 - score for score in right], [1 - other.score[row] for row in rows]),
        quality=fmean(given) / fmean(large_scores) if any(large_scores) else 1.0,
        loss_low=loss.low,
        loss_high=loss.high,
        cost=(costs[small] + costs[second]) / costs[large] + 1 - share,
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """K. Pearson's; of 0 and 1 it is phi."""
    mean_a, mean_b = fmean(a), fmean(b)
    spread = sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    if not spread or isnan(spread):
        return None
    return sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / spread
