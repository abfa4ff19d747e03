"""Threshold search: the optimal stopping thresholds for a range of quality prices. Needs numpy.

For a price t (the predicted quality that one large answer must gain), the stages are solved backwards as an optimal
stopping problem on the training prompts: the pair of thresholds that minimizes predicted loss plus t times cost, where
a large answer costs 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sizewise.routing.guarantees.thresholds import ALWAYS, NEVER, StageThresholds, ThresholdLadder
from sizewise.routing.training.trainer import Floats

LADDER_COUNT = 40


def search_ladders(escalation_gain: Sequence[Floats], small_costs: Sequence[float]) -> list[ThresholdLadder]:
    """Ladders, safest first. `escalation_gain`: by stage, of the same prompts. `small_costs`: of calling the next small
    model, at each stage but the last.
    """
    prices = np.unique(np.quantile(escalation_gain[-1], np.linspace(0.0, 1.0, LADDER_COUNT)))
    found = [_ladder(escalation_gain, small_costs, float(price)) for price in prices]
    return list(dict.fromkeys(found))


def _ladder(escalation_gain: Sequence[Floats], small_costs: Sequence[float], price: float) -> ThresholdLadder:
    stages = [StageThresholds(price, price)]
    paid = max(price, 0.0)  # for a large answer, in quality
    value = np.minimum(escalation_gain[-1], paid)
    for now, cost in zip(reversed(escalation_gain[:-1]), reversed(small_costs), strict=True):
        stage = _stage(now, value + paid * cost, price, paid)
        value = np.where(now <= stage.give_max, now, np.where(now > stage.escalate_min, paid, value + paid * cost))
        stages.append(stage)
    return ThresholdLadder(tuple(reversed(stages)))


def _stage(now: Floats, ahead: Floats, price: float, paid: float) -> StageThresholds:
    """Two thresholds on prompts ranked by gain: give the answer up to the first, escalate above the second."""
    order = np.argsort(now, kind="stable")
    ranked = now[order]
    given = np.concatenate([[0.0], np.cumsum(ranked - ahead[order])])  # relative to calling the next model for all
    upward = np.concatenate([np.cumsum((paid - ahead[order])[::-1])[::-1], [0.0]])
    given[1:][ranked > price] = np.inf  # never give an answer if escalating gains more than the price
    lowest = np.minimum.accumulate(given)
    last = int(np.argmin(lowest + upward))
    first = int(np.argmin(given[: last + 1]))
    give = NEVER if first == 0 else float(ranked[first - 1])
    up = ALWAYS if last == len(ranked) else float(ranked[last - 1]) if last else NEVER
    return StageThresholds(give, max(give, up))
