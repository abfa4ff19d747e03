"""Cross-fitting: log-odds of recorded prompts, each predicted by what was not trained on its group. Needs numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sizewise.evals.labeled_prompts import LabeledPrompts
from sizewise.routing.training.trainer import Floats, Ints, folds, transfer_log_odds


def cross_fitted_log_odds(labeled: LabeledPrompts, texts: Sequence[str], rows: Ints, seed: int) -> Floats:
    """Log-odds of `rows`, each half predicted by a model trained on the other half; a group lies in one half."""
    found = np.zeros((len(rows), labeled.scores.shape[1]))
    for rest, some in halves([labeled.group_of[row] for row in rows], seed):
        found[some] = transfer_log_odds(texts, labeled.scores, rows[rest], rows[some])
    return found


def halves(groups: Sequence[int], seed: int) -> list[tuple[Ints, Ints]]:
    """(places to train on, places to predict) of each half."""
    first = folds(groups, 2, seed) == 0
    return [(np.flatnonzero(~mine), np.flatnonzero(mine)) for mine in (first, ~first)]
