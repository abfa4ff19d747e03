"""The short way of a name that means one model: never taken where constraints object, and told as the long one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.errors import SizewiseError
from sizewise.handler import Event, Tried, Wishes
from sizewise.messages import Chat, Embed, Reply
from sizewise.model_card import Card
from sizewise.principal import Caller, Scope
from sizewise.providers.echo import Echo
from sizewise.routing.admission import permitted
from sizewise.routing.constraints import field, need
from sizewise.routing.data_policy import EVERYWHERE, Terms
from sizewise.routing.direct_route import straight
from sizewise.routing.model_aliases import Names, Plan
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.policies.fixed import Fixed
from sizewise.routing.router import Routed, well
from sizewise.routing.session_store import session
from tests.routing.router_harness import JUDGES, LARGE, SMALL, Client, asking, chat

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
bodies = st.fixed_dictionaries(
    {"text": st.sampled_from(["", "one", "word " * 50, "word " * 3_000])},
    optional={
        "n": st.integers(1, 3),
        "max_tokens": st.integers(1, 5_000),
        "logprobs": st.booleans(),
        "tools": st.just([{"type": "function", "function": {"name": "f"}}]),
        "response_format": st.just({"type": "json_object"}),
        "user": st.sampled_from(["ann", "ann_session_1"]),
        "prompt_cache_key": st.just("k"),
        "messages": st.just([{"role": "user", "content": [{"type": "text", "text": "see"}, PICTURE]}]),
    },
)
wished = st.builds(
    Wishes,
    max_cost=st.sampled_from([None, None, 0, 10**9]),
    max_ms=st.sampled_from([None, None, 500]),
    min_window=st.sampled_from([None, None, 10_000]),
    data_class=st.sampled_from([None, "public", "confidential"]),
    online=st.sampled_from([None, "deny"]),
    session=st.sampled_from([None, None, "", "s"]),
)
scopes = st.none() | st.builds(
    Scope, models=st.sampled_from([(), ("echo/*",), ("other/x",)]), policies=st.sampled_from([(), ("p",)])
)
cards = st.builds(
    lambda place, **facts: replace(SMALL, endpoint=replace(SMALL.endpoint, place=place), **facts),
    place=st.sampled_from(["process", "network", "anyone"]),
    context=st.sampled_from([None, 1_000, 100_000]),
    tools=st.sampled_from([None, False, True]),
    task=st.sampled_from(["chat", "chat", "embed"]),
)


@given(bodies, wished, scopes, cards, st.sampled_from(["", "", "is ill"]))
def test_it_is_taken_only_where_the_constraints_would_ask_that_model(
    body: dict[str, object], wishes: Wishes, scope: Scope | None, card: Card, ill: str
) -> None:
    what = chat(**{"model": card.name, **body})  # type: ignore[arg-type]  # of mixed kinds
    ask, terms = asking(what, wishes, Caller(scope=scope)), Terms(EVERYWHERE)
    plan = Names((card, LARGE), {"default": Cascade()})(what)
    prompt = straight(ask, plan, card, terms.of(ask, plan.name), lambda card: ill)
    if prompt:
        permitted(ask, plan)
        needed = need(ask, terms, plan.name)
        candidates, against = field(plan, needed, lambda card: ill)
        assert [each.card for each in candidates] == [card] and not against
        assert prompt == needed.question.tokens and not what.schema and session(ask) is None


def test_an_ordinary_request_takes_it() -> None:
    ask = asking(chat(model="echo/small", max_tokens=5))
    plan = Names((SMALL, LARGE), {"default": Cascade()})(ask.what)
    assert plan.only is SMALL
    assert straight(ask, plan, SMALL, Terms().of(ask, plan.name), well)


def roundabout(plan: Plan) -> Plan:
    """The same plan, by a policy that does the same and is not known to."""
    return replace(plan, policy=Fixed(why=plan.why, max_retry_delay_s=1.999))


async def told(plans: Callable[[Chat | Embed, str | None], Plan], text: str, stream: bool, leaves: bool) -> list[str]:
    echo, client = Echo(SMALL, asyncio.Event() if leaves else None), Client()
    routed = Routed(plans, lambda card: echo, JUDGES)
    task = asyncio.ensure_future(routed(asking(chat(text, model="echo/small", stream=stream)), client.send))
    await asyncio.sleep(0)
    if leaves:
        await asyncio.sleep(0.01)
        task.cancel()
    end: Reply | BaseException
    try:
        end = await task
    except (SizewiseError, asyncio.CancelledError) as error:
        end = error
    return [*map(shown, client.events), end.text if isinstance(end, Reply) else repr(end)]


def shown(event: Event) -> str:
    if isinstance(event, Tried):
        event = msgspec.structs.replace(event, began=0.0, first=None if event.first is None else 0.0, ended=0.0)
    return repr(event)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "text",
    [
        "one two three",
        "one two [[uncounted]]",
        "one [[fail]]",
        "one [[fail times=1]]",
        "one [[busy retry_after=0.01 times=1]]",
        *(f"one [[fail {how}]]" for how in ("refused", "garbled", "slow", "upstream", "unavailable", "toolong")),
        "one two [[fail after=1]] three",
    ],
)
def test_it_is_told_and_booked_as_the_long_way_is(text: str, stream: bool) -> None:
    names = Names((SMALL, LARGE), {"default": Cascade()})
    assert names(chat(model="echo/small")).only is SMALL
    short = asyncio.run(told(names, text, stream, leaves=False))
    assert short == asyncio.run(told(lambda what, policy: roundabout(names(what, policy)), text, stream, leaves=False))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_is_booked_as_on_the_long_way(stream: bool) -> None:
    names = Names((SMALL, LARGE), {"default": Cascade()})
    short = asyncio.run(told(names, "one [[wait]]", stream, leaves=True))
    assert "CancelledError" in short[-1] and any("cancelled" in line for line in short[:-1])
    assert short == asyncio.run(
        told(lambda what, policy: roundabout(names(what, policy)), "one [[wait]]", stream, True)
    )
