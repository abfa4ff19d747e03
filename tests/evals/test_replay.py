"""Policies over a record do what they would do live, and their quality and cost are those of the answers they gave."""

from __future__ import annotations

import pytest

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import OutcomeDataset, RecordedOutcome, RecordedPrompt, build_dataset
from sizewise.evals.replay import ReplaySummary, replay, replay_cases
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.money import Price
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.learned import LearnedPolicy
from sizewise.routing.policy import (
    Attempt,
    Candidates,
    Policy,
    PolicyRun,
    RequestFeatures,
    attempt,
    hedge,
    parallel,
    resume,
)

HERE = ModelEndpoint("recorded", place="process")
SMALL = ModelCard("small", HERE, "small", quality=0.0, price=Price(input=1, output=1))
LARGE = ModelCard("large", HERE, "large", quality=1.0, price=Price(input=10, output=10))
BOTH = (SMALL, LARGE)


def recorded(*small: tuple[float, float | None, str]) -> OutcomeDataset:
    """Score, confidence and answer of the small model; the large one is always right, at 100 tokens in and 10 out."""
    prompts, outcomes = list[RecordedPrompt](), list[RecordedOutcome]()
    for number, (score, sure, answer) in enumerate(small):
        prompts.append(RecordedPrompt(number, f"prompt {number}"))
        outcomes.append(RecordedOutcome(number, "small", score, answer, 100, 10, sure))
        outcomes.append(RecordedOutcome(number, "large", 1.0, "x", 100, 10, -0.01))
    return build_dataset(prompts, outcomes)


OUTCOMES = recorded((1.0, -0.1, "x"), (0.0, -3.0, "y"), (0.0, -0.1, "y"), (0.0, -0.1, " "))


def played(policy: Policy, outcomes: OutcomeDataset = OUTCOMES) -> ReplaySummary:
    return replay(policy, replay_cases(outcomes, BOTH), outcomes, BOTH)


def test_the_cascade_pays_for_both_where_it_does_not_trust() -> None:
    found = played(CascadePolicy())
    assert (found.quality, found.calls_per_prompt, found.refusal_share) == (0.75, 1.5, 0.0)
    assert found.answer_shares == {"small": 0.5, "large": 0.5}
    assert found.cost == (4 * 110 + 2 * 1_100) / 4


def test_one_model_alone_is_as_good_and_as_dear_as_its_answers() -> None:
    found = played(CheapestPolicy(retries=0))
    assert (
        found.answer_shares == {"large": 0.25, "small": 0.75} and found.quality == 0.5
    )  # a recorded silence is a failure


def test_without_a_price_the_cost_is_unknown_and_without_a_router_the_large_one_is_asked() -> None:
    cards = (ModelCard("small", HERE, "small", quality=0.0), ModelCard("large", HERE, "large", quality=1.0))
    found = replay(LearnedPolicy(), replay_cases(OUTCOMES, cards), OUTCOMES, cards)
    assert found.cost is None and found.answer_shares == {"large": 1.0}


class All:
    models = ()

    def route(self, question: RequestFeatures, field: Candidates) -> PolicyRun:
        got = yield from parallel(tuple(_try(each.card) for each in field))
        return got[-1]


class Raced:
    models = ()

    def route(self, question: RequestFeatures, field: Candidates) -> PolicyRun:
        return (yield from hedge(tuple(_try(each.card) for each in field), 0.1))


class Resumes:
    models = ()

    def route(self, question: RequestFeatures, field: Candidates) -> PolicyRun:
        return (yield from resume(field[0].card, "so far", "it broke off"))


class Endless:
    models = ()

    def route(self, question: RequestFeatures, field: Candidates) -> PolicyRun:
        while True:
            yield from attempt(field[0].card, "again")


def _try(card: ModelCard) -> Attempt:
    return Attempt(card, "tried")


def test_all_are_paid_of_a_race_who_begins() -> None:
    assert played(All()).calls_per_prompt == 2.0 and played(All()).answer_shares == {"large": 1.0}
    assert played(Raced()).calls_per_prompt == 1.0


@pytest.mark.parametrize(
    ("policy", "words"),
    [(Resumes(), "resumes an answer"), (Endless(), "does not end")],
)
def test_what_a_record_cannot_answer_is_refused(policy: Policy, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        played(policy)


def test_models_that_share_no_prompt_are_refused() -> None:
    lonely = build_dataset(
        [RecordedPrompt(1, "a"), RecordedPrompt(2, "b")],
        [RecordedOutcome(1, "small", 1.0), RecordedOutcome(2, "large", 1.0)],
    )
    with pytest.raises(BadRequest, match="no prompt has answers of all"):
        replay_cases(lonely, BOTH)
