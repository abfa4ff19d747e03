"""Cohen's kappa of two people: the value of the textbook, its interval, and how often that holds the truth."""

from __future__ import annotations

from random import Random

import pytest

from sizewise.evals.annotation.agreement import cohen_kappa, kappa_interval, score_agreement
from sizewise.evals.scores.tables import ScoreRow

RIGHT, WRONG = (0.9, 0.2)
"""Chance of the word `yes` for a right and for a wrong answer."""


def label(author: str, word: str, *, blind: bool = True) -> ScoreRow:
    return ScoreRow(
        tenant="t",
        project="p",
        kind="item",
        target="x",
        name="resolved",
        source="person",
        author=author,
        value=float(word == "yes"),
        label=word,
        scorer="q@1",
        weight=1.0,
        created=0,
        blind=blind,
    )


def test_kappa_is_agreement_beyond_chance() -> None:
    assert cohen_kappa([[20, 5], [10, 15]]) == pytest.approx(0.4)
    assert cohen_kappa([[25, 0], [0, 25]]) == 1 and cohen_kappa([[0, 25], [25, 0]]) == -1
    assert cohen_kappa([]) is None and cohen_kappa([[9]]) is None, "one word says nothing"
    assert kappa_interval([[20, 5], [10, 15]]) == pytest.approx((0.13, 0.63), abs=0.02)
    low, high = kappa_interval([[25, 0], [0, 25]])
    assert 0.7 < low < 0.95 and high == 1, "fifty pairs do not show that they always agree"


def test_two_blind_labels_of_an_item_are_a_pair_and_other_labels_are_none() -> None:
    yes, no = label("ann", "yes"), label("bob", "no")
    found = score_agreement(
        "resolved",
        [
            [yes, label("bob", "yes")],
            [no, yes],
            [yes],
            [yes, label("bob", "yes", blind=False)],
            [label("bob", "no"), label("ann", "no"), label("cas", "yes")],
        ],
    )
    assert (found.items, found.agreed) == (3, 2)
    assert found.kappa == pytest.approx(0.4) and found.low is not None and found.low < 0 < 0.9 < (found.high or 0)


@pytest.mark.parametrize(("right", "pairs"), [(0.5, 30), (0.9, 60)])
def test_the_interval_holds_the_truth_as_often_as_it_says(right: float, pairs: int) -> None:
    cells = [
        [right * one(RIGHT, a) * one(RIGHT, b) + (1 - right) * one(WRONG, a) * one(WRONG, b) for b in (0, 1)]
        for a in (0, 1)
    ]
    truth, chance, held = cohen_kappa(cells), Random(7), 0
    assert truth is not None
    for _ in range(1_000):
        counts = [[0.0, 0.0], [0.0, 0.0]]
        for cell in chance.choices((0, 1, 2, 3), [*cells[0], *cells[1]], k=pairs):
            counts[cell // 2][cell % 2] += 1
        low, high = kappa_interval(counts)
        held += low <= truth <= high
    assert held >= 925


def one(yes: float, word: int) -> float:
    return yes if word else 1 - yes
