"""What is promised of recorded outcomes is kept, saves what it says, and is refused where it is not so."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.calibration import Calibration, calibrate
from sizewise.evals.outcomes import OutcomeDataset, RecordedOutcome, RecordedPrompt, build_dataset
from sizewise.evals.policy_loader import certificate_models
from sizewise.evals.replay import replay, replay_cases
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.money import Price
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.certificate import decode_certificate, encode_certificate
from sizewise.routing.policies.certified import CertifiedPolicy
from sizewise.routing.policy import Verdict


def recorded(count: int, *, told: float = 0.95, seed: int = 2, sure: bool = False) -> OutcomeDataset:
    """Two small models that agree where the first is right, told of 1; the large one is right nine times in ten.
    `sure`: with log-probabilities, which tell nothing.
    """
    chance, prompts, outcomes = Random(seed), list[RecordedPrompt](), list[RecordedOutcome]()
    for number in range(count):
        id, right = f"p{number}", chance.random() < 0.6
        agrees = right if chance.random() < told else chance.random() < 0.5
        prompts.append(RecordedPrompt(id, f"question number {number} of the {chance.choice(['red', 'blue'])} book"))
        confidence = -0.1 - number % 7 / 100 if sure else None
        outcomes.append(RecordedOutcome(id, "small", float(right), "A", confidence=confidence, least=confidence))
        outcomes.append(
            RecordedOutcome(id, "other", 0.5, "A" if agrees else "B", confidence=confidence, least=confidence),
        )
        outcomes.append(RecordedOutcome(id, "large", float(chance.random() < 0.9), "A"))
    return build_dataset(prompts, outcomes, "digest")


def calibrated(outcomes: OutcomeDataset, quality: float = 0.95, ratio: float = 0.02) -> Calibration:
    return calibrate(
        outcomes,
        ("small", "other"),
        "large",
        QualityGuarantee(quality),
        costs=(ratio, ratio, 1.0),
    )


def test_agreement_makes_a_promise_possible_that_the_prompt_alone_does_not() -> None:
    found = calibrated(recorded(1_200))
    prompt, cascade = found.policies
    assert found.best is cascade and cascade.savings > 0.3 > prompt.savings
    assert cascade.quality is not None and cascade.quality > 0.95
    assert 0 <= cascade.small_share - cascade.savings <= 2 * 0.02 + 1e-9
    assert found.certificate is not None and found.certificate.provenance.dataset_digest == "digest"
    assert (found.training_prompts, found.certification_prompts) == (300, 900)


def test_the_same_input_gives_the_same_promise() -> None:
    one, again = (calibrated(recorded(300), 0.9) for _ in range(2))
    assert one == again


def test_the_order_and_the_names_of_the_rows_change_nothing() -> None:
    """Else they would be as good as a seed: tried until a split suits."""
    known = recorded(300)
    order = Random(1).sample(range(300), 300)
    columns = {
        name: replace(its, **{field: [getattr(its, field)[row] for row in order] for field in its.__struct_fields__})
        for name, its in known.columns.items()
    }
    mixed = replace(
        known, ids=known.ids, prompts=tuple(known.prompts[row] for row in order), columns=columns, digest="other"
    )
    one, again = calibrated(known, 0.9), calibrated(mixed, 0.9)
    assert (one.policies, one.curves, one.large_score) == (again.policies, again.curves, again.large_score)


def test_where_asking_costs_more_than_it_saves_nothing_is_chosen() -> None:
    prompt, cascade = calibrated(recorded(1_200), 0.97, ratio=0.6).policies
    assert cascade.savings == 0.0 < cascade.small_share
    assert prompt.savings < 0.05, "it asks nobody first"


def test_the_curves_go_from_small_to_large_and_nobody_is_above_the_oracle() -> None:
    curves = calibrated(recorded(1_200)).curves
    assert set(curves) == {"oracle", "random", "prompt", "cascade"}
    (_, small), end = curves["random"]
    assert end == (1.0, 1.0) and small < 0.8
    oracle = dict(curves["oracle"])
    assert list(oracle) == sorted(oracle) and max(oracle.values()) > 1.0
    assert max(oracle.values()) >= max(quality for curve in curves.values() for _, quality in curve)


@pytest.mark.long
def test_every_promise_of_the_proof_is_cheaper_than_a_stricter_one() -> None:
    proof = calibrated(recorded(1_200)).certificate
    assert proof is not None and len(proof.guarantees) > 2
    saved = [each.savings for each in proof.guarantees]
    assert saved == sorted(saved, reverse=True)
    stricter = proof.guarantee_for(0.93)
    assert stricter is not None and stricter.quality == 0.95 and proof.guarantee_for(0.999) is None


def test_a_proof_is_read_as_it_was_written_and_a_cut_one_is_refused() -> None:
    proof = calibrated(recorded(600), 0.9).certificate
    assert proof is not None and decode_certificate(encode_certificate(proof)) == proof
    cut = replace(proof, combiners=proof.combiners[:1])
    for wrong in (
        encode_certificate(cut),
        encode_certificate(proof)[:-9],
        b"{}",
        encode_certificate(replace(proof, format=0)),
    ):
        with pytest.raises(BadRequest, match="certificate"):
            decode_certificate(wrong)


@pytest.mark.long
def test_a_played_proof_gives_what_it_said() -> None:
    """Replay asks as the live policy does: on the prompts of the calibration it must come to the same figures."""
    known = recorded(1_200)
    found = calibrated(known)
    assert found.certificate is not None and found.best is not None
    here = ModelEndpoint("recorded", place="process")
    cards = tuple(
        ModelCard(name, here, name, quality=rank, price=Price(input=cost, output=cost))
        for name, rank, cost in (("small", 0.0, 2), ("other", 0.1, 2), ("large", 1.0, 100))
    )
    policy = CertifiedPolicy(found.certificate, found.guarantee)
    its = certificate_models(policy, cards, lambda question, replies: Verdict(None, "no rule"))
    played = replay(policy, replay_cases(known, cards, its.prediction, its.judge), known, cards)
    assert 1.0 - played.answer_shares["large"] == pytest.approx(found.best.small_share, abs=0.06)
    assert found.best.quality is not None
    assert played.quality / 0.9 == pytest.approx(found.best.quality, abs=0.04)


def test_where_nothing_can_be_promised_it_says_how_many_more_it_takes() -> None:
    found = calibrated(recorded(100), 0.97)
    assert found.best is None
    few = [each.samples_needed for each in found.policies if each.samples_needed is not None]
    assert few and all(needs > found.training_prompts + found.certification_prompts for needs in few)


@pytest.mark.parametrize(("small", "large"), [("smal", "large"), ("small", "lrge")])
def test_a_model_that_nobody_asked_is_refused_with_the_nearest(small: str, large: str) -> None:
    with pytest.raises(BadRequest, match="no outcomes of the model") as refused:
        calibrate(recorded(100), (small,), large, QualityGuarantee(0.95))
    assert "Did you mean" in refused.value.hint or "known" in refused.value.hint


def test_few_prompts_are_refused() -> None:
    with pytest.raises(BadRequest, match="30 different prompts") as refused:
        calibrate(recorded(30), ("small",), "large", QualityGuarantee(0.95))
    assert "50 more" in refused.value.hint


def test_the_same_question_again_is_no_more_evidence() -> None:
    known = recorded(300)
    twice = replace(
        known,
        ids=tuple(f"{copy}{id}" for copy in "ab" for id in known.ids),
        prompts=known.prompts * 2,
        categories=known.categories * 2,
        columns={
            name: replace(its, **{field: getattr(its, field) * 2 for field in its.__struct_fields__})
            for name, its in known.columns.items()
        },
    )
    once, again = calibrated(known, 0.9), calibrated(twice, 0.9)
    assert (once.certification_prompts, once.policies) == (again.certification_prompts, again.policies)


@pytest.mark.parametrize("models", [("small", "small"), ("small", "large")])
def test_a_model_that_is_named_twice_is_refused(models: tuple[str, str]) -> None:
    with pytest.raises(BadRequest, match="given twice"):
        calibrate(recorded(200), models, "large", QualityGuarantee(0.95))


def test_a_small_model_as_good_as_the_large_one_answers_alone() -> None:
    known = recorded(600)
    large = known.columns["large"]
    even = replace(known, columns={"small": replace(large), "large": large})
    found = calibrate(even, ("small",), "large", QualityGuarantee(0.98), costs=(0.1, 1.0))
    assert found.best is not None and found.best.savings == pytest.approx(0.9)
