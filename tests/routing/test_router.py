"""What a client gets from the router, and what stands in the books, move by move, on the echo model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sizewise.errors import (
    BudgetExceeded,
    ContextLengthExceeded,
    Forbidden,
    NotTrusted,
    SizewiseError,
    StreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from sizewise.handler import (
    AttemptFinished,
    ChoiceFinished,
    Event,
    ModelSelected,
    ReasoningDelta,
    Request,
    RequestOptions,
    Send,
    TextDelta,
    ToolDelta,
)
from sizewise.messages import Choice, Reply, Usage
from sizewise.money import UNKNOWN_PRICE
from sizewise.providers.echo import echo_card
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidates,
    PolicyRun,
    RequestFeatures,
    attempt,
    hedge,
    judge,
)
from sizewise.routing.requirements import expected_cost, requirements_of
from tests.routing.router_harness import (
    LARGE,
    SMALL,
    Client,
    Nested,
    Plays,
    Routing,
    agreeing,
    asking,
    chat,
    embed,
    racing,
    resuming,
)
from tests.timeouts import until

DOUBTED = "[[echo/small: logprob -3]]"
BOTH = ["echo/small", "echo/large"]


# ---- one attempt ----------------------------------------------------------------------------------------------------


def test_a_named_model_answers_and_its_words_pass_as_they_come() -> None:
    routing = Routing()
    reply = routing.run(chat("one two", model="echo/small"))
    assert reply.text == routing.client.text == "one two"
    kinds = [type(event) for event in routing.client.events]
    assert kinds == [ModelSelected, TextDelta, TextDelta, ChoiceFinished, AttemptFinished]
    assert routing.client.chosen == ModelSelected("echo/small", "named in the request", 1, "fixed", "internal")


def test_an_attempt_is_booked_with_its_exact_cost_and_its_times() -> None:
    routing = Routing()
    routing.run(chat("one two three", model="echo/small"))
    (tried,) = routing.client.tried
    assert (tried.model, tried.place, tried.result) == ("echo/small", "process", "answered")
    assert (tried.usage, tried.cost) == (Usage(3, 3), 3 * 1_000 + 3 * 2_000)
    assert tried.first_token_s is not None and 0 <= tried.start_s <= tried.first_token_s <= tried.end_s


def test_a_whole_reply_is_announced_too() -> None:
    routing = Routing()
    reply = routing.run(chat("one two", model="echo/small", stream=False))
    assert reply.text == "one two"
    assert [type(event) for event in routing.client.events] == [ModelSelected, AttemptFinished]


def test_thoughts_and_tool_calls_pass_like_words() -> None:
    routing = Routing()
    routing.run(chat("[[think hm]] [[tool look {}]]", model="echo/small", tools=[{}]))
    assert [type(event) for event in routing.client.shown] == [ReasoningDelta, ToolDelta, ToolDelta, ChoiceFinished]


def test_several_choices_pass_side_by_side() -> None:
    routing = Routing()
    reply = routing.run(chat("hi", model="echo/small", n=2))
    assert [choice.text for choice in reply.choices] == ["hi", "hi"]
    assert [event.choice for event in routing.client.shown] == [0, 0, 1, 1]


def test_vectors_come_through_the_same_endpoint() -> None:
    routing = Routing(replace(echo_card("echo/vectors"), task="embed"))
    reply = routing.run(embed("red", "blue"))
    assert len(reply.embeddings) == 2
    assert routing.client.chosen.reason == "auto is the only configured embedding model"
    assert routing.client.tried[0].usage == Usage(2)


def test_with_one_model_configured_auto_is_that_model_and_says_so() -> None:
    routing = Routing(SMALL)
    assert routing.run(chat("one two")).text == "one two"
    assert routing.client.chosen.reason == "auto is the only configured model"
    assert [type(event) for event in routing.client.events][:2] == [ModelSelected, TextDelta]  # streamed, not held


def test_a_refusal_reaches_the_client_as_it_was_raised() -> None:
    routing = Routing()
    with pytest.raises(UpstreamOverloaded) as caught:
        routing.run(chat("[[busy retry_after=99]]", model="echo/small"))
    assert caught.value.retry_after == 99
    assert routing.client.results == [("echo/small", "failed")]
    assert routing.client.tried[0].error_code == "upstream_busy" and routing.client.tried[0].cost == 0
    assert not any(isinstance(event, ModelSelected) for event in routing.client.events)


# ---- before and after the first word --------------------------------------------------------------------------------


def test_a_failure_before_the_first_word_falls_back() -> None:
    routing = Routing(policy=CheapestPolicy(retries=0))
    reply = routing.run(chat("one two [[echo/small: fail garbled]]"))
    assert reply.text == routing.client.text == "one two"
    assert routing.client.results == [("echo/small", "failed"), ("echo/large", "answered")]
    assert (
        routing.client.chosen.reason == "echo/small failed (upstream_garbled)" and routing.client.chosen.attempts == 2
    )


def test_a_failure_after_the_first_word_cannot_be_unsaid() -> None:
    routing = Routing(policy=CheapestPolicy())
    with pytest.raises(StreamInterrupted) as caught:
        routing.run(chat("one two three [[echo/small: fail after=2]]"))
    assert isinstance(caught.value.__cause__, UpstreamUnreachable)
    assert routing.client.text == "one two"
    (tried,) = routing.client.tried
    assert (tried.model, tried.result, tried.error_code) == ("echo/small", "failed", "upstream_unreachable")
    assert tried.usage.estimated and tried.usage.output == 2 and tried.cost is not None and tried.cost > 0


def test_a_client_that_waits_for_the_whole_never_sees_a_broken_answer() -> None:
    routing = Routing(policy=CheapestPolicy(retries=0))
    reply = routing.run(chat("one two three [[echo/small: fail after=2]]", stream=False))
    assert reply.text == "one two three" and reply.model == "large"
    assert routing.client.results == [("echo/small", "failed"), ("echo/large", "answered")]


def test_a_policy_that_begins_again_after_the_first_word_only_ends_the_stream() -> None:
    def stubborn(question: RequestFeatures, field: Candidates) -> PolicyRun:
        yield Attempt(field[0].card, "first")
        return (yield from attempt(field[1].card, "once more"))

    routing = Routing(policy=Plays(stubborn))
    with pytest.raises(StreamInterrupted):
        routing.run(chat("one two [[echo/small: fail after=1]]"))
    assert routing.client.text == "one" and routing.echoes["echo/large"].request_count == 0


def test_a_model_that_cannot_be_reached_is_asked_once_more_and_both_are_booked() -> None:
    routing = Routing()
    assert routing.run(chat("one two [[fail times=1]]", model="echo/small")).text == "one two"
    assert routing.client.results == [("echo/small", "failed"), ("echo/small", "answered")]
    assert routing.client.chosen.reason == "echo/small failed (upstream_unreachable); retried"


def test_a_busy_model_is_waited_for_if_its_pause_is_short() -> None:
    routing = Routing()
    assert routing.run(chat("one [[busy retry_after=0.01 times=1]]", model="echo/small")).text == "one"
    with pytest.raises(UpstreamOverloaded):
        routing.run(chat("one [[busy retry_after=30 times=1]]", model="echo/small"))


async def test_a_pause_before_an_attempt_can_be_cancelled_and_books_nothing_for_it() -> None:
    routing = Routing(policy=FixedPolicy(max_retry_delay_s=60))
    task = asyncio.create_task(routing.ask(chat("one [[busy retry_after=60]]")))
    await until(lambda: routing.echoes["echo/small"].request_count == 1)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert routing.client.results == [("echo/small", "failed")]


# ---- hold, judge, go up ---------------------------------------------------------------------------------------------


def test_a_trusted_reply_of_the_small_model_is_shown_whole() -> None:
    routing = Routing()
    reply = routing.run(chat("one two"))
    assert reply.text == routing.client.text == "one two"
    assert routing.client.chosen.model == "echo/small"
    assert "trusted" in routing.client.chosen.reason and "uncalibrated" in routing.client.chosen.reason
    assert routing.client.results == [("echo/small", "answered")]
    assert routing.client.tried[0].score == pytest.approx(0.905, abs=0.001)


def test_a_distrusted_reply_is_never_seen_and_both_attempts_are_paid_for() -> None:
    routing = Routing()
    reply = routing.run(chat(f"one two {DOUBTED} [[echo/small: say wrong words]] [[echo/large: say right]]"))
    assert reply.text == routing.client.text == "right"
    assert routing.client.results == [("echo/small", "distrusted"), ("echo/large", "answered")]
    small, large = routing.client.tried
    assert small.score is not None and small.score < 0.1 and "confidence" in small.reason
    assert small.cost and large.cost
    assert "wrong" not in str(routing.client.events)
    assert routing.client.chosen.attempts == 2 and "no smaller model was trusted" in routing.client.chosen.reason


def test_a_reply_that_a_rule_objects_to_is_distrusted_with_the_reason() -> None:
    routing = Routing()
    routing.run(chat("[[echo/small: say I don't know.]] [[echo/large: say Paris]] capital of France"))
    assert routing.client.text == "Paris"
    assert routing.client.tried[0].score == 0 and "does not know" in routing.client.tried[0].reason


async def test_nothing_is_sent_while_a_reply_is_held() -> None:
    routing = Routing()
    task = asyncio.create_task(routing.ask(chat("one two three [[echo/small: hang after=2]]")))
    await until(lambda: routing.echoes["echo/small"].request_count == 1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert routing.client.events == []
    task.cancel()
    await asyncio.wait([task])


def test_a_hold_is_bounded_then_the_next_model_is_asked() -> None:
    routing = Routing(policy=CascadePolicy(hold_s=0.02))
    assert routing.run(chat("one [[echo/small: hang]]")).text == "one"
    assert routing.client.results == [("echo/small", "failed"), ("echo/large", "answered")]
    assert routing.client.tried[0].error_code == "upstream_timeout"
    assert routing.echoes["echo/small"].cancel_count == 1


def test_log_probabilities_asked_for_only_by_the_judge_are_not_shown() -> None:
    routing = Routing()
    reply = routing.run(chat("one two"))
    assert reply.choices[0].logprobs is None
    assert all(event.logprobs is None for event in routing.client.events if isinstance(event, TextDelta))
    asked = routing.run(chat("one two", logprobs=True))
    assert asked.choices[0].logprobs is not None
    assert all(event.logprobs is not None for event in routing.client.events if isinstance(event, TextDelta))


def test_a_model_that_gives_no_log_probabilities_is_trusted_by_rules_alone() -> None:
    routing = Routing(echo_card("echo/mute", logprobs=None, parameters=10), LARGE)
    assert routing.run(chat("one")).model == "mute"
    assert routing.client.tried[0].score is None


def test_when_the_last_model_fails_its_error_is_the_answer() -> None:
    routing = Routing()
    with pytest.raises(UpstreamProtocolError):
        routing.run(chat(f"one {DOUBTED} [[echo/large: fail garbled]]"))
    assert routing.client.results == [("echo/small", "distrusted"), ("echo/large", "failed")]
    assert routing.client.shown == []


def test_show_marked_shows_the_best_held_reply_and_says_that_it_is_degraded() -> None:
    routing = Routing(policy=CascadePolicy(when_exhausted="show_marked"))
    reply = routing.run(chat(f"one two {DOUBTED} [[echo/large: fail garbled]]"))
    assert reply.text == routing.client.text == "one two"
    assert reply.degraded == "trusted only at 0.05, and echo/large failed (upstream_garbled)"
    assert routing.client.chosen.reason.startswith("shown although")
    assert routing.client.results == [("echo/small", "answered"), ("echo/large", "failed")]


def test_a_small_model_that_fails_is_no_harm() -> None:
    routing = Routing()
    assert routing.run(chat("one [[echo/small: fail]]")).model == "large"
    assert routing.client.chosen.reason.startswith("no smaller model answered: echo/small failed (")


def test_a_policy_can_refuse_what_nobody_trusts() -> None:
    def strict(question: RequestFeatures, field: Candidates) -> PolicyRun:
        got = yield from attempt(field[0].card, "only one", "hold")
        assert got.reply is not None
        seen = yield from judge(got.reply)
        return msgspec.structs.replace(got, reply=None, error="not_trusted", message=f"not good enough: {seen.why}")

    routing = Routing(policy=Plays(strict))
    with pytest.raises(NotTrusted, match="not good enough"):
        routing.run(chat("one"))
    assert routing.client.results == [("echo/small", "distrusted")] and routing.client.shown == []


def test_a_held_reply_beyond_all_bounds_is_given_up() -> None:
    async def endless(request: Request, send: Send) -> Reply:
        while True:
            await send(TextDelta(0, "x" * 1_000_000))

    routing = Routing(others={"echo/small": endless})
    assert routing.run(chat("one")).model == "large"
    assert routing.client.tried[0].error_code == "upstream_garbled"


# ---- race, all, resume ----------------------------------------------------------------------------------------------


def test_in_a_race_the_first_to_speak_wins_and_the_loser_is_stopped_and_booked() -> None:
    routing = Routing(policy=racing(0.0, *BOTH))
    reply = routing.run(chat("one two [[echo/small: hang]]"))
    assert reply.model == "large" and routing.client.text == "one two"
    assert routing.client.results == [("echo/small", "lost_race"), ("echo/large", "answered")]
    assert routing.echoes["echo/small"].cancel_count == 1
    assert routing.client.tried[0].usage.estimated


def test_a_race_starts_its_second_only_when_the_first_is_slow() -> None:
    routing = Routing(policy=racing(30.0, *BOTH))
    assert routing.run(chat("one two")).model == "small"
    assert routing.echoes["echo/large"].request_count == 0


def test_a_race_starts_its_second_at_once_when_the_first_fails() -> None:
    routing = Routing(policy=racing(30.0, *BOTH))
    assert routing.run(chat("one two [[echo/small: fail]]")).model == "large"
    assert routing.client.results == [("echo/small", "failed"), ("echo/large", "answered")]


def test_words_of_two_racers_are_never_mixed() -> None:
    routing = Routing(policy=racing(0.0, *BOTH))
    routing.run(chat("[[slow 0.01]] [[echo/small: say a a a a a a]] [[echo/large: say b b b b b b]]"))
    assert len(set(routing.client.text.split())) == 1 and len(routing.client.text.split()) == 6
    assert sorted(result for _, result in routing.client.results) == ["answered", "lost_race"]


def test_a_racer_whose_turn_never_came_is_neither_asked_nor_booked() -> None:
    routing = Routing(policy=racing(0.0, *BOTH))
    routing.run(chat("one two"))
    assert routing.client.results == [("echo/small", "answered")] and routing.echoes["echo/large"].request_count == 0


def test_a_race_of_whole_replies_is_won_by_the_first_reply() -> None:
    routing = Routing(policy=racing(0.0, *BOTH))
    assert routing.run(chat("one [[echo/small: hang]]", stream=False)).model == "large"
    assert routing.client.results == [("echo/small", "lost_race"), ("echo/large", "answered")]


def test_a_race_that_everybody_loses_gives_the_last_error() -> None:
    routing = Routing(policy=racing(0.0, *BOTH))
    with pytest.raises(SizewiseError):
        routing.run(chat("[[fail]]"))
    assert [result for _, result in routing.client.results] == ["failed", "failed"]


def test_a_winner_that_breaks_off_ends_the_stream() -> None:
    routing = Routing(policy=racing(0.0, *BOTH))
    with pytest.raises(StreamInterrupted):
        routing.run(chat("one two three [[echo/large: hang]] [[echo/small: slow 0.01]] [[echo/small: fail after=2]]"))
    assert routing.client.text == "one two"
    assert routing.client.results == [("echo/small", "failed"), ("echo/large", "lost_race")]


def test_a_first_word_has_a_deadline_and_the_rest_has_none() -> None:
    def hurried(question: RequestFeatures, field: Candidates) -> PolicyRun:
        got = yield from attempt(field[0].card, "quick", "first_word", 0.03)
        return got if got.is_final else (yield from attempt(field[1].card, "the quick one was slow"))

    routing = Routing(policy=Plays(hurried))
    assert routing.run(chat("one two three [[pace 0.03]]")).model == "small"
    assert routing.run(chat("one two three [[echo/small: hang]]")).model == "large"


def test_all_are_asked_at_once_and_only_the_chosen_one_is_shown() -> None:
    routing = Routing(policy=agreeing())
    reply = routing.run(chat("[[echo/small: say a]] [[echo/large: say b]]"))
    assert reply.text == routing.client.text == "a"
    assert routing.client.results == [("echo/small", "answered"), ("echo/large", "lost_race")]


def test_all_may_fail_one_by_one() -> None:
    routing = Routing(policy=agreeing())
    assert routing.run(chat("one [[echo/small: fail]]")).model == "large"
    with pytest.raises(UpstreamUnreachable):
        routing.run(chat("one [[fail]]"))
    assert [result for _, result in routing.client.results] == ["failed", "failed"]


def test_a_plain_answer_that_broke_off_is_finished_by_another_model() -> None:
    routing = Routing(policy=resuming())
    reply = routing.run(chat("one two three four [[echo/small: fail after=2]]", max_tokens=100))
    assert reply.text == routing.client.text == "one two three four"
    assert [type(event) for event in routing.client.events].count(ModelSelected) == 1
    assert routing.client.results == [("echo/small", "failed"), ("echo/large", "answered")]


@pytest.mark.parametrize(
    "body",
    [
        {"n": 2},
        {"logprobs": True},
        {"tools": [{}]},
    ],
)
def test_only_one_choice_of_plain_text_can_be_finished_by_another(body: dict[str, Any]) -> None:
    routing = Routing(policy=CheapestPolicy(resume=True))
    with pytest.raises(StreamInterrupted):
        routing.run(chat("one two three [[echo/small: fail after=2]]", **body))
    assert routing.echoes["echo/large"].request_count == 0


def test_an_answer_that_showed_a_thought_is_not_finished_by_another() -> None:
    routing = Routing(policy=CheapestPolicy(resume=True))
    with pytest.raises(StreamInterrupted):
        routing.run(chat("one two three [[think hm]] [[echo/small: fail after=2]]"))
    assert routing.echoes["echo/large"].request_count == 0


def test_a_resumed_answer_that_breaks_off_again_goes_on_with_the_next() -> None:
    third = echo_card("echo/third", parameters=10**12)
    routing = Routing(SMALL, LARGE, third, policy=CheapestPolicy(resume=True))
    cues = "[[echo/small: fail after=1]] [[echo/large: fail after=1]]"
    reply = routing.run(chat(f"one two three four {cues}"))
    assert reply.text == routing.client.text == "one two three four"
    assert [tried.result for tried in routing.client.tried][-1] == "answered"


# ---- the client leaves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "cues", "stopped"),
    [
        (FixedPolicy(), "[[hang]]", 1),
        (FixedPolicy(), "[[hang after=2]]", 1),
        (CascadePolicy(), "[[hang after=2]]", 1),
        (racing(0.0, *BOTH), "[[hang]]", 2),
        (agreeing(), "[[hang after=1]]", 2),
    ],
)
async def test_when_the_client_leaves_every_model_is_stopped_and_booked(policy: Plays, cues: str, stopped: int) -> None:
    routing = Routing(policy=policy)
    task = asyncio.create_task(routing.ask(chat(f"one two three {cues}")))
    await until(lambda: sum(echo.request_count for echo in routing.echoes.values()) == stopped)
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert sum(echo.cancel_count for echo in routing.echoes.values()) == stopped
    assert [tried.result for tried in routing.client.tried] == ["cancelled"] * stopped
    assert all(tried.usage.estimated and tried.usage.input > 0 for tried in routing.client.tried)


async def test_when_the_client_leaves_during_the_second_attempt_the_first_is_booked_as_distrusted() -> None:
    routing = Routing()
    task = asyncio.create_task(routing.ask(chat(f"one two {DOUBTED} [[echo/large: hang after=1]]")))
    await until(lambda: routing.client.text == "one")
    task.cancel()
    await asyncio.wait([task])
    assert routing.client.results == [("echo/small", "distrusted"), ("echo/large", "cancelled")]


async def test_a_client_that_leaves_while_the_books_are_written_does_not_stop_them() -> None:
    routing, client, waits = Routing(), Client(), asyncio.Event()

    async def slow(event: Event) -> None:
        if isinstance(event, AttemptFinished) and event.model == "echo/small":
            waits.set()
            await asyncio.Event().wait()
        await client.send(event)

    task = asyncio.create_task(routing.routed(asking(chat(f"one {DOUBTED}")), slow))
    await waits.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and client.results == [("echo/large", "answered")]


async def test_a_client_whose_connection_breaks_stops_the_model_and_nobody_else_is_asked() -> None:
    routing = Routing(policy=CheapestPolicy())
    client = Client(TextDelta, ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError):
        await routing.routed(asking(chat("one two")), client.send)
    assert client.results == [("echo/small", "failed")] and routing.echoes["echo/large"].request_count == 0


async def test_a_guard_that_stops_the_answer_is_not_taken_for_a_failure_of_the_model() -> None:
    routing = Routing(policy=CheapestPolicy(resume=True))
    client = Client(TextDelta, Forbidden("this may not be said"))
    with pytest.raises(Forbidden, match="may not be said"):
        await routing.routed(asking(chat("one two")), client.send)
    assert routing.echoes["echo/large"].request_count == 0


# ---- limits of the request ------------------------------------------------------------------------------------------


def test_the_asker_s_deadline_holds_for_all_attempts_together() -> None:
    routing = Routing()
    with pytest.raises(UpstreamTimeout):
        routing.run(chat("one [[hang]]"), RequestOptions(max_latency_ms=30))
    assert all(tried.error_code == "upstream_timeout" for tried in routing.client.tried)


def test_no_attempt_is_made_that_could_pass_the_most_a_request_may_cost() -> None:
    routing = Routing()
    what = chat(f"one {DOUBTED}", max_tokens=10)
    one = expected_cost(SMALL, requirements_of(asking(what), DataPolicy()).features) or 0
    with pytest.raises(BudgetExceeded, match="echo/large could cost"):
        routing.run(what, RequestOptions(max_cost=one))
    assert routing.client.results == [("echo/small", "distrusted")]
    assert routing.run(what, RequestOptions(max_cost=2 * one)).model == "large"


def test_an_answer_in_another_script_is_estimated_by_its_bytes_as_a_prompt_is() -> None:
    words = "資料在這 " * 40  # 3 bytes each, and about one token
    reply = Routing().run(chat(f"{words}[[uncounted]]", model="echo/small"))
    assert reply.usage.estimated and reply.usage.output >= 120
    routing = Routing(policy=CheapestPolicy())
    with pytest.raises(StreamInterrupted):
        routing.run(chat(f"{words}[[echo/small: fail after=30]]"))
    (tried,) = routing.client.tried
    assert tried.usage.estimated and tried.usage.output >= 90


def test_a_model_that_counts_nothing_is_booked_by_estimate() -> None:
    routing = Routing()
    reply = routing.run(chat("one two three four [[uncounted]]", model="echo/small"))
    assert reply.usage.estimated and reply.usage.input > 0 and reply.usage.output == 5
    assert routing.client.tried[0].usage == reply.usage


def test_an_unknown_price_makes_an_unknown_cost_and_a_refusal_costs_nothing() -> None:
    routing = Routing(echo_card("echo/dear", price=UNKNOWN_PRICE))
    routing.run(chat("one"))
    assert routing.client.tried[0].cost is None
    with pytest.raises(UpstreamOverloaded):
        routing.run(chat("[[busy]]"))
    assert routing.client.tried[0].cost == 0


def test_a_model_is_told_the_class_of_the_data_it_gets() -> None:
    seen: list[Request] = []

    async def model(request: Request, send: Send) -> Reply:
        seen.append(request)
        return Reply((Choice(text="ok", finish_reason="stop"),), Usage(1, 1))

    routing = Routing(SMALL, others={"echo/small": model})
    routing.run(chat("one"))
    routing.run(chat("one"), RequestOptions(data_class="confidential"))
    assert [ask.options.data_class for ask in seen] == ["internal", "confidential"]


# ---- faults ---------------------------------------------------------------------------------------------------------


def returns_nothing(question: RequestFeatures, field: Candidates) -> PolicyRun:
    yield Attempt(field[0].card, "held", "hold")
    return None  # type: ignore[return-value]  # the fault


def yields_nonsense(question: RequestFeatures, field: Candidates) -> PolicyRun:
    yield "please"  # type: ignore[misc]  # the fault
    return AttemptOutcome(field[0].card)


def asks_a_stranger(question: RequestFeatures, field: Candidates) -> PolicyRun:
    return (yield from attempt(echo_card("echo/stranger"), "why not"))


def invents(question: RequestFeatures, field: Candidates) -> PolicyRun:
    yield Attempt(field[0].card, "held", "hold")
    return AttemptOutcome(field[0].card, Reply((Choice(text="made up"),), Usage()), attempt_number=7)


def answers_twice(question: RequestFeatures, field: Candidates) -> PolicyRun:
    yield Attempt(field[0].card, "first")
    return (yield from attempt(field[1].card, "and another"))


def races_nobody(question: RequestFeatures, field: Candidates) -> PolicyRun:
    return (yield from hedge((), 0.1))


def says_neither(question: RequestFeatures, field: Candidates) -> PolicyRun:
    got = yield from attempt(field[0].card, "held", "hold")
    return msgspec.structs.replace(got, reply=None)


@pytest.mark.parametrize(
    "plays",
    [returns_nothing, yields_nonsense, asks_a_stranger, invents, answers_twice, races_nobody, says_neither],
)
def test_a_faulty_policy_is_a_clear_error_and_what_it_did_is_booked(
    plays: Callable[[RequestFeatures, Candidates], PolicyRun],
) -> None:
    routing = Routing(policy=Plays(plays))
    with pytest.raises(SizewiseError, match="the policy 'default'") as caught:
        routing.run(chat("one"))
    assert caught.value.code == "internal_error" and caught.value.status == 500
    assert len(routing.client.tried) == sum(echo.request_count for echo in routing.echoes.values())
    assert "made up" not in routing.client.text


async def test_a_policy_is_closed_when_the_request_ends_early() -> None:
    closed: list[bool] = []

    def tidy(question: RequestFeatures, field: Candidates) -> PolicyRun:
        try:
            return (yield from attempt(field[0].card, "first"))
        finally:
            closed.append(True)

    routing = Routing(policy=Plays(tidy))
    task = asyncio.create_task(routing.ask(chat("one [[hang]]")))
    await until(lambda: routing.echoes["echo/small"].request_count == 1)
    task.cancel()
    await asyncio.wait([task])
    assert closed == [True]


@pytest.mark.parametrize("policy", [FixedPolicy(), racing(0.0, *BOTH), agreeing()])
def test_an_unforeseen_fault_of_a_model_is_booked_and_raised(policy: Plays) -> None:
    async def faulty(request: Request, send: Send) -> Reply:
        raise LookupError("a fault")

    routing = Routing(policy=policy, others={"echo/small": faulty, "echo/large": faulty})
    with pytest.raises(LookupError):
        routing.run(chat("one"))
    assert {tried.error_code for tried in routing.client.tried if tried.result == "failed"} == {"internal_error"}


def test_a_model_s_own_timeout_is_not_taken_for_ours() -> None:
    async def faulty(request: Request, send: Send) -> Reply:
        raise TimeoutError("its own")

    routing = Routing(others={"echo/small": faulty})
    with pytest.raises(TimeoutError, match="its own"):
        routing.run(chat("one"))


def test_a_router_behind_a_router_passes_its_books_on_and_keeps_its_choice_to_itself() -> None:
    inner = Routing(echo_card("in/a", parameters=1), echo_card("in/b", parameters=2))
    outer = Routing(SMALL, LARGE, others={"echo/small": Nested(inner.routed)})
    reply = outer.run(chat("one two"))
    assert reply.text == outer.client.text == "one two"
    assert outer.client.chosen.model == "echo/small"
    assert [tried.model for tried in outer.client.tried] == ["in/a", "echo/small"]


def test_a_refusal_before_routing_asks_and_books_nobody() -> None:
    routing = Routing()
    with pytest.raises(ContextLengthExceeded):
        routing.run(chat("word " * 50_000, model="echo/small"))
    assert routing.client.events == []
