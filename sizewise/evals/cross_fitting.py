"""Cross-fitting: out-of-fold log-odds and answer signals for recorded prompts. Needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import ModelOutcomes, OutcomeDataset, recorded_signals
from sizewise.routing.quality.answer_signals import CascadeSignals, recorded_agreement
from sizewise.routing.text.prompt_features import fold_text
from sizewise.routing.training.trainer import MIN_LABELS, FeatureMatrix, Floats, Ints, TfidfVectorizer, fit_head


@dataclass(frozen=True)
class LabeledPrompts:
    """Prompts that every model answered. `scores`: 0..1, (n, models), the small models in the order of their calls,
    then the large one. `columns`: of the small models. `rows`: the prompts' rows in them.
    """

    prompts: Sequence[str]
    scores: Floats
    columns: tuple[ModelOutcomes, ...]
    rows: Sequence[int]

    @property
    def folded_texts(self) -> list[str]:
        return [fold_text(prompt) for prompt in self.prompts]

    @property
    def small_scores(self) -> Floats:
        """Of the first small model."""
        first: Floats = self.scores[:, 0]
        return first

    @property
    def large_scores(self) -> Floats:
        last: Floats = self.scores[:, -1]
        return last

    def answer_signals(self, index: int, log_odds: Floats, answer_count: int) -> CascadeSignals:
        """Signals of a prompt after `answer_count` small answers. `log_odds`: of all models, from the prompt alone."""
        row, asking = self.rows[index], self.columns[:answer_count]
        said = tuple(
            replace(recorded_signals(its, row), prior_log_odds=float(log_odds[place]))
            for place, its in enumerate(asking)
        )
        return CascadeSignals(said, float(log_odds[-1]), recorded_agreement(tuple(its.answer[row] for its in asking)))

    def answers_agree(self, index: int) -> bool | None:
        return recorded_agreement(tuple(its.answer[self.rows[index]] for its in self.columns[:2]))


def labeled_prompts(
    dataset: OutcomeDataset,
    small_models: Sequence[str],
    large_model: str,
    *,
    deduplicate: bool = False,
) -> LabeledPrompts:
    """`deduplicate`: drops repeated prompts, since the same question twice is one piece of evidence, not two.

    Raises BadRequest if a model is unknown or named twice, or if too few prompts have a score of every model.
    """
    names = [*small_models, large_model]
    if len(set(names)) < len(names):
        raise BadRequest(f"the same model is given twice: {', '.join(names)}", "use different models")
    rows = dataset.scored_rows(*names)
    if deduplicate:
        rows = sorted({fold_text(dataset.prompts[row]): row for row in reversed(rows)}.values())
    if len(rows) < 2 * MIN_LABELS:
        said = ", ".join(map(repr, small_models))
        hint = f"label {2 * MIN_LABELS - len(rows)} more prompts: half train, half certify"
        raise BadRequest(f"only {len(rows)} different prompts have answers of all of {said} and {large_model!r}", hint)
    columns = tuple(dataset.column(name) for name in (*small_models, large_model))
    good = np.asarray([[its.score[row] for its in columns] for row in rows])
    return LabeledPrompts([dataset.prompts[row] for row in rows], good, columns[:-1], rows)


def fit_log_odds(vectorizer: TfidfVectorizer, matrix: FeatureMatrix, scores: Floats) -> Floats:
    """Log-odds of a good answer by each model, (n, models), for `matrix`. Trains on the vectorizer's texts."""
    return np.stack(
        [matrix.log_odds(fit_head(vectorizer.matrix, scores[:, model])) for model in range(scores.shape[1])],
        axis=1,
    )


def transfer_log_odds(labeled: LabeledPrompts, texts: Sequence[str], training_rows: Ints, rows: Ints) -> Floats:
    seen = TfidfVectorizer([texts[each] for each in training_rows])
    return fit_log_odds(seen, seen.transform([texts[each] for each in rows]), labeled.scores[training_rows])


def cross_fitted_log_odds(labeled: LabeledPrompts, texts: Sequence[str], rows: Ints, seed: int) -> Floats:
    """Log-odds of `rows`, each half predicted by a model trained on the other half."""
    half = np.random.default_rng(seed).permutation(len(rows)) % 2 == 0
    found = np.zeros((len(rows), labeled.scores.shape[1]))
    for mine in (half, ~half):
        found[mine] = transfer_log_odds(labeled, texts, rows[~mine], rows[mine])
    return found


def quality_gain(log_odds: Floats) -> Floats:
    """P(large good) - P(first small good), -1..1."""
    chances = 1.0 / (1.0 + np.exp(-log_odds))
    gain: Floats = chances[:, -1] - chances[:, 0]
    return gain
