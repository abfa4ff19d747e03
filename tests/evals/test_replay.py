"""Policies over a record do what they would do live, and their quality and cost are those of the answers they gave."""

from __future__ import annotations

import pytest

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import Outcome, Outcomes, Prompt, gathered
from sizewise.evals.replay import Replayed, cases, replay
from sizewise.model_card import Card, Endpoint
from sizewise.money import Price
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.policies.cheapest import Cheapest
from sizewise.routing.policies.learned import Learned
from sizewise.routing.policy import Attempt, Field, Policy, Question, Route, attempt, everyone, race, resume

HERE = Endpoint("recorded", place="process")
SMALL = Card("small", HERE, "small", quality=0.0, price=Price(input=1, output=1))
LARGE = Card("large", HERE, "large", quality=1.0, price=Price(input=10, output=10))
BOTH = (SMALL, LARGE)


def recorded(*small: tuple[float, float | None, str]) -> Outcomes:
    """Score, confidence and answer of the small model; the large one is always right, at 100 tokens in and 10 out."""
    prompts, outcomes = list[Prompt](), list[Outcome]()
    for number, (score, sure, answer) in enumerate(small):
        prompts.append(Prompt(number, f"prompt {number}"))
        outcomes.append(Outcome(number, "small", score, answer, 100, 10, sure))
        outcomes.append(Outcome(number, "large", 1.0, "x", 100, 10, -0.01))
    return gathered(prompts, outcomes)


OUTCOMES = recorded((1.0, -0.1, "x"), (0.0, -3.0, "y"), (0.0, -0.1, "y"), (0.0, -0.1, " "))


def played(policy: Policy, outcomes: Outcomes = OUTCOMES) -> Replayed:
    return replay(policy, cases(outcomes, BOTH), outcomes, BOTH)


def test_the_cascade_pays_for_both_where_it_does_not_trust() -> None:
    found = played(Cascade())
    assert (found.quality, found.asked, found.refused) == (0.75, 1.5, 0.0)
    assert found.gave == {"small": 0.5, "large": 0.5}
    assert found.cost == (4 * 110 + 2 * 1_100) / 4


def test_one_model_alone_is_as_good_and_as_dear_as_its_answers() -> None:
    found = played(Cheapest(retries=0))
    assert found.gave == {"large": 0.25, "small": 0.75} and found.quality == 0.5  # a recorded silence is a failure


def test_without_a_price_the_cost_is_unknown_and_without_a_router_the_large_one_is_asked() -> None:
    cards = (Card("small", HERE, "small", quality=0.0), Card("large", HERE, "large", quality=1.0))
    found = replay(Learned(), cases(OUTCOMES, cards), OUTCOMES, cards)
    assert found.cost is None and found.gave == {"large": 1.0}


class All:
    models = ()

    def route(self, question: Question, field: Field) -> Route:
        got = yield from everyone(tuple(_try(each.card) for each in field))
        return got[-1]


class Raced:
    models = ()

    def route(self, question: Question, field: Field) -> Route:
        return (yield from race(tuple(_try(each.card) for each in field), 0.1))


class Resumes:
    models = ()

    def route(self, question: Question, field: Field) -> Route:
        return (yield from resume(field[0].card, "so far", "it broke off"))


class Endless:
    models = ()

    def route(self, question: Question, field: Field) -> Route:
        while True:
            yield from attempt(field[0].card, "again")


def _try(card: Card) -> Attempt:
    return Attempt(card, "tried")


def test_all_are_paid_of_a_race_who_begins() -> None:
    assert played(All()).asked == 2.0 and played(All()).gave == {"large": 1.0}
    assert played(Raced()).asked == 1.0


@pytest.mark.parametrize(
    ("policy", "words"), [(Resumes(), "resumes an answer"), (Endless(), "does not come to an end")]
)
def test_what_a_record_cannot_answer_is_refused(policy: Policy, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        played(policy)


def test_models_that_share_no_prompt_are_refused() -> None:
    lonely = gathered([Prompt(1, "a"), Prompt(2, "b")], [Outcome(1, "small", 1.0), Outcome(2, "large", 1.0)])
    with pytest.raises(BadRequest, match="no prompt was answered by all"):
        cases(lonely, BOTH)
