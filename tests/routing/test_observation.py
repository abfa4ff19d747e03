"""Who watches sees each answered chat of a policy once, with all that answered; a fallen policy is on the safe side."""

from __future__ import annotations

import asyncio

import pytest

from sizewise.errors import SizewiseError
from sizewise.handler import RequestOptions
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.explain import explain
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.observation import Observation
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.router import Router, always_healthy
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.session_store import SessionStore
from tests.routing.router_harness import JUDGES, LARGE, SMALL, Client, Routing, asking, chat, embed

DOUBTED = "[[echo/small: logprob -9]] one two three"


class Watched(Routing):
    """A router with a witness; `distrust_check` says what speaks against its only policy."""

    def __init__(self, fallen: str = "") -> None:
        super().__init__(SMALL, LARGE)
        self.fallen = fallen
        self.seen: list[Observation] = []
        self.asked: list[tuple[str, str]] = []
        names = ModelAliases(self.cards, {"default": CascadePolicy()})
        self.routed = Router(
            plan=names,
            connect=lambda card: self.echoes[card.name],
            judge=JUDGES,
            health_check=always_healthy,
            data_policy=DataPolicy(),
            observer=self.seen.append,
            affinity=SessionAffinity(SessionStore(), 3_600, 0),
            distrust_check=self._said,
        )

    def _said(self, tenant: str, policy: str) -> str:
        self.asked.append((tenant, policy))
        return self.fallen


def test_a_trusted_small_answer_is_seen_alone_and_as_given() -> None:
    routing = Watched()
    routing.run(chat("one two three"))
    (seen,) = routing.seen
    (small,) = seen.replies
    assert (seen.policy, small.card.name, small.was_delivered, small.reply.text) == (
        "default",
        "echo/small",
        True,
        "one two three",
    )
    assert small.score is not None and small.score > 0.5
    assert [each.card.name for each in seen.candidates] == ["echo/small", "echo/large"]
    assert seen.request.options.data_class == "internal"


def test_an_answer_that_was_not_trusted_is_seen_beside_the_one_given() -> None:
    routing = Watched()
    routing.run(chat(DOUBTED))
    small, large = routing.seen[0].replies
    assert (small.card.name, small.was_delivered) == ("echo/small", False)
    assert (large.card.name, large.was_delivered, large.score) == ("echo/large", True, None)
    assert small.score is not None and small.score < 0.5


@pytest.mark.parametrize("model", ["echo/small", "small", "large"])
def test_what_leaves_no_choice_is_not_seen(model: str) -> None:
    routing = Watched("it drifted")
    routing.run(chat(model=model))
    assert routing.seen == []
    assert not routing.client.chosen.reason.endswith("it drifted")


async def test_vectors_failures_and_clients_that_left_are_not_seen() -> None:
    routing = Watched()
    with pytest.raises(SizewiseError):
        await routing.ask(embed("one"))
    with pytest.raises(SizewiseError):
        await routing.ask(chat("[[fail]]"))

    task = asyncio.create_task(routing.routed(asking(chat("[[hang]]")), Client().send))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert routing.seen == []


@pytest.mark.parametrize("words", ["one two three", DOUBTED])
def test_a_fallen_policy_asks_its_strongest_model_alone_and_says_why(words: str) -> None:
    routing = Watched("it drifted")
    routing.run(chat(words))
    assert routing.client.results == [("echo/large", "answered")]
    assert routing.client.chosen.reason == "echo/large alone: it drifted"
    assert routing.client.chosen.policy == "default"
    assert routing.asked == [("local", "default")]


def test_no_weaker_model_steps_in_on_the_safe_side() -> None:
    routing = Watched("it drifted")
    with pytest.raises(SizewiseError) as failed:
        routing.run(chat("[[echo/large: fail refused]]"))
    assert failed.value.code == "upstream_refused"
    assert {model for model, _ in routing.client.results} == {"echo/large"}


def test_a_session_cannot_hold_a_fallen_policy_at_a_smaller_model() -> None:
    routing = Watched()
    routing.run(chat(), RequestOptions(session="s"))
    assert routing.client.chosen.model == "echo/small"
    routing.fallen = "it drifted"
    routing.run(chat(), RequestOptions(session="s"))
    assert routing.client.results == [("echo/large", "answered")]


def test_the_explanation_knows_of_the_safe_side() -> None:
    names = ModelAliases((SMALL, LARGE), {"default": CascadePolicy()})
    told = explain(
        asking(chat()),
        names,
        always_healthy,
        DataPolicy(),
        distrust_check=lambda tenant, policy: "it drifted",
    )
    assert [step.models for step in told.steps] == [("echo/large",)]
    assert told.why == "echo/large alone: it drifted"
