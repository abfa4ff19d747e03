"""Requests with a deadline: who is asked, who is left out, and how much time each gets; played in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from sizewise.errors import Busy, NoModelFits
from sizewise.handler import RequestOptions
from sizewise.model_card import ModelCard
from sizewise.money import FREE
from sizewise.providers.echo import echo_card
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.deadlines import Forecaster, Queue
from sizewise.routing.explain import RoutingDecision, explain
from sizewise.routing.pace import PROBE_EVERY, ModelPaces
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import Policy
from sizewise.routing.router import Router, always_healthy
from tests import virtual_time
from tests.routing.router_harness import JUDGES, Client, Routing, asking, chat
from tests.routing.test_pace import attempt

SMALL = echo_card("echo/small", parameters=100_000_000, price=FREE)
LARGE = echo_card("echo/large", parameters=70_000_000_000, price=FREE)
TRUSTED, DISTRUSTED = "one two", "one two [[echo/small: logprob -9]]"


class Line:
    """A queue whose wait is given."""

    def __init__(self, wait_s: float, in_use: int = 0) -> None:
        self.wait_s, self.in_use = wait_s, in_use

    def predicted_wait_s(self, key: str, *, background: bool = False) -> float:
        return self.wait_s


class Timed:
    """A router over two free echo models with measured paces: seconds that a request takes, by model."""

    def __init__(
        self,
        policy: Policy | None = None,
        queues: Mapping[str, Line] | None = None,
        **seconds: float,
    ) -> None:
        self.routing = Routing(SMALL, LARGE, policy=policy)
        self.paces = ModelPaces()
        for name, each in seconds.items():
            for _ in range(20):
                self.paces[f"echo/{name}"].finished.append(attempt(10, 3, each / 2, each))
                self.paces[f"echo/{name}"].by_load()
        self._queues = queues or {}
        self.router = Router(
            plan=self.routing.names,
            connect=lambda card: self.routing.echoes[card.name],
            judge=JUDGES,
            forecaster=Forecaster(self.paces, self.queue_of),
        )

    def queue_of(self, card: ModelCard) -> Queue | None:
        return self._queues.get(card.name)

    def ask(self, text: str = TRUSTED, max_ms: int | None = 8_000, model: str = "auto") -> Client:
        client = Client()
        request = asking(chat(text, model, max_tokens=3), RequestOptions(max_latency_ms=max_ms))
        virtual_time.run(self._call(request, client))
        return client

    async def _call(self, request: object, client: Client) -> None:
        await self.router(request, client.send)  # type: ignore[arg-type]  # a Request

    def explain(self, text: str = TRUSTED, max_ms: int | None = 8_000) -> RoutingDecision:
        return explain(
            asking(chat(text, max_tokens=3), RequestOptions(max_latency_ms=max_ms)),
            self.routing.names,
            always_healthy,
            DataPolicy(),
            forecaster=Forecaster(self.paces, self.queue_of),
        )


# ---- the large model starts in time


def test_a_small_model_that_hangs_leaves_half_of_an_unmeasured_deadline_to_the_large_one() -> None:
    client = Timed().ask("one two [[echo/small: hang]]")
    assert client.results == [("echo/small", "failed"), ("echo/large", "answered")]
    assert client.tried[0].error_code == "upstream_timeout"


def test_a_held_model_gets_what_the_large_one_does_not_need() -> None:
    timed = Timed(large=2.0)
    client = timed.ask("one two [[echo/small: hang]]")
    assert client.results == [("echo/small", "failed"), ("echo/large", "answered")]


def test_a_small_model_without_time_to_escalate_is_not_asked_first() -> None:
    timed = Timed(small=5.0, large=4.0)
    client = timed.ask()
    assert client.results == [("echo/large", "answered")]
    assert "the deadline leaves no time to judge a smaller model first" in client.chosen.reason
    assert timed.explain().steps[0].models == ("echo/large",)


def test_with_time_for_both_the_small_model_is_asked_first_and_escalates() -> None:
    timed = Timed(small=1.0, large=2.0)
    assert timed.ask().results == [("echo/small", "answered")]
    assert timed.ask(DISTRUSTED).results == [("echo/small", "distrusted"), ("echo/large", "answered")]


def test_a_first_model_that_streams_nothing_leaves_time_for_the_next() -> None:
    timed = Timed(FixedPolicy(models=("echo/small", "echo/large"), retries=0), small=1.0, large=1.0)
    assert timed.ask("one two [[echo/small: hang]]").results == [("echo/small", "failed"), ("echo/large", "answered")]


def test_a_stream_that_has_begun_may_use_the_whole_deadline() -> None:
    timed = Timed(FixedPolicy(models=("echo/small", "echo/large"), retries=0), small=1.0, large=1.0)
    client = timed.ask("one two [[echo/small: pace 7]]")
    assert client.results == [("echo/small", "answered")] and client.text == "one two"


def test_without_a_deadline_nothing_is_cut_short() -> None:
    timed = Timed(small=1.0, large=1.0)
    assert timed.ask("one two [[echo/small: slow 50]]", None).results == [("echo/small", "answered")]


# ---- who cannot make it


def test_a_model_that_cannot_make_it_is_left_out_and_the_decision_says_so() -> None:
    timed = Timed(small=20.0, large=1.0)
    client = timed.ask()
    assert client.results == [("echo/large", "answered")]
    assert "echo/small would take about" in client.chosen.reason and "the request has 8.0 s" in client.chosen.reason
    told = timed.explain()
    assert [each.eligible for each in told.candidates] == [True, False]
    assert "would take about" in told.candidates[1].why and "would take about" in told.why


def test_nobody_who_can_make_it_is_a_refusal_at_once_with_the_prediction() -> None:
    timed = Timed(small=20.0, large=30.0)
    with pytest.raises(NoModelFits, match=r"echo/small would take about .* s.*echo/large would take about"):
        timed.ask()
    assert [echo.request_count for echo in timed.routing.echoes.values()] == [0, 0]


@pytest.mark.parametrize("model", ["echo/small", "small"])
def test_a_named_model_that_cannot_make_it_is_refused_with_the_time_that_it_needs(model: str) -> None:
    with pytest.raises(NoModelFits, match=r"^echo/small would take about \d+\.\d s for up to 3 tokens") as raised:
        Timed(small=20.0).ask(model=model)
    assert raised.value.param == "max_ms" and "max_tokens" in raised.value.hint and " ms" in raised.value.hint


def test_a_queue_that_is_too_long_is_busy_and_says_when_to_come_back() -> None:
    queues = {"echo/small": Line(30.0), "echo/large": Line(20.0)}
    with pytest.raises(Busy, match="of them in its queue") as raised:
        Timed(small=1.0, large=1.0, queues=queues).ask()
    assert raised.value.retry_after == 20


def test_what_was_never_measured_is_tried() -> None:
    assert Timed().ask(max_ms=1_000).results == [("echo/small", "answered")]


def test_a_refused_model_is_measured_anew_now_and_then() -> None:
    timed, answered = Timed(small=20.0), 0
    for _ in range(PROBE_EVERY):
        try:
            answered += bool(timed.ask(model="echo/small").results)
        except NoModelFits:
            continue
    assert answered == 1


def test_explaining_counts_no_probe() -> None:
    timed = Timed(small=20.0, large=1.0)
    assert all(not timed.explain().candidates[1].eligible for _ in range(2 * PROBE_EVERY))


# ---- time as a criterion where cost is none


def test_at_the_same_cost_a_weaker_model_that_answers_much_later_does_not_come_first() -> None:
    timed = Timed(CheapestPolicy(), small=9.0, large=2.0)
    assert timed.ask(max_ms=None).results == [("echo/large", "answered")]
    assert [each.model for each in timed.explain(max_ms=None).candidates] == ["echo/large", "echo/small"]


def test_a_queue_counts_as_time() -> None:
    assert Timed(small=1.0, large=2.0).ask(max_ms=None).results == [("echo/small", "answered")]
    queued = Timed(small=1.0, large=2.0, queues={"echo/small": Line(30.0)})
    assert queued.ask(max_ms=None).results == [("echo/large", "answered")]


def test_a_little_later_does_not_turn_the_order() -> None:
    assert Timed(small=2.4, large=2.0).ask(max_ms=None).results == [("echo/small", "answered")]


def test_what_costs_less_comes_first_however_long_it_takes() -> None:
    timed = Timed(CheapestPolicy(), small=9.0, large=2.0)
    dear = replace(LARGE, price=replace(FREE, output=1_000))
    timed.routing.names = Routing(SMALL, dear, policy=CheapestPolicy()).names
    assert [each.model for each in timed.explain(max_ms=None).candidates] == ["echo/small", "echo/large"]


def test_the_explanation_tells_the_predicted_time() -> None:
    told = Timed(small=1.0, large=2.0).explain(max_ms=None)
    assert told.candidates[0].expected_s == pytest.approx(1.0, rel=0.1)
    assert any(", in about " in each for each in told.sentences)
