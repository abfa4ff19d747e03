"""Trains the combiner that turns the signals of held answers into probabilities. Needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from sizewise.errors import BadRequest
from sizewise.routing.quality.answer_signals import CascadeSignals, SignalCombiner, feature_vector
from sizewise.routing.training.trainer import MIN_LABELS, Floats, minimize_lbfgs

REGULARIZATION = 0.3  # inverse of the penalty on weights of standardized features


def train_combiner(signals: Sequence[CascadeSignals], scores: Floats) -> SignalCombiner:
    """`scores`: quality of the answers, 0..1, (n, models), small models in the order of asking, the large one last.

    Raises BadRequest for fewer than MIN_LABELS.
    """
    if len(signals) < MIN_LABELS:
        hint = f"label {MIN_LABELS - len(signals)} more; with fewer the result is not significant"
        raise BadRequest(f"{len(signals)} labels are too few to train on", hint)
    rows = np.asarray([feature_vector(each) for each in signals])
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    scaled = (rows - mean) / spread
    heads = [tuple(_head(scaled, scores[:, model]).tolist()) for model in range(scores.shape[1])]
    return SignalCombiner(tuple(mean.tolist()), tuple(spread.tolist()), tuple(heads), len(signals))


def _head(rows: Floats, scores: Floats) -> Floats:
    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = weights[0] + rows @ weights[1:]
        value = float(np.logaddexp(0.0, odds).sum() - scores @ odds) + float(weights[1:] @ weights[1:]) / (
            2 * REGULARIZATION
        )
        residual = 1.0 / (1.0 + np.exp(-odds)) - scores
        return value, np.concatenate([[residual.sum()], rows.T @ residual + weights[1:] / REGULARIZATION])

    start = np.zeros(1 + rows.shape[1])
    mean = min(max(float(scores.mean()), 1e-3), 1.0 - 1e-3)
    start[0] = log(mean / (1.0 - mean))
    return minimize_lbfgs(loss, start)
