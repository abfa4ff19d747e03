"""Missing answers: prompts that one model of a comparison answered and another did not. Knows no policy.

A model that crashes, refuses or times out on hard prompts looks better without them: what is missing is not missing at
random (Rubin 1976, "Inference and missing data"), so a comparison of what is left says nothing about all prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import OutcomeDataset

MAX_MISSING_SHARE = 0.02  # of the prompts that at least one of the models answered


class MissingAnswers(Struct, frozen=True):
    """`prompts`: that at least one of the models answered; `incomplete`: of these, without an answer of another one.
    `by_model`: prompts without this model's answer, only of models that lack any. `unanswered`: by all of them.
    """

    prompts: int
    incomplete: int
    by_model: dict[str, int]
    unanswered: int

    @property
    def share(self) -> float:
        return self.incomplete / max(1, self.prompts)

    def __str__(self) -> str:
        """Such as `12 of 400 prompts lack an answer (of gpt: 12)`."""
        named = ", ".join(f"of {name}: {count:,}" for name, count in self.by_model.items())
        return f"{self.incomplete:,} of {self.prompts:,} prompts lack an answer ({named})"


def find_missing(dataset: OutcomeDataset, models: Sequence[str]) -> MissingAnswers:
    """Raises BadRequest for a model without outcomes."""
    scores = [dataset.column(model).score for model in models]
    lacking = [[isnan(column[row]) for column in scores] for row in range(len(dataset.ids))]
    asked = [row for row in lacking if not all(row)]
    counts = {model: sum(row[place] for row in asked) for place, model in enumerate(models)}
    return MissingAnswers(
        prompts=len(asked),
        incomplete=sum(map(any, asked)),
        by_model={model: count for model, count in counts.items() if count},
        unanswered=len(lacking) - len(asked),
    )


def require_answers(missing: MissingAnswers) -> None:
    """Raises BadRequest if more is missing than MAX_MISSING_SHARE."""
    if missing.share > MAX_MISSING_SHARE:
        hint = "add the missing answers with their scores, or count them as wrong: --missing-is-wrong"
        raise BadRequest(f"{missing}; at most {MAX_MISSING_SHARE:.0%} may be left out", hint)


def missing_as_wrong(dataset: OutcomeDataset, models: Sequence[str]) -> OutcomeDataset:
    """The dataset with a score of 0 for each missing answer of `models` to a prompt that another of them answered."""
    return _with_scores(dataset, models, dict.fromkeys(models, 0.0))


def missing_against_small(dataset: OutcomeDataset, models: Sequence[str], large: str) -> OutcomeDataset:
    """As `missing_as_wrong`, but `large` counts as right: the worst that may hide behind what is missing, for a promise
    that the others lose little against it.
    """
    return _with_scores(dataset, models, {model: float(model == large) for model in models})


def _with_scores(dataset: OutcomeDataset, models: Sequence[str], scores: Mapping[str, float]) -> OutcomeDataset:
    """With `scores` by model for the missing answers of `models` to prompts that another of them answered."""
    old = {model: dataset.column(model).score for model in models}
    asked = [not all(isnan(column[row]) for column in old.values()) for row in range(len(dataset.ids))]
    new = {
        model: replace(
            dataset.columns[model],
            score=[scores[model] if isnan(score) and its else score for score, its in zip(column, asked, strict=True)],
        )
        for model, column in old.items()
    }
    return replace(dataset, columns={**dataset.columns, **new})
