"""Who watches sees each answered chat of a policy once, with all that answered; a fallen policy is on the safe side."""

from __future__ import annotations

import asyncio

import pytest

from sizewise.errors import SizewiseError
from sizewise.handler import Wishes
from sizewise.routing.data_policy import Terms
from sizewise.routing.explain import explain
from sizewise.routing.model_aliases import Names
from sizewise.routing.observation import Witnessed
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.router import Routed, well
from sizewise.routing.session_affinity import Affinity
from sizewise.routing.session_store import Sessions
from tests.routing.router_harness import JUDGES, LARGE, SMALL, Client, Routing, asking, chat, embed

DOUBTED = "[[echo/small: logprob -9]] one two three"


class Watched(Routing):
    """A router with a witness; `fallen` says what speaks against its only policy."""

    def __init__(self, fallen: str = "") -> None:
        super().__init__(SMALL, LARGE)
        self.fallen = fallen
        self.seen: list[Witnessed] = []
        self.asked: list[tuple[str, str]] = []
        names = Names(self.cards, {"default": Cascade()})
        self.routed = Routed(
            names,
            lambda card: self.echoes[card.name],
            JUDGES,
            well,
            Terms(),
            witness=self.seen.append,
            affinity=Affinity(Sessions(), 3_600, 0),
            fallen=self._said,
        )

    def _said(self, tenant: str, policy: str) -> str:
        self.asked.append((tenant, policy))
        return self.fallen


def test_a_trusted_small_answer_is_seen_alone_and_as_given() -> None:
    routing = Watched()
    routing.run(chat("one two three"))
    (seen,) = routing.seen
    (small,) = seen.answered
    assert (seen.policy, small.card.name, small.given, small.reply.text) == (
        "default",
        "echo/small",
        True,
        "one two three",
    )
    assert small.score is not None and small.score > 0.5
    assert [each.card.name for each in seen.field] == ["echo/small", "echo/large"]
    assert seen.ask.wishes.data_class == "internal"


def test_an_answer_that_was_not_trusted_is_seen_beside_the_one_given() -> None:
    routing = Watched()
    routing.run(chat(DOUBTED))
    small, large = routing.seen[0].answered
    assert (small.card.name, small.given) == ("echo/small", False)
    assert (large.card.name, large.given, large.score) == ("echo/large", True, None)
    assert small.score is not None and small.score < 0.5


@pytest.mark.parametrize("model", ["echo/small", "small", "large"])
def test_what_leaves_no_choice_is_not_seen(model: str) -> None:
    routing = Watched("it drifted")
    routing.run(chat(model=model))
    assert routing.seen == []
    assert not routing.client.chosen.why.endswith("it drifted")


def test_vectors_failures_and_clients_that_left_are_not_seen() -> None:
    routing = Watched()
    with pytest.raises(SizewiseError):
        routing.run(embed("one"))
    with pytest.raises(SizewiseError):
        routing.run(chat("[[fail]]"))

    async def leaves() -> None:
        task = asyncio.create_task(routing.routed(asking(chat("[[hang]]")), Client().send))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(leaves())
    assert routing.seen == []


@pytest.mark.parametrize("words", ["one two three", DOUBTED])
def test_a_fallen_policy_asks_its_strongest_model_alone_and_says_why(words: str) -> None:
    routing = Watched("it drifted")
    routing.run(chat(words))
    assert routing.client.results == [("echo/large", "answered")]
    assert routing.client.chosen.why == "echo/large alone: it drifted"
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
    routing.run(chat(), Wishes(session="s"))
    assert routing.client.chosen.model == "echo/small"
    routing.fallen = "it drifted"
    routing.run(chat(), Wishes(session="s"))
    assert routing.client.results == [("echo/large", "answered")]


def test_the_explanation_knows_of_the_safe_side() -> None:
    names = Names((SMALL, LARGE), {"default": Cascade()})
    told = explain(asking(chat()), names, well, Terms(), fallen=lambda tenant, policy: "it drifted")
    assert [step.models for step in told.steps] == [("echo/large",)]
    assert told.why == "echo/large alone: it drifted"
