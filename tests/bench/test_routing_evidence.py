"""The bench of careless evidence in small: near copies and declared groups break no promise."""

from __future__ import annotations

import pytest

from bench.routing.evidence import draw, paraphrased, reworded, traffic
from sizewise.evals.calibration import calibrate
from sizewise.routing.guarantees.bounds import QualityGuarantee

FEW = 600  # new questions


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forms_of_one_question_in_both_parts_certify_nothing_that_is_not_so(seed: int) -> None:
    """Before they counted once, .95 was certified on each of these and .8 kept."""
    assert draw(paraphrased(100, seed, forms=5), paraphrased(FEW, -1)).kept is None


def test_forms_of_one_question_cost_little_where_the_words_tell() -> None:
    found = draw(paraphrased(300, 1, forms=3, telling=True), paraphrased(FEW, -1, forms=3, telling=True))
    assert found.kept is not None and not found.is_broken and found.saved > 0.3


def test_a_declared_group_counts_once() -> None:
    assert draw(reworded(90, 1, 4), paraphrased(FEW, -1)).kept is None


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_guarantee_of_requests_holds_for_frequent_questions_too(seed: int) -> None:
    """Of questions, each counted once, nearly all may stay small, and every third request is wrong."""
    found = draw(traffic(500, seed), traffic(FEW, -1), per_request=True)
    assert not found.is_broken


def test_a_guarantee_of_questions_says_that_it_is_none_of_requests() -> None:
    found = calibrate(traffic(600, 1), ("small",), "large", QualityGuarantee(0.9), costs=(0.1, 1.0))
    assert found.best is not None and found.best.quality is not None and found.best.request_quality is not None
    assert found.best.quality > 0.9 > found.best.request_quality
