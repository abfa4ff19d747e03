"""Signals together: each that tells is used, what was not measured counts for nothing, and few labels are refused."""

from __future__ import annotations

from random import Random

import pytest

from sizewise.errors import BadRequest
from sizewise.routing.combine import combine
from sizewise.routing.signals import NAMES, Signals, numbers


def drawn(count: int, seed: int = 5) -> tuple[list[Signals], list[float], list[float]]:
    """The small answer is good where two agree, nine times in ten; else once in five. The large one always is."""
    chance, signals, small = Random(seed), list[Signals](), list[float]()
    for _ in range(count):
        agrees = chance.random() < 0.5
        good = chance.random() < (0.9 if agrees else 0.2)
        signals.append(Signals(agrees=agrees, confidence=-0.1 if good else -1.0, tokens=chance.randrange(50)))
        small.append(float(good))
    return signals, small, [1.0] * count


def test_what_tells_is_used_and_what_does_not_is_not() -> None:
    learnt = combine(*drawn(300))
    sure, unsure = Signals(agrees=True, confidence=-0.1), Signals(agrees=False, confidence=-1.0)
    assert learnt.gain(sure) < 0.1 < 0.6 < learnt.gain(unsure)
    assert learnt.gain(Signals(agrees=True)) < learnt.gain(Signals(agrees=False))
    assert learnt.gain(Signals(agrees=True, tokens=5)) == pytest.approx(
        learnt.gain(Signals(agrees=True, tokens=45)), abs=0.1
    )


def test_the_numbers_have_names() -> None:
    assert len(numbers(Signals())) == len(NAMES) and set(numbers(Signals())) == {0.0}


def test_few_labels_are_refused() -> None:
    signals, small, large = drawn(10)
    with pytest.raises(BadRequest, match="10 labels are too few"):
        combine(signals, small, large)
