"""Why each kind of decision was made, in words that need no other page: each number with what it means."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sizewise.handler import RequestOptions
from sizewise.model_card import ModelCard
from sizewise.money import FREE
from sizewise.providers.echo import echo_card
from sizewise.routing.cascade_reasons import DistrustedReply, doubt, why_first
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.sampled_certificate import CertifiedThreshold, SampledCertificate
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policy import Attempt, AttemptOutcome, Candidate, Policy, RequestFeatures, Verdict
from sizewise.routing.quality.shipped_prior import SHIPPED_PRIOR
from tests.routing.router_harness import LARGE, Routing, chat
from tests.routing.test_deadlines import Timed

BOTH = ("echo/small", "echo/large")
PROOF = SampledCertificate(*BOTH, 0.95, (CertifiedThreshold(0.9, 0.6, 0.97, 0.5),), "a/judge", 300, 0, "2026-11-25")
CASCADE, PRIOR = CascadePolicy(BOTH), CascadePolicy(BOTH, prior=SHIPPED_PRIOR)
CERTIFIED = CascadePolicy(BOTH, target=QualityGuarantee(0.9), certificate=PROOF)
MIDDLE = echo_card("echo/small", parameters=2_000_000_000)
FAR = echo_card("echo/small", place="anyone")
ENGLISH = replace(MIDDLE, languages=frozenset({"en"}))
FREE_LARGE = replace(LARGE, price=FREE)
QUESTION = "What is the capital of France?"
SURE, UNSURE = f"{QUESTION} [[say Paris]] [[logprob -0.01]]", f"{QUESTION} [[say Paris]] [[logprob -1.5]]"
UNPROVED = "uncalibrated, so on average over requests nothing is promised"


@dataclass(frozen=True)
class Case:
    policy: Policy
    text: str
    model: str
    why: str
    options: RequestOptions = RequestOptions()  # frozen
    small: ModelCard = MIDDLE
    large: ModelCard = LARGE
    body: dict[str, Any] = field(default_factory=dict)


CASES = {
    "a named model": Case(CASCADE, "one", "echo/large", "named in the request", body={"model": "echo/large"}),
    "kept by a threshold": Case(
        CASCADE,
        "[[logprob -0.2]] one",
        "echo/small",
        f"this answer is trusted at 0.82, and 0.50 is enough (the model's own confidence is 0.82); {UNPROVED}",
    ),
    "escalated by a threshold": Case(
        CASCADE,
        "[[logprob -1.2]] one",
        "echo/large",
        "no smaller model was trusted: the answer of echo/small is trusted at 0.30 only, and 0.50 is needed; "
        f"{UNPROVED}",
    ),
    "rejected by a rule": Case(
        CASCADE,
        "[[echo/small: say As an AI language model, I cannot help with that.]] one",
        "echo/large",
        "no smaller model was trusted: the answer of echo/small is rejected: ",
    ),
    "kept by the prior": Case(
        PRIOR,
        SURE,
        "echo/small",
        "prior: this answer is right with a chance of 0.9",
    ),
    "escalated by the prior": Case(
        PRIOR,
        UNSURE,
        "echo/large",
        "no smaller model was trusted: the answer of echo/small is right with a chance of 0.",
    ),
    "no basis, a conversation": Case(
        PRIOR,
        "",
        "echo/large",
        "prior: no basis to judge a smaller model's answer: it was not learned on conversations, but on single "
        "questions; the best model answers",
        body={
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hi."},
                {"role": "user", "content": SURE},
            ]
        },
    ),
    "no basis, another language": Case(
        PRIOR,
        "Was ist die Hauptstadt von Frankreich und wie heißt sie?",
        "echo/large",
        "prior: no basis to judge a smaller model's answer: it was learned on questions in en, and this one "
        "is in another language or in none that can be told; the best model answers",
    ),
    "no basis, a higher quality": Case(
        PRIOR,
        SURE,
        "echo/large",
        "prior: no basis to judge a smaller model's answer: it keeps 0.95 of the best model's quality, not 0.99; the "
        "best model answers",
        RequestOptions(min_quality=0.99),
    ),
    "kept by a certificate": Case(
        CERTIFIED,
        "[[logprob -0.3]] one",
        "echo/small",
        "this answer is trusted at 0.74, and 0.60 is enough (the model's own confidence is 0.74); certified 0.9 of "
        "echo/large's quality with confidence 0.95, on average over requests",
    ),
    "escalated by a certificate": Case(
        CERTIFIED,
        "[[logprob -0.6]] one",
        "echo/large",
        "no smaller model was trusted: the answer of echo/small is trusted at 0.55 only, and 0.60 is needed; "
        "certified 0.9 of echo/large's quality with confidence 0.95, on average over "
        "requests",
    ),
    "a failure": Case(
        CASCADE,
        "one [[echo/small: fail]]",
        "echo/large",
        "no smaller model answered: echo/small failed (upstream_unreachable)",
    ),
    "a language": Case(
        CASCADE,
        "Was ist die Hauptstadt von Frankreich und wie heißt sie eigentlich genau?",
        "echo/large",
        "echo/small answers in en, and the question is in German (de); the only model that fits",
        small=ENGLISH,
    ),
    "tools": Case(
        CASCADE,
        "one",
        "echo/large",
        "echo/small does not support tool calls; ",
        small=echo_card("echo/small", tools=False),
        body={"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
    ),
    "a data class": Case(
        CASCADE,
        "one",
        "echo/large",
        "echo/small is at place 'anyone', and ",
        RequestOptions(data_class="confidential"),
        small=FAR,
    ),
    "a budget": Case(
        CheapestPolicy(),
        "one",
        "echo/large",
        "echo/small could cost 0.",
        RequestOptions(max_cost=1),
        large=FREE_LARGE,
    ),
    "the cheapest of two free": Case(
        CheapestPolicy(),
        "one",
        "echo/small",
        "the cheapest model that fits (free, like echo/large, and it is smaller)",
        small=echo_card("echo/small", price=FREE),
        large=FREE_LARGE,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_decision_says_why_with_its_numbers(case: Case) -> None:
    routing = Routing(case.small, case.large, policy=case.policy)
    routing.run(chat(case.text, **case.body), case.options)
    chosen = routing.client.chosen
    assert chosen.model == case.model
    assert chosen.reason.startswith(case.why), chosen.reason
    assert len(chosen.reason) <= 200, "a header cuts it"


def test_the_prior_says_what_is_lost_on_average_apart_from_this_answer() -> None:
    for text in (SURE, UNSURE):
        routing = Routing(MIDDLE, LARGE, policy=PRIOR)
        routing.run(chat(text))
        this, average = routing.client.chosen.reason.rsplit("; ", 1)
        assert "chance of 0." in this
        assert average.endswith("on average over requests at most 5 points of 100 are lost")


@pytest.mark.long
def test_a_deadline_says_what_is_left_and_what_is_needed() -> None:
    client = Timed(CheapestPolicy(), small=9.0, large=2.0).ask(max_ms=5_000)
    assert "echo/small" in client.chosen.reason and "and the request has 5.0 s" in client.chosen.reason


@pytest.mark.long
def test_of_two_free_models_the_faster_says_so() -> None:
    first = Timed(CheapestPolicy(), small=1.0, large=4.0).ask(max_ms=60_000).chosen.reason
    assert first.startswith("the cheapest model that fits (free, like echo/large, and it answers in about 1.")
    assert " s instead of 4." in first
    best = Timed(CASCADE, small=6.0, large=4.0).ask(max_ms=60_000).chosen.reason
    assert best.startswith("the best model that fits is also the cheapest (free, like echo/small, and it answers in ")


def test_a_difference_too_small_to_show_is_no_number() -> None:
    free = [Candidate(card, 0, expected_s=seconds) for card, seconds in ((MIDDLE, 0.0201), (LARGE, 0.0204))]
    assert "and it answers sooner)" in why_first(tuple(free))
    wider = [Candidate(card, 0, expected_s=seconds) for card, seconds in ((MIDDLE, 0.02), (LARGE, 0.9))]
    assert "it answers in about 20 ms instead of 900 ms" in why_first(tuple(wider))


def test_no_time_to_judge_says_what_is_left_and_what_the_large_model_needs() -> None:
    small, large = Candidate(MIDDLE, 1, expected_s=3.0), Candidate(LARGE, 2, expected_s=4.0, latest_s=6.5)
    route = CASCADE.route(RequestFeatures(10, time_left_s=8.0), (small, large))
    move = next(route)
    assert isinstance(move, Attempt) and move.why == (
        "the deadline leaves no time to judge a smaller model first: 8.0 s are left, and echo/large needs up to 6.5 s"
    )


def test_a_small_model_that_is_asked_after_a_failure_is_not_called_the_cheapest() -> None:
    cards = [echo_card(f"echo/{n}", parameters=n * 1_000_000_000) for n in (1, 2, 9)]
    route = CascadePolicy().route(RequestFeatures(10), tuple(Candidate(card, n) for n, card in enumerate(cards)))
    next(route)
    move = route.send(AttemptOutcome(cards[0], error="upstream_unreachable", attempt_number=1))
    assert isinstance(move, Attempt) and move.card is cards[1]
    assert move.why.startswith("echo/1 failed (upstream_unreachable); its answer is shown if")


def test_a_score_just_below_the_threshold_does_not_look_like_it() -> None:
    seen = DistrustedReply(AttemptOutcome(MIDDLE), Verdict(0.497, "close"), 0.497, 0.5, None)
    assert doubt(seen) == "the answer of echo/small is trusted at 0.4970 only, and 0.5000 is needed"
