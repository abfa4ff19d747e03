"""What the router adds to a policy's retries: chance, the budget, and the time that is left."""

from __future__ import annotations

import asyncio

import pytest

from sizewise.errors import UpstreamBusy, UpstreamDown, UpstreamSlow
from sizewise.handler import Wishes
from sizewise.model_card import Card
from sizewise.providers.echo import Echo
from sizewise.routing.attempt_limits import Ways
from sizewise.routing.model_aliases import Names
from sizewise.routing.policies.fixed import Fixed
from sizewise.routing.router import Routed
from tests.routing.router_harness import JUDGES, LARGE, SMALL, Client, asking, chat

BOTH = ("echo/small", "echo/large")


def run(what: str, ways: Ways, policy: Fixed, wishes: Wishes = Wishes()) -> Client:  # noqa: B008  # frozen
    names = Names((SMALL, LARGE), {"default": policy})
    client, models = Client(), {card.name: Echo(card) for card in (SMALL, LARGE)}
    routed = Routed(names, lambda card: models[card.name], JUDGES, ways=ways)
    asyncio.run(routed(asking(chat(what), wishes), client.send))
    return client


def test_each_pause_is_drawn_by_chance_and_no_first_attempt_waits() -> None:
    drawn: list[float] = []

    def chance() -> float:
        drawn.append(0.0)
        return 0.0

    client = run("[[echo/small: fail]] one", Ways(chance=chance), Fixed(BOTH, retries=3))
    assert client.results == [("echo/small", "failed")] * 4 + [("echo/large", "answered")]
    assert len(drawn) == 3


def test_without_budget_nobody_is_asked_again_and_the_next_answers() -> None:
    wanted: list[str] = []

    def spare(card: Card) -> bool:
        wanted.append(card.name)
        return False

    client = run("[[echo/small: fail]] one", Ways(spare=spare), Fixed(BOTH, retries=3))
    assert client.results == [("echo/small", "failed"), ("echo/large", "answered")]
    assert set(wanted) == {"echo/small"}, "an attempt at another model is no retry"


def test_without_budget_the_only_error_is_the_one_that_there_was() -> None:
    ways = Ways(spare=lambda card: False)
    with pytest.raises(UpstreamDown):
        run("[[fail]] one", ways, Fixed(BOTH))


def test_a_pause_that_would_outlast_the_request_is_not_begun() -> None:
    policy = Fixed(BOTH, retries=1, max_retry_delay_s=60)
    with pytest.raises(UpstreamBusy):
        run("[[busy retry_after=50]] one", Ways(), policy, Wishes(max_ms=5_000))


def test_the_total_ends_a_hold_a_race_and_a_plain_attempt_alike() -> None:
    for policy in (Fixed(BOTH), Fixed(BOTH, hedge_delay_s=0.01)):
        with pytest.raises(UpstreamSlow, match=r"0\.05 seconds"):
            run("[[hang]]", Ways(total_s=0.05), policy)
