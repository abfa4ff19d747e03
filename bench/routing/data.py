"""One pair of models on one folder of outcomes, as arrays; picks the second small model where nobody names one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.labeled_prompts import LabeledPrompts, labeled_prompts
from sizewise.evals.outcomes import OutcomeDataset

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Prompts that both models answered. `second` is None where no other small model answered, or nobody wrote down
    what it said. `evidence`: the same prompts as `sizewise route calibrate`
    takes them, near copies in groups. `ratio`: price of an answer of a small model, where the large one's is 1.
    """

    name: str
    prompts: list[str]
    small_name: str
    large_name: str
    small: Floats
    large: Floats
    answered: LabeledPrompts
    evidence: LabeledPrompts
    second_name: str | None
    ratio: float
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.small_name, *([self.second_name] if self.second_name else []), self.large_name)

    @property
    def gap(self) -> float:
        return float(self.large.mean() - self.small.mean())


def task(folder: Path, small: str, large: str, second: str | None, ratio: float) -> Task:
    """Raises BadRequest for what is not there. A pair without a gap has nothing to route."""
    outcomes = read_dataset(folder)
    rows = outcomes.scored_rows(small, large)
    if not rows:
        raise BadRequest(f"no prompt was answered by both {small!r} and {large!r}", "name two that share prompts")
    beside = second or _second(outcomes, small, large, rows)
    smaller = [small, *([beside] if beside else [])]
    asked = labeled_prompts(outcomes, smaller, large)
    return Task(
        folder.resolve().name,
        list(asked.prompts),
        small,
        large,
        asked.small_scores,
        asked.large_scores,
        asked,
        labeled_prompts(outcomes, smaller, large, grouped=True),
        beside,
        ratio,
        outcomes.digest,
    )


def pair(folder: Path) -> tuple[str, str]:
    """The worst and the best model, where nobody names two."""
    outcomes = read_dataset(folder)
    resources = {name: float(np.nanmean(column.score)) for name, column in outcomes.columns.items()}
    ranked = sorted(resources, key=lambda name: resources[name])
    return ranked[0], ranked[-1]


def _second(outcomes: OutcomeDataset, small: str, large: str, rows: list[int]) -> str | None:
    """The best of those that are nearer to the small model than to the large one and whose answers are written down."""
    good = {name: np.asarray([column.score[row] for row in rows]) for name, column in outcomes.columns.items()}
    half = (np.nanmean(good[small]) + np.nanmean(good[large])) / 2
    known = {
        name: float(np.nanmean(score))
        for name, score in good.items()
        if name not in (small, large)
        and np.isnan(score).mean() < 0.05
        and np.nanmean(score) <= half
        and any(outcomes.columns[name].answer[row] for row in rows)
    }
    if not any(outcomes.columns[small].answer[row] for row in rows):
        return None
    return max(known, key=lambda name: known[name], default=None)
