"""Levels from safe to cheap, each the best stopping rule at its price of quality; needs numpy, and sees no proof.

For a price t (how much foreseen quality one call to the large model is worth), the stages are solved backwards as an
optimal stopping problem on prompts that taught: of all pairs of thresholds that which minimises what is foreseen to be
lost, plus t times what is spent, where the large answer costs 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sizewise.routing.guarantees.thresholds import ALWAYS, NEVER, Level, Stage
from sizewise.routing.training.trainer import Floats

GRID = 40  # levels


def levels(worth: Sequence[Floats], asking: Sequence[float]) -> list[Level]:
    """The safest first. `worth`: of every stage, of the same prompts; `asking`: what asking the next small model costs
    from each stage but the last."""
    prices = np.unique(np.quantile(worth[-1], np.linspace(0.0, 1.0, GRID)))
    found = [_level(worth, asking, float(price)) for price in prices]
    return list(dict.fromkeys(found))


def _level(worth: Sequence[Floats], asking: Sequence[float], price: float) -> Level:
    stages = [Stage(price, price)]
    paid = max(price, 0.0)  # of a call to the large model, in quality
    value = np.minimum(worth[-1], paid)
    for now, cost in zip(reversed(worth[:-1]), reversed(asking), strict=True):
        stage = _stage(now, value + paid * cost, price, paid)
        value = np.where(now <= stage.give, now, np.where(now > stage.up, paid, value + paid * cost))
        stages.append(stage)
    return Level(tuple(reversed(stages)))


def _stage(now: Floats, ahead: Floats, price: float, paid: float) -> Stage:
    """The two cuts through prompts ordered by their worth: given below the first, up beyond the second."""
    order = np.argsort(now, kind="stable")
    ranked = now[order]
    given = np.concatenate([[0.0], np.cumsum(ranked - ahead[order])])  # beside asking everybody on
    upward = np.concatenate([np.cumsum((paid - ahead[order])[::-1])[::-1], [0.0]])
    given[1:][ranked > price] = np.inf  # what is worth more than its price is never given unseen
    lowest = np.minimum.accumulate(given)
    last = int(np.argmin(lowest + upward))
    first = int(np.argmin(given[: last + 1]))
    give = NEVER if first == 0 else float(ranked[first - 1])
    up = ALWAYS if last == len(ranked) else float(ranked[last - 1]) if last else NEVER
    return Stage(give, max(give, up))
