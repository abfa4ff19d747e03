"""What is promised of recorded outcomes is kept, saves what it says, and is refused where it is not so."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.calibration import Calibration, calibrate
from sizewise.evals.outcomes import Outcome, Outcomes, Prompt, gathered
from sizewise.evals.policy_loader import mind
from sizewise.evals.replay import cases, replay
from sizewise.model_card import Card, Endpoint
from sizewise.money import Price
from sizewise.routing.guarantees.bounds import Promise
from sizewise.routing.guarantees.certificate import read, write
from sizewise.routing.policies.certified import Promised
from sizewise.routing.policy import Verdict


def recorded(count: int, *, told: float = 0.95, seed: int = 2, sure: bool = False) -> Outcomes:
    """Two small models that agree where the first is right, told of 1; the large one is right nine times in ten.
    `sure`: with log-probabilities, which tell nothing."""
    chance, prompts, outcomes = Random(seed), list[Prompt](), list[Outcome]()
    for number in range(count):
        id, right = f"p{number}", chance.random() < 0.6
        agrees = right if chance.random() < told else chance.random() < 0.5
        prompts.append(Prompt(id, f"question number {number} of the {chance.choice(['red', 'blue'])} book"))
        confidence = -0.1 - number % 7 / 100 if sure else None
        outcomes.append(Outcome(id, "small", float(right), "A", confidence=confidence, least=confidence))
        outcomes.append(Outcome(id, "other", 0.5, "A" if agrees else "B", confidence=confidence, least=confidence))
        outcomes.append(Outcome(id, "large", float(chance.random() < 0.9), "A"))
    return gathered(prompts, outcomes, "digest")


def calibrated(outcomes: Outcomes, quality: float = 0.95, ratio: float = 0.02, seed: int = 0) -> Calibration:
    return calibrate(outcomes, ("small", "other"), "large", Promise(quality), costs=(ratio, ratio, 1.0), seed=seed)


def test_agreement_makes_a_promise_possible_that_the_prompt_alone_does_not() -> None:
    found = calibrated(recorded(1_200))
    prompt, cascade = found.tried
    assert found.chosen is cascade and cascade.saves > 0.3 > prompt.saves
    assert cascade.quality is not None and cascade.quality > 0.95
    assert 0 <= cascade.served - cascade.saves <= 2 * 0.02 + 1e-9
    assert found.proof is not None and found.proof.origin.data == "digest"
    assert (found.taught, found.proved) == (600, 600)


def test_the_same_input_gives_the_same_promise() -> None:
    one, again = (calibrated(recorded(300), 0.9, seed=4) for _ in range(2))
    assert one == again


def test_where_asking_costs_more_than_it_saves_nothing_is_chosen() -> None:
    dear = calibrated(recorded(1_200), 0.97, ratio=0.6)
    assert all(each.saves < 0.01 for each in dear.tried)


def test_the_curves_go_from_small_to_large_and_nobody_is_above_the_oracle() -> None:
    curves = calibrated(recorded(1_200)).curves
    assert set(curves) == {"oracle", "random", "prompt", "cascade"}
    (_, small), end = curves["random"]
    assert end == (1.0, 1.0) and small < 0.8
    oracle = dict(curves["oracle"])
    assert list(oracle) == sorted(oracle) and max(oracle.values()) > 1.0
    assert max(oracle.values()) >= max(quality for curve in curves.values() for _, quality in curve)


def test_every_promise_of_the_proof_is_cheaper_than_a_stricter_one() -> None:
    proof = calibrated(recorded(1_200)).proof
    assert proof is not None and len(proof.kept) > 2
    saved = [each.saves for each in proof.kept]
    assert saved == sorted(saved, reverse=True)
    stricter = proof.keeping(0.93)
    assert stricter is not None and stricter.quality == 0.95 and proof.keeping(0.999) is None


def test_a_proof_is_read_as_it_was_written_and_a_cut_one_is_refused() -> None:
    proof = calibrated(recorded(600), 0.9).proof
    assert proof is not None and read(write(proof)) == proof
    cut = replace(proof, after=proof.after[:1])
    for wrong in (write(cut), write(proof)[:-9], b"{}", write(replace(proof, format=0))):
        with pytest.raises(BadRequest, match="proof"):
            read(wrong)


def test_a_played_proof_gives_what_it_said() -> None:
    """Replay asks as the live policy does: on the prompts of the calibration it must come to the same figures."""
    known = recorded(1_200)
    found = calibrated(known)
    assert found.proof is not None and found.chosen is not None
    here = Endpoint("recorded", place="process")
    cards = tuple(
        Card(name, here, name, quality=rank, price=Price(input=cost, output=cost))
        for name, rank, cost in (("small", 0.0, 2), ("other", 0.1, 2), ("large", 1.0, 100))
    )
    policy = Promised(found.proof, found.promise)
    its = mind(policy, cards, lambda question, replies: Verdict(None, "no rule"))
    played = replay(policy, cases(known, cards, its.foresight, its.judge), known, cards)
    assert 1.0 - played.gave["large"] == pytest.approx(found.chosen.served, abs=0.06)
    assert found.chosen.quality is not None
    assert played.quality / 0.9 == pytest.approx(found.chosen.quality, abs=0.04)


def test_where_nothing_can_be_promised_it_says_how_many_more_it_takes() -> None:
    found = calibrated(recorded(100), 0.97)
    assert found.chosen is None
    few = [each.needs for each in found.tried if each.needs is not None]
    assert all(needs > found.proved for needs in few)


@pytest.mark.parametrize(("small", "large"), [("smal", "large"), ("small", "lrge")])
def test_a_model_that_nobody_asked_is_refused_with_the_nearest(small: str, large: str) -> None:
    with pytest.raises(BadRequest, match="no model") as refused:
        calibrate(recorded(100), (small,), large, Promise(0.95))
    assert "Did you mean" in refused.value.hint or "known" in refused.value.hint


def test_few_prompts_are_refused() -> None:
    with pytest.raises(BadRequest, match="30 different prompts") as refused:
        calibrate(recorded(30), ("small",), "large", Promise(0.95))
    assert "50 more" in refused.value.hint


def test_the_same_question_again_is_no_more_evidence() -> None:
    known = recorded(300)
    twice = replace(
        known,
        ids=tuple(f"{copy}{id}" for copy in "ab" for id in known.ids),
        prompts=known.prompts * 2,
        categories=known.categories * 2,
        models={
            name: replace(its, **{field: getattr(its, field) * 2 for field in its.__struct_fields__})
            for name, its in known.models.items()
        },
    )
    once, again = calibrated(known, 0.9), calibrated(twice, 0.9)
    assert (once.proved, once.tried) == (again.proved, again.tried)


@pytest.mark.parametrize("models", [("small", "small"), ("small", "large")])
def test_a_model_that_is_named_twice_is_refused(models: tuple[str, str]) -> None:
    with pytest.raises(BadRequest, match="named twice"):
        calibrate(recorded(200), models, "large", Promise(0.95))


def test_a_small_model_as_good_as_the_large_one_answers_alone() -> None:
    known = recorded(600)
    large = known.models["large"]
    even = replace(known, models={"small": replace(large), "large": large})
    found = calibrate(even, ("small",), "large", Promise(0.98), costs=(0.1, 1.0))
    assert found.chosen is not None and found.chosen.saves == pytest.approx(0.9)
