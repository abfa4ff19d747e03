"""What the router adds to a policy's retries: chance, the budget, and the time that is left."""

from __future__ import annotations

import asyncio

import pytest

from sizewise.errors import UpstreamOverloaded, UpstreamTimeout, UpstreamUnreachable
from sizewise.handler import RequestOptions
from sizewise.model_card import ModelCard
from sizewise.providers.echo import EchoModel
from sizewise.routing.attempt_limits import AttemptLimits
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.router import Router
from tests.routing.router_harness import JUDGES, LARGE, SMALL, Client, asking, chat

BOTH = ("echo/small", "echo/large")


def run(
    what: str,
    attempt_limits: AttemptLimits,
    policy: FixedPolicy,
    options: RequestOptions = RequestOptions(),  # frozen
) -> Client:  # frozen
    names = ModelAliases((SMALL, LARGE), {"default": policy})
    client, models = Client(), {card.name: EchoModel(card) for card in (SMALL, LARGE)}
    routed = Router(plan=names, connect=lambda card: models[card.name], judge=JUDGES, limits=attempt_limits)
    asyncio.run(routed(asking(chat(what), options), client.send))
    return client


def test_each_pause_is_drawn_by_chance_and_no_first_attempt_waits() -> None:
    drawn: list[float] = []

    def chance() -> float:
        drawn.append(0.0)
        return 0.0

    client = run("[[echo/small: fail]] one", AttemptLimits(draw=chance), FixedPolicy(BOTH, retries=3))
    assert client.results == [("echo/small", "failed")] * 4 + [("echo/large", "answered")]
    assert len(drawn) == 3


def test_without_budget_nobody_is_asked_again_and_the_next_answers() -> None:
    wanted: list[str] = []

    def spare(card: ModelCard) -> bool:
        wanted.append(card.name)
        return False

    client = run("[[echo/small: fail]] one", AttemptLimits(may_retry=spare), FixedPolicy(BOTH, retries=3))
    assert client.results == [("echo/small", "failed"), ("echo/large", "answered")]
    assert set(wanted) == {"echo/small"}, "an attempt at another model is no retry"


def test_without_budget_the_only_error_is_the_one_that_there_was() -> None:
    ways = AttemptLimits(may_retry=lambda card: False)
    with pytest.raises(UpstreamUnreachable):
        run("[[fail]] one", ways, FixedPolicy(BOTH))


def test_a_pause_that_would_outlast_the_request_is_not_begun() -> None:
    policy = FixedPolicy(BOTH, retries=1, max_retry_delay_s=60)
    with pytest.raises(UpstreamOverloaded):
        run("[[busy retry_after=50]] one", AttemptLimits(), policy, RequestOptions(max_latency_ms=5_000))


def test_the_total_ends_a_hold_a_race_and_a_plain_attempt_alike() -> None:
    for policy in (FixedPolicy(BOTH), FixedPolicy(BOTH, hedge_delay_s=0.01)):
        with pytest.raises(UpstreamTimeout, match=r"0\.05 seconds"):
            run("[[hang]]", AttemptLimits(timeout_s=0.05), policy)
