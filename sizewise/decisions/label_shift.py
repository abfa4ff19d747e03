"""Test of a ladder's error on inputs as they came, and where one of the answers comes more often than it did. Pure.

An input is wrong if a rung answers something else than the reference. Let `a` be the share of wrong ones among inputs
with one answer, and `b` that among all others. In a mix with the share s of that answer the error is s a + (1 - s) b.
Each mix is refuted by itself with error probability at most `error`; all of them together hold with the same error,
since the claim is false only if one that is true was refuted (intersection-union: Berger 1982).
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log, log1p

import numpy as np

from sizewise.decisions.certificate import SHIFT_FACTOR, SHIFT_SHARE
from sizewise.decisions.head import Doubles, Integers
from sizewise.routing.guarantees.bounds import Losses, RiskTest

HALF = 0.5
"""Of an answer, on top of those that came: the mean share is nearer to that than to what came (Jeffreys' prior)."""
CELLS = 100
"""Of the unknown `a`: the chance in a cell is bounded by its ends, so fewer cells only refuse more."""


def shift_test(answers: Integers, option_count: int) -> RiskTest:
    """`answers`: the reference's, of the inputs of the losses, which are each -eps (agrees, or goes up) or 1 - eps."""
    count = len(answers)
    each, places, seen = np.unique(answers, return_inverse=True, return_counts=True)
    chance = lru_cache(None)(mix_chance)  # most thresholds have as many wrong inputs as the one before

    def test(losses: Losses, max_loss: float, error: float) -> bool:
        allowed = 1.0 - max_loss
        is_wrong = np.asarray(losses) > 0
        wrong = int(is_wrong.sum())
        if not count or binomial_tail(wrong, count, allowed) > error:
            return False
        mine = np.bincount(places, weights=is_wrong, minlength=len(each)).astype(int)
        cases = {(int(had), int(lost)) for had, lost in zip(seen, mine, strict=True)}
        if len(each) < option_count:
            cases.add((0, 0))  # an answer that never came may come too
        return all(chance(had, lost, count, wrong, allowed) <= error for had, lost in sorted(cases))

    return test


def mix_chance(seen: int, mine: int, count: int, wrong: int, allowed: float) -> float:
    """Upper bound of the chance to see so few wrong if, with the answer at its largest share, more than `allowed` were.
    `mine` of the `seen` inputs with the answer were wrong, and `wrong` of all `count`.
    """
    share = min(SHIFT_SHARE, SHIFT_FACTOR * (seen + HALF) / (count + HALF))
    others, lost = count - seen, wrong - mine
    if seen >= share * count or not others:
        return 0.0  # no more often than it came
    ends = np.linspace(0.0, min(1.0, allowed / share), CELLS + 1)
    rest = np.clip((allowed - share * ends[1:]) / (1.0 - share), 0.0, 1.0)
    weight, other_weight = (share / seen if seen else 0.0), (1.0 - share) / others
    score = weight * mine + other_weight * lost
    left = np.floor((score - weight * np.arange(seen + 1) + 1e-12) / other_weight).astype(int)
    if seen == 0:  # nothing is known of it: all of it may be wrong
        return 1.0 if share >= allowed else binomial_tail(lost, others, (allowed - share) / (1.0 - share))
    tails = np.cumsum(_chances(others, min(others, int(left.max())), rest), axis=1)
    reached = tails[:, np.clip(left, 0, tails.shape[1] - 1)] * (left >= 0)
    return float(np.max(np.sum(_chances(seen, seen, ends[:-1]) * reached, axis=1)))


def _chances(count: int, most: int, chances: Doubles) -> Doubles:
    """Of 0 to `most` hits in `count` draws, a row for each chance of a hit."""
    hits = np.arange(most + 1)
    ways = np.array([lgamma(count + 1) - lgamma(each + 1) - lgamma(count - each + 1) for each in range(most + 1)])
    cut = np.clip(chances, 1e-300, 1.0 - 1e-15)[:, None]
    return np.asarray(np.exp(ways + hits * np.log(cut) + (count - hits) * np.log1p(-cut)), np.float64)


def binomial_tail(most: int, count: int, chance: float) -> float:
    """Probability of at most `most` hits in `count` draws."""
    whole = lgamma(count + 1)
    return sum(
        exp(whole - lgamma(hits + 1) - lgamma(count - hits + 1) + hits * log(chance) + (count - hits) * log1p(-chance))
        for hits in range(most + 1)
    )
