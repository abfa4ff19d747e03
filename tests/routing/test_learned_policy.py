"""The learnt policy: small where the large one is not worth it, the declared default where nobody can tell."""

from __future__ import annotations

import pytest

from sizewise.errors import ConfigError
from sizewise.handler import RequestOptions
from sizewise.model_card import ModelCard
from sizewise.providers.echo import EchoModel, echo_card
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.explain import explain
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.learned import LearnedPolicy
from sizewise.routing.policy import Attempt, AttemptOutcome, Candidate, RequestFeatures
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.router import Router, always_healthy
from sizewise.routing.training.trainer import train_predictor
from tests.routing.router_harness import JUDGES, LARGE, SMALL, Client, asking, chat
from tests.routing.test_trainer import labelled

EASY = "what is the capital of the country?"
HARD = "prove that the operator converges for every bounded sequence"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    prompts, scores = labelled(200)
    return train_predictor(
        prompts,
        scores | {"echo/small": scores["s"], "large": scores["l"]},
        small_model="s",
        large_model="l",
    )


def routed(
    predictor: Predictor,
    policy: LearnedPolicy,
    *others: ModelCard,
) -> tuple[Router, QualityPrediction, ModelAliases]:
    cards = (SMALL, LARGE, *others)
    names, foresight = ModelAliases(cards, {"default": policy}), QualityPrediction(predictor, cards)
    models = {card.name: EchoModel(card, None) for card in cards}
    return (
        Router(
            plan=names,
            connect=lambda c: models[c.name],
            judge=JUDGES,
            health_check=always_healthy,
            prediction=foresight,
        ),
        foresight,
        names,
    )


@pytest.mark.parametrize(
    ("words", "model", "why"),
    [
        (EASY, "echo/small", "predicted quality of this answer: 0."),
        (HARD, "echo/large", "cheaper models are more than 0.1 worse"),
        ("the mitochondria of yeast ferment glucose anaerobically", "echo/large", "no prediction: the predictor knows"),
        ("Warum ist der Himmel blau und nicht die Erde?", "echo/large", "language"),
    ],
)
async def test_who_is_asked_and_why(predictor: Predictor, words: str, model: str, why: str) -> None:
    answer, client = routed(predictor, LearnedPolicy())[0], Client()
    await answer(asking(chat(words)), client.send)
    assert client.chosen.model == model and why in client.chosen.reason


async def test_where_it_cannot_tell_the_small_one_may_be_the_default(predictor: Predictor) -> None:
    answer, client = routed(predictor, LearnedPolicy(fallback="small"))[0], Client()
    await answer(asking(chat("yeast ferments glucose anaerobically")), client.send)
    assert client.chosen.model == "echo/small"


async def test_a_model_that_is_named_is_asked_whatever_is_foreseen(predictor: Predictor) -> None:
    answer, client = routed(predictor, LearnedPolicy())[0], Client()
    await answer(asking(chat(HARD, "echo/small")), client.send)
    assert client.chosen.model == "echo/small"


def test_the_explanation_says_the_same(predictor: Predictor) -> None:
    _, foresight, names = routed(predictor, LearnedPolicy())
    for words, model in ((EASY, "echo/small"), (HARD, "echo/large")):
        told = explain(asking(chat(words), RequestOptions()), names, always_healthy, DataPolicy(), prediction=foresight)
        assert told.steps[0].models == (model,) and "predicted quality" in told.why


def test_a_router_of_models_that_are_not_here_is_refused(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="fewer than two of them"):
        QualityPrediction(predictor, (SMALL, echo_card("echo/other")))


def test_who_fails_is_followed_by_the_strongest_that_is_left() -> None:
    middle = echo_card("echo/middle", parameters=7_000_000_000)
    field = (Candidate(SMALL, 1, 0.9), Candidate(middle, 2, 0.91), Candidate(LARGE, 3, 0.95))
    route = LearnedPolicy(retries=0).route(RequestFeatures(10, abstention=""), field)
    asked: list[str] = []
    move = next(route)
    with pytest.raises(StopIteration):
        while True:
            assert isinstance(move, Attempt)
            asked.append(move.card.name)
            move = route.send(AttemptOutcome(move.card, error="upstream_error"))
    assert asked == ["echo/small", "echo/large", "echo/middle"]


@pytest.mark.parametrize("min_gain", [-0.1, 1.1])
def test_its_options_have_bounds(min_gain: float) -> None:
    with pytest.raises(ConfigError, match="min_gain"):
        LearnedPolicy(min_gain=min_gain)
