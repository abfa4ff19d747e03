"""What is promised of recorded outcomes is kept, saves what it says, and is refused where it is not so."""

from __future__ import annotations

from random import Random

import pytest

from sizewise.errors import BadRequest
from sizewise.evals.calibrate import calibrate
from sizewise.evals.outcomes import Outcome, Outcomes, Prompt, gathered
from sizewise.routing.promise import Promise


def recorded(count: int, *, told: float = 0.95, seed: int = 2) -> Outcomes:
    """Two small models that agree where the first is right, told of 1; the large one is right nine times in ten."""
    chance, prompts, outcomes = Random(seed), list[Prompt](), list[Outcome]()
    for number in range(count):
        id, right = f"p{number}", chance.random() < 0.6
        agrees = right if chance.random() < told else chance.random() < 0.5
        prompts.append(
            Prompt(id, f"question number {chance.randrange(40)} of the {chance.choice(['red', 'blue'])} book")
        )
        outcomes.append(Outcome(id, "small", float(right), "A"))
        outcomes.append(Outcome(id, "other", 0.5, "A" if agrees else "B"))
        outcomes.append(Outcome(id, "large", float(chance.random() < 0.9), "A"))
    return gathered(prompts, outcomes, "digest")


def test_agreement_makes_a_promise_possible_that_the_prompt_alone_does_not() -> None:
    found = calibrate(recorded(1_200), "small", "large", Promise(0.95), second="other", ratio=0.02)
    prompt, cascade = found.tried
    assert found.chosen is cascade and cascade.saves > 0.3 > prompt.saves
    assert cascade.quality is not None and cascade.quality > 0.95
    assert cascade.saves == pytest.approx(cascade.served - 2 * 0.02)
    assert (found.taught, found.proved, found.digest) == (600, 600, "digest")


def test_the_same_input_gives_the_same_promise() -> None:
    outcomes = recorded(300)
    one, again = (calibrate(outcomes, "small", "large", Promise(0.9), second="other", seed=4) for _ in range(2))
    assert one == again


def test_a_cascade_that_costs_more_than_it_saves_is_not_chosen() -> None:
    found = calibrate(recorded(1_200), "small", "large", Promise(0.95), second="other", ratio=0.45)
    assert found.tried[1].served > 0.3 and found.tried[1].saves == 0.0


def test_where_nothing_can_be_promised_it_says_how_many_more_it_takes() -> None:
    found = calibrate(recorded(100), "small", "large", Promise(0.97), second="other")
    assert found.chosen is None and all(each.quality is None or not each.saves for each in found.tried)
    few = [each.needs for each in found.tried if each.needs is not None]
    assert all(needs > found.proved for needs in few)


@pytest.mark.parametrize(("small", "large"), [("smal", "large"), ("small", "lrge")])
def test_a_model_that_nobody_asked_is_refused_with_the_nearest(small: str, large: str) -> None:
    with pytest.raises(BadRequest, match="no model") as refused:
        calibrate(recorded(100), small, large, Promise(0.95))
    assert "Did you mean" in refused.value.hint or "known" in refused.value.hint


def test_few_prompts_are_refused() -> None:
    with pytest.raises(BadRequest, match="30 prompts") as refused:
        calibrate(recorded(30), "small", "large", Promise(0.95))
    assert "50 more" in refused.value.hint
