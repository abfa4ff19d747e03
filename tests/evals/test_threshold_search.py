"""Levels: each is the best stopping rule at its price, never asks what cannot pay, and goes from safe to cheap."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sizewise.evals.threshold_search import search_ladders
from sizewise.routing.guarantees.thresholds import ThresholdLadder
from sizewise.routing.training.trainer import Floats


def worths(least: float = -0.2, count: int = 400) -> list[Floats]:
    """By the prompt, which tells a little; and after the answer, which tells much. Below 0 the large one is worse."""
    chance = np.random.default_rng(1)
    after = chance.uniform(least, 0.8, count)
    return [0.3 * after + 0.7 * chance.uniform(least, 0.8, count), after]


def spent(level: ThresholdLadder, worth: list[Floats], asking: float, price: float) -> float:
    """What is lost in quality, plus `price` times what is paid."""
    total = 0.0
    for before, after in zip(*worth, strict=True):
        first, last = level.stages
        choice = first.action(before)
        if choice == "give":
            total += before
        elif choice == "up":
            total += price
        else:
            total += price * asking + (after if last.action(after) == "give" else price)
    return total


@pytest.mark.parametrize("asking", [0.02, 0.2, 0.6])
def test_no_other_thresholds_are_better_at_the_same_price(asking: float) -> None:
    worth = worths()
    found = search_ladders(worth, [asking])
    assert found
    for level in found[len(found) // 4 :: 8]:
        price = level.stages[-1].give_max
        best = spent(level, worth, asking, price)
        cuts = np.quantile(worth[0], np.linspace(0, 1, 15))
        for give, up in product(cuts, cuts):
            if give <= min(up, price):
                other = ThresholdLadder((type(level.stages[0])(float(give), float(up)), level.stages[1]))
                assert best <= spent(other, worth, asking, price) + 1e-6


def test_who_asks_for_too_much_is_not_asked() -> None:
    worth = worths(0.0)
    for level in search_ladders(worth, [0.95]):
        give, up = level.stages[0].give_max, level.stages[0].escalate_min
        assert np.mean((worth[0] > give) & (worth[0] <= up)) < 0.02


def test_levels_go_from_safe_to_cheap() -> None:
    prices = [level.stages[-1].give_max for level in search_ladders(worths(), [0.1])]
    assert prices == sorted(prices) and len(set(prices)) > 20
