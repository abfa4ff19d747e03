"""Calibration of a trust: a line over its log-odds, fitted to choices that were not seen; changes no order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sizewise.decisions.head import Doubles

PENALTY = 1.0
"""Of both parameters, which are pulled to "as it is": about one choice's worth."""
LEAST = 1e-4  # a trust is cut to this distance from 0 and 1
MAX_LOG_ODDS = 7.0


@dataclass(frozen=True, slots=True)
class TrustCalibration:
    """`probability = sigmoid(offset + slope * log-odds of the trust)`."""

    offset: float = 0.0
    slope: float = 1.0

    def __call__(self, trust: Doubles) -> Doubles:
        odds = self.offset + self.slope * _log_odds(trust)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -MAX_LOG_ODDS, MAX_LOG_ODDS))), np.float64)


AS_IT_IS = TrustCalibration()


def fit_calibration(trust: Doubles, right: Doubles) -> TrustCalibration:
    """`right`: 1 or 0 for each trust. Newton's method, each step halved until the loss falls."""
    columns = np.stack([np.ones(len(trust)), _log_odds(trust)], axis=1)
    start = np.array([0.0, 1.0])
    weights = start.copy()

    def loss(at: Doubles) -> float:
        odds = columns @ at
        return float((np.logaddexp(0.0, odds) - right * odds).sum() + PENALTY / 2 * ((at - start) ** 2).sum())

    for _ in range(30):
        chance = 1.0 / (1.0 + np.exp(-np.clip(columns @ weights, -30.0, 30.0)))
        slope = columns.T @ (chance - right) + PENALTY * (weights - start)
        curve = (columns * (chance * (1.0 - chance))[:, None]).T @ columns + PENALTY * np.eye(2)
        step = np.linalg.solve(curve, slope)
        while loss(weights - step) > loss(weights) and float(np.abs(step).max()) > 1e-6:
            step = step / 2
        weights = weights - step
        if float(np.abs(step).max()) < 1e-6:
            break
    return TrustCalibration(float(weights[0]), float(weights[1]))


def _log_odds(trust: Doubles) -> Doubles:
    cut = np.clip(trust, LEAST, 1.0 - LEAST)
    return np.asarray(np.log(cut / (1.0 - cut)), np.float64)
