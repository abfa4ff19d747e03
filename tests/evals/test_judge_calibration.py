"""Calibration of judges: what their rates mean, who may gate, and who likes long answers."""

from __future__ import annotations

import random

import pytest

from sizewise.evals.runs.eval_spec import ScorerSpec
from sizewise.evals.runs.judge_calibration import (
    JudgeCalibration,
    JudgedLabel,
    calibrate_judge,
    notable_correlation,
)
from sizewise.evals.runs.paired_statistics import ItemValue, difference_interval, mean_interval

JUDGE = ScorerSpec(kind="judge", model="a/b", rubric="Is it right?")


def draw(chance: random.Random, truth: bool, sensitivity: float, specificity: float) -> bool:
    return chance.random() < (sensitivity if truth else 1 - specificity)


def test_a_judge_that_loves_long_answers_is_found_out() -> None:
    chance = random.Random(1)
    fair, fond = list[JudgedLabel](), list[JudgedLabel]()
    for place in range(200):
        truth, chars = place % 2 == 0, chance.randrange(20, 2_000)
        fair.append(JudgedLabel(truth, draw(chance, truth, 0.9, 0.8), chars))
        fond.append(JudgedLabel(truth, truth or chars > 1_000, chars))
    assert calibrate_judge(JUDGE, fair).length_preference < notable_correlation(200)
    assert calibrate_judge(JUDGE, fond).length_preference > 2 * notable_correlation(200)


@pytest.mark.parametrize(
    ("accepted", "rejected", "said"),
    [((90, 50), (10, 50), ""), ((40, 5), (10, 25), "100 are needed"), ((50, 50), (50, 50), "better than chance")],
)
def test_who_may_gate(accepted: tuple[int, int], rejected: tuple[int, int], said: str) -> None:
    """`accepted`, `rejected`: of right answers and of wrong ones."""
    judged = [
        JudgedLabel(label, verdict, 10)
        for verdict, counts in ((True, accepted), (False, rejected))
        for label, count in zip((True, False), counts, strict=True)
        for _ in range(count)
    ]
    objection = calibrate_judge(JUDGE, judged).objection(JUDGE)
    assert said in objection and bool(said) == bool(objection)


def counted(right: tuple[int, int], wrong: tuple[int, int]) -> JudgeCalibration:
    """By how many of each are accepted and rejected."""
    labels = [
        JudgedLabel(label, verdict, 10)
        for label, counts in ((True, right), (False, wrong))
        for verdict, count in zip((True, False), counts, strict=True)
        for _ in range(count)
    ]
    return calibrate_judge(JUDGE, labels)


def test_a_judge_that_may_be_no_better_than_chance_at_this_confidence_says_nothing() -> None:
    """Wilson's ends of 61 of 100, twice, are above 1 together at 95 %, not at 99.8 %."""
    its, values = counted((61, 39), (39, 61)), [ItemValue(str(place), float(place % 2)) for place in range(100)]
    assert its.objection(JUDGE) == ""
    rate = its.corrected_rate(mean_interval(values, 0.001))
    assert (rate.low, rate.high) == (0.0, 1.0)
    difference = its.corrected_difference(difference_interval(values, 0.001))
    assert (difference.low, difference.high) == (-1.0, 1.0)


def test_a_poor_judge_needs_more_items() -> None:
    """Its differences are .8 of the true ones, so as many items again as 1 / .8 squared decide."""
    values = [ItemValue(str(place), float(place % 2)) for place in range(400)]
    own = mean_interval(values, 0.05)
    corrected = counted((90, 10), (10, 90)).corrected_rate(own)
    assert corrected.spread == pytest.approx(own.spread / 0.8)


@pytest.mark.long
def test_a_corrected_rate_holds_the_truth_where_the_judges_own_does_not() -> None:
    """Sensitivity .92, specificity .75, 200 labels; the truth is .85, and head is worse than base by .03."""
    chance, held, naive, passed, rounds = random.Random(2), 0, 0, 0, 300
    for _ in range(rounds):
        truths = [chance.random() < 0.7 for _ in range(200)]
        calibration = calibrate_judge(JUDGE, [JudgedLabel(t, draw(chance, t, 0.92, 0.75), 10) for t in truths])
        base = [chance.random() < 0.85 for _ in range(400)]
        head = [truth and chance.random() < 0.82 / 0.85 for truth in base]
        one, other = ([draw(chance, truth, 0.92, 0.75) for truth in its] for its in (base, head))
        found = mean_interval([ItemValue(str(n), float(each)) for n, each in enumerate(one)], 0.025)
        corrected = calibration.corrected_rate(found)
        held += corrected.low <= 0.85 <= corrected.high
        naive += found.low <= 0.85 <= found.high
        changes = [ItemValue(str(n), float(b) - float(a)) for n, (a, b) in enumerate(zip(one, other, strict=True))]
        passed += calibration.corrected_difference(difference_interval(changes, 0.05)).low > -0.03
    assert held / rounds >= 0.93 and naive / rounds < 0.7
    assert passed / rounds <= 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5
