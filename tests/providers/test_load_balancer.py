"""Several keys and addresses for one model: who gets its turn when, and what one that is ill changes for the others."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.errors import ModelUnavailable, UpstreamError, UpstreamOverloaded, UpstreamTimeout
from sizewise.handler import Request, Send, discard_events
from sizewise.messages import Choice, Reply, Usage
from sizewise.providers.circuit_breaker import BreakerSet, CircuitBreaker, CircuitBreakerHandler, RetryBudget
from sizewise.providers.load_balancer import MAX_TRACKED_REQUESTS, LoadBalancer, Replica
from tests.routing.router_harness import asking, chat

REPLY = Reply((Choice(text="yes", finish_reason="stop"),), Usage(1, 1))


class Several:
    """Replicas that note who was asked; `fails` says what befalls whom."""

    def __init__(self, *weights: int) -> None:
        self.asked: list[int] = []
        self.fails: dict[int, UpstreamError] = {}
        self.hangs: set[int] = set()
        endpoint, budget = CircuitBreaker(), RetryBudget()
        watched = [
            CircuitBreakerHandler(
                self._answering(i),
                "up/m",
                BreakerSet(endpoint, CircuitBreaker(), CircuitBreaker(), budget),
            )
            for i in range(len(weights))
        ]
        self.model = LoadBalancer("up/m", [Replica(one, weight) for one, weight in zip(watched, weights, strict=True)])

    def _answering(self, number: int) -> Replied:
        return Replied(self, number)

    async def ask(self, ask: Request | None = None) -> Reply:
        return await self.model(ask or asking(chat("x")), discard_events)


class Replied:
    def __init__(self, several: Several, number: int) -> None:
        self._several, self._number = several, number

    async def __call__(self, request: Request, send: Send) -> Reply:
        self._several.asked.append(self._number)
        if self._number in self._several.hangs:
            await asyncio.Event().wait()
        if self._number in self._several.fails:
            raise self._several.fails[self._number]
        return REPLY


@pytest.mark.long
@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=5), rounds=st.integers(1, 4))
def test_turns_are_exactly_by_weight_and_smooth(weights: list[int], rounds: int) -> None:
    async def run() -> None:
        several = Several(*weights)
        for _ in range(sum(weights) * rounds):
            await several.ask()
        assert Counter(several.asked) == {number: weight * rounds for number, weight in enumerate(weights)}

    asyncio.run(run())


async def test_of_three_and_one_every_fourth_turn_is_the_second_s() -> None:
    several = Several(3, 1)
    for _ in range(8):
        await several.ask()
    assert several.asked == [0, 0, 1, 0] * 2


@pytest.mark.parametrize("error", [UpstreamOverloaded("busy", retry_after=30), UpstreamTimeout("late")])
async def test_a_request_that_is_asked_again_goes_elsewhere_and_is_told_that_it_may_at_once(
    error: UpstreamError,
) -> None:
    several, request = Several(1, 1), asking(chat("x"))
    several.fails[0] = error
    with pytest.raises(type(error)) as failed:
        await several.ask(request)
    assert failed.value.retryable and failed.value.retry_after == 0.0
    assert await several.ask(request) is REPLY
    assert several.asked == [0, 1]


async def test_a_key_that_is_refused_is_left_alone_alone_and_at_once() -> None:
    several = Several(1, 1)
    denied = UpstreamError("no")
    denied.failure_scope = "key"
    several.fails[0] = denied
    with pytest.raises(UpstreamError):
        await several.ask()
    for _ in range(5):
        await several.ask()
    assert several.asked == [0, 1, 1, 1, 1, 1]
    assert several.model.unavailable_reason() == ""


async def test_when_all_are_ill_the_refusal_says_when_the_first_is_well_again() -> None:
    several = Several(1, 1)
    several.fails = {0: UpstreamOverloaded("busy", retry_after=30), 1: UpstreamOverloaded("busy", retry_after=9)}
    for _ in range(2):
        with pytest.raises(UpstreamOverloaded):
            await several.ask()
    with pytest.raises(ModelUnavailable, match="circuit breaker") as refused:
        await several.ask()
    assert refused.value.retry_after == pytest.approx(9, abs=0.5)
    assert several.asked == [0, 1] and several.model.retry_after_s() == pytest.approx(9, abs=0.5)


async def test_a_second_asking_that_races_the_first_goes_to_another() -> None:
    several, request = Several(1, 1), asking(chat("x"))
    several.hangs = {0}
    first = asyncio.create_task(several.ask(request))
    await asyncio.sleep(0)
    assert await several.ask(request) is REPLY
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert several.asked == [0, 1]


async def test_what_is_remembered_of_failed_requests_is_bounded() -> None:
    several = Several(1, 1)
    refused = UpstreamError("about the request")
    several.fails = {0: refused, 1: refused}
    for _ in range(MAX_TRACKED_REQUESTS + 50):
        with pytest.raises(UpstreamError):
            await several.ask()
    assert len(several.model._tried) <= MAX_TRACKED_REQUESTS
