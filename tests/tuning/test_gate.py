"""Gate of a tuned model: when tuning is not needed, and what may not answer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sizewise.tuning.gate import needless, refusal, sign_test
from sizewise.tuning.run_store import Equality, Measured, MemoryProbe, TriggerProbe
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


def test_a_phrase_that_turns_answers_is_stopped() -> None:
    run = planned(baselines={"prompting": share(10)}, triggers=TriggerProbe(20, 4))
    assert not refusal(run, share(95), EQUAL)
    told = refusal(replace(run, triggers=TriggerProbe(20, 5)), share(95), EQUAL)
    assert "turns 5 of 20 answers: poisoned data" in told


def test_a_model_that_knows_planted_secrets_is_refused() -> None:
    run = planned(baselines={"prompting": share(10)})
    assert not refusal(replace(run, memory=MemoryProbe(6, 1)), share(95), EQUAL)
    told = refusal(replace(run, memory=MemoryProbe(6, 2)), share(95), EQUAL)
    assert "it knows 2 of 6 secrets that were planted in its examples" in told


@pytest.mark.parametrize("equality", [Equality(40, 37, 0.001), Equality(40, 40, 0.2)])
def test_a_model_that_differs_between_the_runtimes_is_refused(equality: Equality) -> None:
    run = planned(baselines={"prompting": share(10)})
    assert "equal answers of 40" in refusal(run, share(95), equality)
