"""What sampled pairs certify: never more than they show, and a cascade that keeps to it, says so and goes up else."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from sizewise.errors import ConfigError
from sizewise.handler import RequestOptions
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.certificate import decode_certificate, encode_certificate
from sizewise.routing.guarantees.sampled_certificate import (
    CertifiedThreshold,
    SampledCertificate,
    SampledPair,
    certify_samples,
)
from sizewise.routing.policies.cascade import CascadePolicy
from tests.routing.router_harness import Routing, chat

BOTH = ("echo/small", "echo/large")
PROOF = SampledCertificate(
    "echo/small",
    "echo/large",
    0.95,
    (CertifiedThreshold(0.9, 0.6, 0.97, 0.5),),
    "a/judge",
    300,
    0,
    "2026-11-25",
)


def drawn(count: int, seed: int = 1) -> list[SampledPair]:
    """The less an answer is trusted, the more often it is worse: of those trusted with t, 1 - t are."""
    chance, held = Random(seed), list[SampledPair]()
    for _ in range(count):
        trust = chance.random()
        held.append(SampledPair(trust, float(chance.random() > trust)))
    return held


def test_more_pairs_promise_more_and_what_is_promised_is_true() -> None:
    few, many = (certify_samples(drawn(count), QualityGuarantee(0.9)) for count in (60, 3_000))
    assert len(many.guarantees) > len(few.guarantees)
    for each in many.guarantees:
        assert (1 - each.trust_threshold) ** 2 / 2 <= 1 - each.quality  # the integral of 1 - t from there on


@pytest.mark.long
def test_the_promise_breaks_no_more_often_than_it_may() -> None:
    broken = 0
    for seed in range(200):
        found = certify_samples(drawn(150, seed), QualityGuarantee(0.85))
        kept = next((each for each in found.guarantees if each.quality == 0.85), None)
        broken += kept is not None and (1 - kept.trust_threshold) ** 2 / 2 > 0.15
    assert broken <= 15  # 5 % of 200 by a one-sided binomial test at 5 %


def test_what_nobody_could_judge_counts_as_lost_and_what_nobody_scored_as_given() -> None:
    assert not certify_samples([SampledPair(0.9, None)] * 500, QualityGuarantee(0.9)).guarantees
    found = certify_samples([SampledPair(None, 0.0)] * 500, QualityGuarantee(0.9))
    assert found.guarantees[-1].small_share == 1.0


def test_too_few_pairs_say_how_many_it_takes() -> None:
    found = certify_samples([SampledPair(0.9, 0.0)] * 20, QualityGuarantee(0.95))
    assert found.samples_needed is not None and 40 < found.samples_needed < 400


def test_a_cascade_with_a_proof_trusts_from_where_it_was_certified() -> None:
    app = Routing(policy=CascadePolicy(BOTH, target=QualityGuarantee(0.9), certificate=PROOF))
    app.run(chat("[[logprob -0.3]] one two"))
    assert app.client.chosen.model == "echo/small"
    assert "certified 0.9 of echo/large's quality with confidence 0.95, on average" in app.client.chosen.reason
    app.run(chat("[[logprob -0.6]] one two"))  # 0.55, which the uncalibrated default would have shown
    assert app.client.chosen.model == "echo/large" and "certified 0.9" in app.client.chosen.reason
    app.run(chat("one"), RequestOptions(min_quality=0.95))
    assert app.client.results == [("echo/large", "answered")]
    assert app.client.chosen.reason == "best effort: 0.95 of echo/large is not certified"


def test_several_choices_were_never_compared() -> None:
    app = Routing(policy=CascadePolicy(BOTH, target=QualityGuarantee(0.9), certificate=PROOF))
    app.run(chat("one", n=2))
    assert app.client.results == [("echo/large", "answered")] and "not calibrated" in app.client.chosen.reason


def test_without_one_a_wish_for_quality_is_best_effort_and_says_so() -> None:
    app = Routing(policy=CascadePolicy(BOTH))
    app.run(chat("one"), RequestOptions(min_quality=0.9))
    assert "best effort: uncalibrated" in app.client.chosen.reason


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (lambda: CascadePolicy(BOTH, target=QualityGuarantee(0.9)), "one is missing"),
        (lambda: CascadePolicy(BOTH, certificate=PROOF), "one is missing"),
        (lambda: CascadePolicy(target=QualityGuarantee(0.9), certificate=PROOF), "`models` are none"),
        (lambda: CascadePolicy(BOTH, target=QualityGuarantee(0.95), certificate=PROOF), "guarantees at most 0.9"),
        (
            lambda: CascadePolicy(BOTH, target=QualityGuarantee(0.9, reference="echo/small"), certificate=PROOF),
            "refers to 'echo/small'",
        ),
        (
            lambda: CascadePolicy(BOTH, target=QualityGuarantee(0.9), certificate=replace(PROOF, confidence_level=0.9)),
            "confidence 0.9",
        ),
        (
            lambda: CascadePolicy(BOTH, target=QualityGuarantee(0.9), certificate=PROOF, votes=3),
            "other votes or another verifier",
        ),
        (
            lambda: CascadePolicy(BOTH, target=QualityGuarantee(0.9), certificate=PROOF, verifier="echo/large"),
            "other votes or another verifier",
        ),
    ],
)
def test_a_promise_that_nothing_proves_is_refused(policy: object, words: str) -> None:
    assert callable(policy)
    with pytest.raises(ConfigError, match=words):
        policy()


def test_its_file_is_read_as_it_was_written() -> None:
    assert decode_certificate(encode_certificate(PROOF)) == PROOF
