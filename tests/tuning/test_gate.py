"""Gate of a tuned model: when tuning is not needed, and what may not answer."""

from __future__ import annotations

import pytest

from sizewise.tuning.gate import needless, refusal, sign_test
from sizewise.tuning.run_store import Equality, Measured
from tests.tuning.runs import planned

EQUAL = Equality(40, 40, 0.002)


def share(right: int, total: int = 100) -> Measured:
    return Measured((True,) * right + (False,) * (total - right))


@pytest.mark.parametrize(("gained", "lost", "chance"), [(5, 0, 1 / 32), (0, 0, 1.0), (3, 3, 42 / 64), (0, 4, 1.0)])
def test_the_sign_test_is_exact(gained: int, lost: int, chance: float) -> None:
    assert sign_test(gained, lost) == pytest.approx(chance)


def test_a_baseline_that_is_good_enough_is_named() -> None:
    assert needless(planned(baselines={"prompting": share(20), "head": share(96)})) == "head"
    assert needless(planned(baselines={"prompting": share(97), "head": share(80)})) == "prompting"
    assert needless(planned(baselines={"prompting": share(94)})) == ""


def test_a_model_that_is_not_better_than_its_base_is_refused() -> None:
    run = planned(baselines={"prompting": share(50)})
    assert not refusal(run, share(60), EQUAL)
    assert "4 answers were gained and 0 lost" in refusal(run, share(54), EQUAL)
    assert "0 answers were gained and 10 lost" in refusal(run, share(40), EQUAL)


def test_a_model_that_is_no_better_than_a_head_is_refused() -> None:
    run = planned(baselines={"prompting": share(7), "head": share(73)})
    assert "better than a head on vectors: 0 answers were gained and 2 lost" in refusal(run, share(71), EQUAL)
    assert not refusal(run, share(80), EQUAL)


@pytest.mark.parametrize("equality", [Equality(40, 37, 0.001), Equality(40, 40, 0.2)])
def test_a_model_that_differs_between_the_runtimes_is_refused(equality: Equality) -> None:
    run = planned(baselines={"prompting": share(10)})
    assert "equal answers of 40" in refusal(run, share(95), equality)
