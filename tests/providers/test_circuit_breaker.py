"""When an endpoint, a key or a model is left alone and when it may be asked again, by a clock that stands still."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sizewise.errors import (
    ModelUnavailable,
    SizewiseError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from sizewise.handler import Request, Send, TextDelta, discard_events
from sizewise.messages import Choice, Reply, Usage
from sizewise.providers.circuit_breaker import (
    COOLDOWN_S,
    FAILURE_THRESHOLD,
    MAX_COOLDOWN_S,
    RETRY_BURST,
    BreakerSet,
    CircuitBreaker,
    CircuitBreakerHandler,
    RetryBudget,
)
from tests.properties import examples, tried_with_all
from tests.routing.router_harness import asking, chat

pytestmark = tried_with_all

REPLY = Reply((Choice(text="yes", finish_reason="stop"),), Usage(1, 1))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """An Answerer that fails as it is told, and can be held up before its first word."""

    def __init__(self) -> None:
        self.fails: SizewiseError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = 0

    async def __call__(self, request: Request, send: Send) -> Reply:
        self.begun += 1
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        await send(TextDelta(0, "yes"))
        return REPLY


class Model:
    """One model with its pulses, all by one clock; `other` is its neighbour at the same endpoint, with the same key."""

    def __init__(self) -> None:
        self.clock = Clock()
        endpoint, key, budget = CircuitBreaker(self.clock), CircuitBreaker(self.clock), RetryBudget()
        self.inside = Asked()
        self.watched = CircuitBreakerHandler(
            self.inside,
            "up/a",
            BreakerSet(endpoint, key, CircuitBreaker(self.clock), budget),
        )
        self.other = CircuitBreakerHandler(
            self.inside,
            "up/b",
            BreakerSet(endpoint, key, CircuitBreaker(self.clock), budget),
        )

    async def ask(self, watched: CircuitBreakerHandler | None = None) -> Reply:
        return await (watched or self.watched)(asking(chat("x")), discard_events)

    async def fail(self, error: SizewiseError, times: int = 1) -> None:
        self.inside.fails = error
        for _ in range(times):
            with pytest.raises(type(error)):
                await self.ask()
        self.inside.fails = None


def failed(about: str) -> UpstreamError:
    error = UpstreamError("out of luck")
    error.failure_scope = about  # type: ignore[assignment]  # one of them
    return error


async def test_failures_in_a_row_open_it_and_the_refusal_says_for_how_long() -> None:
    model = Model()
    await model.fail(failed("model"), FAILURE_THRESHOLD)
    begun = model.inside.begun
    with pytest.raises(ModelUnavailable) as refused:
        await model.ask()
    assert refused.value.retry_after == COOLDOWN_S and refused.value.status == 503
    assert "open circuit breaker: 3 consecutive failures, retry in 5 s" in refused.value.message
    assert model.inside.begun == begun, "nobody was asked"
    assert await model.ask(model.other) is REPLY, "its neighbour is well"


@pytest.mark.parametrize(
    ("about", "neighbour"),
    [("model", ""), ("endpoint", "circuit breaker"), ("key", "circuit breaker")],
)
async def test_a_failure_counts_for_whoever_it_is_about(about: str, neighbour: str) -> None:
    model = Model()
    await model.fail(failed(about), FAILURE_THRESHOLD)
    assert "circuit breaker" in model.watched.breakers.unavailable_reason()
    assert neighbour in model.other.breakers.unavailable_reason() and bool(
        model.other.breakers.unavailable_reason(),
    ) == bool(neighbour)


async def test_a_refusal_of_the_request_is_no_illness_and_shows_that_it_can_think() -> None:
    model = Model()
    await model.fail(UpstreamTimeout("late"), FAILURE_THRESHOLD - 1)
    await model.fail(UpstreamRejected("no"), 5)
    await model.fail(UpstreamTimeout("late"), FAILURE_THRESHOLD - 1)
    assert model.watched.breakers.state() == "closed"


async def test_after_the_cooldown_one_request_at_a_time_tries_it_out() -> None:
    model = Model()
    await model.fail(UpstreamUnreachable("reset"), FAILURE_THRESHOLD)
    model.clock.now += COOLDOWN_S
    assert model.watched.breakers.state() == "half_open" and not model.watched.breakers.unavailable_reason()
    model.inside.gate.clear()
    begun = model.inside.begun
    probe = asyncio.create_task(model.ask())
    await asyncio.sleep(0)
    for _ in range(10):
        with pytest.raises(ModelUnavailable, match="half-open circuit breaker"):
            await model.ask()
    assert model.inside.begun == begun + 1
    model.inside.gate.set()
    assert await probe is REPLY
    assert model.watched.breakers.state() == "closed" and await model.ask() is REPLY


async def test_the_first_word_of_who_tries_it_out_is_enough() -> None:
    model = Model()
    await model.fail(UpstreamUnreachable("reset"), FAILURE_THRESHOLD)
    model.clock.now += COOLDOWN_S
    seen: list[str] = []

    async def hear(event: object) -> None:
        seen.append(model.watched.breakers.state())

    await model.watched(asking(chat("x")), hear)
    assert seen == ["closed"]


async def test_who_fails_to_heal_it_opens_it_for_twice_as_long_up_to_a_minute() -> None:
    model, waits = Model(), []
    await model.fail(UpstreamUnreachable("reset"), FAILURE_THRESHOLD)
    for _ in range(6):
        waits.append(model.watched.breakers.retry_after_s())
        model.clock.now += waits[-1]
        await model.fail(UpstreamUnreachable("reset"))
    assert waits == [5, 10, 20, 40, 60, 60] and MAX_COOLDOWN_S == 60


async def test_who_tries_it_out_and_leaves_makes_room_for_the_next() -> None:
    model = Model()
    await model.fail(UpstreamUnreachable("reset"), FAILURE_THRESHOLD)
    model.clock.now += COOLDOWN_S
    model.inside.gate.clear()
    probe = asyncio.create_task(model.ask())
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    model.inside.gate.set()
    assert await model.ask() is REPLY


async def test_a_named_pause_is_kept_by_all_and_then_over_for_all() -> None:
    model = Model()
    await model.fail(UpstreamOverloaded("slow down", retry_after=7))
    with pytest.raises(ModelUnavailable) as refused:
        await model.ask()
    assert refused.value.retry_after == 7
    model.clock.now += 7
    model.inside.gate.clear()
    both = [asyncio.create_task(model.ask()) for _ in range(2)]
    await asyncio.sleep(0)
    model.inside.gate.set()
    assert await asyncio.gather(*both) == [REPLY, REPLY]


async def test_a_storm_of_failures_that_were_under_way_counts_once() -> None:
    model = Model()
    model.inside.gate.clear()
    storm = [asyncio.create_task(model.ask()) for _ in range(100)]
    await asyncio.sleep(0)
    model.inside.fails = UpstreamUnreachable("reset")
    model.inside.gate.set()
    await asyncio.gather(*storm, return_exceptions=True)
    assert model.watched.breakers.retry_after_s() == COOLDOWN_S


def test_retries_stay_within_a_fifth_of_the_answers_and_ten_at_once() -> None:
    budget = RetryBudget()
    assert sum(budget.try_withdraw() for _ in range(100)) == RETRY_BURST
    for _ in range(100):
        budget.deposit()
    assert sum(budget.try_withdraw() for _ in range(100)) == RETRY_BURST
    spent = 0
    for _ in range(1_000):
        budget.deposit()
        spent += budget.try_withdraw()
    assert spent == pytest.approx(200, abs=1)


class Life(RuleBasedStateMachine):
    """Requests come, end well or ill or not at all, in any order, and time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.pulse = CircuitBreaker(self.clock)
        self.under_way: list[bool] = []  # whether it tries it out

    @precondition(lambda self: self.pulse.retry_after_s() == 0)
    @rule()
    def comes(self) -> None:
        state = self.pulse.state
        trying = self.pulse.begin_probe()
        assert trying == (state == "half_open")
        self.under_way.append(trying)

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 99), end=st.sampled_from(["well", "failed", "busy", "untold"]))
    def ends(self, number: int, end: str) -> None:
        trying = self.under_way.pop(number % len(self.under_way))
        if end == "well":
            self.pulse.record_success()
            assert self.pulse.failures == 0
        elif end == "untold":
            if trying:
                self.pulse.cancel_probe()
        else:
            self.pulse.record_failure("upstream_busy", 7.0 if end == "busy" else None)
            assert self.pulse.failures > 0

    @rule(seconds=st.sampled_from([0.5, 5.0, 61.0]))
    def passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def it_says_why_and_for_how_long_and_never_for_ever(self) -> None:
        assert bool(self.pulse.unavailable_reason()) == (self.pulse.retry_after_s() > 0)
        assert not (self.pulse.is_clear and (self.pulse.failures or self.pulse.retry_after_s()))
        assert 0 <= self.pulse.retry_after_s() <= MAX_COOLDOWN_S
        if self.pulse.failures >= FAILURE_THRESHOLD:
            assert self.pulse.state != "closed"
        if self.pulse.state == "open":
            assert self.pulse.retry_after_s() > 0


Life.TestCase.settings = settings(examples(60), stateful_step_count=40)
TestLife = Life.TestCase
