"""Learns what the signals of held answers are worth together; needs numpy as learn.py does, and has no clock."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from sizewise.errors import BadRequest
from sizewise.routing.quality.answer_signals import Combined, Signals, numbers
from sizewise.routing.training.trainer import FEWEST, Floats, least

STRENGTH = 0.3  # inverse of the penalty on weights, which are on one scale


def combine(signals: Sequence[Signals], good: Floats) -> Combined:
    """`good`: how good the answers were, 0..1, (n, models), those asked in their order and the large one last.

    Raises BadRequest for too few of them.
    """
    if len(signals) < FEWEST:
        hint = f"label {FEWEST - len(signals)} more: below that nothing can be told from chance"
        raise BadRequest(f"{len(signals)} labels are too few to learn from", hint)
    rows = np.asarray([numbers(each) for each in signals])
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    scaled = (rows - mean) / spread
    heads = [tuple(_head(scaled, good[:, model]).tolist()) for model in range(good.shape[1])]
    return Combined(tuple(mean.tolist()), tuple(spread.tolist()), tuple(heads), len(signals))


def _head(rows: Floats, good: Floats) -> Floats:
    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = weights[0] + rows @ weights[1:]
        value = float(np.logaddexp(0.0, odds).sum() - good @ odds) + float(weights[1:] @ weights[1:]) / (2 * STRENGTH)
        residual = 1.0 / (1.0 + np.exp(-odds)) - good
        return value, np.concatenate([[residual.sum()], rows.T @ residual + weights[1:] / STRENGTH])

    start = np.zeros(1 + rows.shape[1])
    mean = min(max(float(good.mean()), 1e-3), 1.0 - 1e-3)
    start[0] = log(mean / (1.0 - mean))
    return least(loss, start)
