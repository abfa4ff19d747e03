"""What sampled pairs certify: never more than they show, and a cascade that keeps to it, says so and goes up else."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from sizewise.errors import ConfigError
from sizewise.handler import Wishes
from sizewise.routing.guarantees.bounds import Promise
from sizewise.routing.guarantees.certificate import read, write
from sizewise.routing.guarantees.sampled_certificate import Held, Sampled, Trusted, certified
from sizewise.routing.policies.cascade import Cascade
from tests.routing.router_harness import Routing, chat

BOTH = ("echo/small", "echo/large")
PROOF = Sampled("echo/small", "echo/large", 0.95, (Trusted(0.9, 0.6, 0.97, 0.5),), "a/judge", 300, 0, "2026-11-25")


def drawn(count: int, seed: int = 1) -> list[Held]:
    """The less an answer is trusted, the more often it is worse: of those trusted with t, 1 - t are."""
    chance, held = Random(seed), list[Held]()
    for _ in range(count):
        trust = chance.random()
        held.append(Held(trust, float(chance.random() > trust)))
    return held


def test_more_pairs_promise_more_and_what_is_promised_is_true() -> None:
    few, many = (certified(drawn(count), Promise(0.9)) for count in (60, 3_000))
    assert len(many.kept) > len(few.kept)
    for each in many.kept:
        assert (1 - each.trust) ** 2 / 2 <= 1 - each.quality  # the integral of 1 - t from there on


def test_the_promise_breaks_no_more_often_than_it_may() -> None:
    broken = 0
    for seed in range(200):
        found = certified(drawn(150, seed), Promise(0.85))
        kept = next((each for each in found.kept if each.quality == 0.85), None)
        broken += kept is not None and (1 - kept.trust) ** 2 / 2 > 0.15
    assert broken <= 15  # 5 % of 200 by a one-sided binomial test at 5 %


def test_what_nobody_could_judge_counts_as_lost_and_what_nobody_scored_as_given() -> None:
    assert not certified([Held(0.9, None)] * 500, Promise(0.9)).kept
    found = certified([Held(None, 0.0)] * 500, Promise(0.9))
    assert found.kept[-1].served == 1.0


def test_too_few_pairs_say_how_many_it_takes() -> None:
    found = certified([Held(0.9, 0.0)] * 20, Promise(0.95))
    assert found.needs is not None and 40 < found.needs < 400


def test_a_cascade_with_a_proof_trusts_from_where_it_was_certified() -> None:
    house = Routing(policy=Cascade(BOTH, target=Promise(0.9), certificate=PROOF))
    house.run(chat("[[logprob -0.3]] one two"))
    assert house.client.chosen.model == "echo/small"
    assert "(promised 0.9 of echo/large, sure 0.95)" in house.client.chosen.why
    house.run(chat("[[logprob -0.6]] one two"))  # 0.55, which the uncalibrated default would have shown
    assert house.client.chosen.model == "echo/large" and "promised 0.9" in house.client.chosen.why
    house.run(chat("one"), Wishes(min_quality=0.95))
    assert house.client.results == [("echo/large", "answered")]
    assert house.client.chosen.why == "best effort: 0.95 of echo/large was not certified"


def test_several_choices_were_never_compared() -> None:
    house = Routing(policy=Cascade(BOTH, target=Promise(0.9), certificate=PROOF))
    house.run(chat("one", n=2))
    assert house.client.results == [("echo/large", "answered")] and "never compared" in house.client.chosen.why


def test_without_one_a_wish_for_quality_is_best_effort_and_says_so() -> None:
    house = Routing(policy=Cascade(BOTH))
    house.run(chat("one"), Wishes(min_quality=0.9))
    assert "(best effort: uncalibrated)" in house.client.chosen.why


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (lambda: Cascade(BOTH, target=Promise(0.9)), "one of the two is missing"),
        (lambda: Cascade(BOTH, certificate=PROOF), "one of the two is missing"),
        (lambda: Cascade(target=Promise(0.9), certificate=PROOF), "`models` are none"),
        (lambda: Cascade(BOTH, target=Promise(0.95), certificate=PROOF), "keeps 0.9 at most"),
        (lambda: Cascade(BOTH, target=Promise(0.9, reference="echo/small"), certificate=PROOF), "of 'echo/small'"),
        (lambda: Cascade(BOTH, target=Promise(0.9), certificate=replace(PROOF, sure=0.9)), "sure 0.9"),
        (lambda: Cascade(BOTH, target=Promise(0.9), certificate=PROOF, votes=3), "trust means something else"),
        (
            lambda: Cascade(BOTH, target=Promise(0.9), certificate=PROOF, verifier="echo/large"),
            "trust means something else",
        ),
    ],
)
def test_a_promise_that_nothing_proves_is_refused(policy: object, words: str) -> None:
    assert callable(policy)
    with pytest.raises(ConfigError, match=words):
        policy()


def test_its_file_is_read_as_it_was_written() -> None:
    assert read(write(PROOF)) == PROOF
