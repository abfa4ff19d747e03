"""Signals together: each that tells is used, what was not measured counts for nothing, and few labels are refused."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from sizewise.errors import BadRequest
from sizewise.routing.quality.answer_signals import AnswerSignals, CascadeSignals, feature_vector
from sizewise.routing.training.combiner import train_combiner
from sizewise.routing.training.trainer import Floats


def two(agrees: bool | None, confidence: float | None = -0.1, tokens: int = 9) -> CascadeSignals:
    return CascadeSignals(
        (AnswerSignals(mean_logprob=confidence, tokens=tokens), AnswerSignals()),
        answers_agree=agrees,
    )


def drawn(count: int, seed: int = 5) -> tuple[list[CascadeSignals], Floats]:
    """The small answer is good where two agree, nine times in ten; else once in five. The second is good where the
    first is not and they differ, the large one always.
    """
    chance, signals, good = Random(seed), list[CascadeSignals](), list[list[float]]()
    for _ in range(count):
        agrees = chance.random() < 0.5
        first = chance.random() < (0.9 if agrees else 0.2)
        signals.append(two(agrees, -0.1 if first else -1.0, chance.randrange(50)))
        good.append([first, first if agrees else not first, 1.0])
    return signals, np.asarray(good, float)


def test_what_tells_is_used_and_what_does_not_is_not() -> None:
    learnt = train_combiner(*drawn(300))
    assert learnt.escalation_gain(two(True))[0] < 0.1 < 0.2 < learnt.escalation_gain(two(False, -0.5))[0]
    assert learnt.escalation_gain(two(True, None))[0] < learnt.escalation_gain(two(False, None))[0]
    few, many = (learnt.escalation_gain(two(True, tokens=tokens))[0] for tokens in (5, 45))
    assert few == pytest.approx(many, abs=0.1)


def test_of_two_answers_the_better_one_is_known() -> None:
    learnt = train_combiner(*drawn(300))
    assert learnt.escalation_gain(two(False, -1.0))[1] == 1 and learnt.escalation_gain(two(True, -0.1))[1] == 0


def test_what_was_not_measured_counts_for_nothing() -> None:
    assert not any(feature_vector(CascadeSignals((AnswerSignals(),)))) and not any(
        feature_vector(CascadeSignals((AnswerSignals(), AnswerSignals()))),
    )


def test_few_labels_are_refused() -> None:
    with pytest.raises(BadRequest, match="10 labels are too few"):
        train_combiner(*drawn(10))
