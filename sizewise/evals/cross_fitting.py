"""Cross-fitting: log-odds of recorded prompts, each predicted by what was not trained on its group. Needs numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sizewise.evals.labeled_prompts import LabeledPrompts
from sizewise.routing.training.trainer import FeatureMatrix, Floats, Ints, TfidfVectorizer, fit_head, folds


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
    """Log-odds of `rows`, each half predicted by a model trained on the other half; a group lies in one half."""
    group_of = labeled.group_of
    half = folds([group_of[row] for row in rows], 2, seed) == 0
    found = np.zeros((len(rows), labeled.scores.shape[1]))
    for mine in (half, ~half):
        found[mine] = transfer_log_odds(labeled, texts, rows[~mine], rows[mine])
    return found


def quality_gain(log_odds: Floats) -> Floats:
    """P(large good) - P(first small good), -1..1."""
    chances = 1.0 / (1.0 + np.exp(-log_odds))
    gain: Floats = chances[:, -1] - chances[:, 0]
    return gain
