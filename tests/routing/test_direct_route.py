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
from sizewise.handler import AttemptFinished, Event, RequestOptions
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.principal import KeyScope, Principal
from sizewise.providers.echo import EchoModel
from sizewise.routing.admission import check_key_policies
from sizewise.routing.constraints import eligible_models
from sizewise.routing.data_policy import DEFAULT_REACH, DataPolicy
from sizewise.routing.direct_route import direct_prompt_tokens
from sizewise.routing.model_aliases import ModelAliases, RoutePlan
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.requirements import requirements_of
from sizewise.routing.router import Router, always_healthy
from sizewise.routing.session_store import session_key
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
    RequestOptions,
    max_cost=st.sampled_from([None, None, 0, 10**9]),
    max_latency_ms=st.sampled_from([None, None, 500]),
    min_context_tokens=st.sampled_from([None, None, 10_000]),
    data_class=st.sampled_from([None, "public", "confidential"]),
    online=st.sampled_from([None, "deny"]),
    session=st.sampled_from([None, None, "", "s"]),
)
scopes = st.none() | st.builds(
    KeyScope,
    models=st.sampled_from([(), ("echo/*",), ("other/x",)]),
    policies=st.sampled_from([(), ("p",)]),
)
cards = st.builds(
    lambda place, **facts: replace(SMALL, endpoint=replace(SMALL.endpoint, place=place), **facts),
    place=st.sampled_from(["process", "network", "anyone"]),
    context=st.sampled_from([None, 1_000, 100_000]),
    tools=st.sampled_from([None, False, True]),
    task=st.sampled_from(["chat", "chat", "embed"]),
)


@pytest.mark.long
@given(bodies, wished, scopes, cards, st.sampled_from(["", "", "is ill"]))
def test_it_is_taken_only_where_the_constraints_would_ask_that_model(
    body: dict[str, object],
    wishes: RequestOptions,
    scope: KeyScope | None,
    card: ModelCard,
    ill: str,
) -> None:
    what = chat(**{"model": card.name, **body})  # type: ignore[arg-type]  # of mixed kinds
    request, terms = asking(what, wishes, Principal(scope=scope)), DataPolicy(DEFAULT_REACH)
    plan = ModelAliases((card, LARGE), {"default": CascadePolicy()})(what)
    prompt = direct_prompt_tokens(request, plan, card, terms.decide(request, plan.policy_name), lambda card: ill)
    if prompt:
        check_key_policies(request, plan)
        needed = requirements_of(request, terms, plan.policy_name)
        candidates, against = eligible_models(plan, needed, lambda card: ill)
        assert [each.card for each in candidates] == [card] and not against
        assert prompt == needed.features.prompt_tokens and not what.schema and session_key(request) is None


def test_an_ordinary_request_takes_it() -> None:
    request = asking(chat(model="echo/small", max_tokens=5))
    plan = ModelAliases((SMALL, LARGE), {"default": CascadePolicy()})(request.payload)
    assert plan.direct_card is SMALL
    assert direct_prompt_tokens(request, plan, SMALL, DataPolicy().decide(request, plan.policy_name), always_healthy)


def roundabout(plan: RoutePlan) -> RoutePlan:
    """The same plan, by a policy that does the same and is not known to."""
    return replace(plan, policy=FixedPolicy(why=plan.why, max_retry_delay_s=1.999))


async def sent_events(
    plans: Callable[[ChatRequest | EmbeddingRequest, str | None], RoutePlan],
    text: str,
    stream: bool,
    leaves: bool,
) -> list[str]:
    echo, client = EchoModel(SMALL, asyncio.Event() if leaves else None), Client()
    routed = Router(plan=plans, connect=lambda card: echo, judge=JUDGES)
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
    if isinstance(event, AttemptFinished):
        event = msgspec.structs.replace(
            event,
            start_s=0.0,
            first_token_s=None if event.first_token_s is None else 0.0,
            end_s=0.0,
        )
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
async def test_it_is_told_and_booked_as_the_long_way_is(text: str, stream: bool) -> None:
    names = ModelAliases((SMALL, LARGE), {"default": CascadePolicy()})
    assert names(chat(model="echo/small")).direct_card is SMALL
    short = await sent_events(names, text, stream, leaves=False)
    assert short == await sent_events(lambda what, policy: roundabout(names(what, policy)), text, stream, leaves=False)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_client_that_leaves_is_booked_as_on_the_long_way(stream: bool) -> None:
    names = ModelAliases((SMALL, LARGE), {"default": CascadePolicy()})
    short = await sent_events(names, "one [[wait]]", stream, leaves=True)
    assert "CancelledError" in short[-1] and any("cancelled" in line for line in short[:-1])
    assert short == await sent_events(
        lambda what, policy: roundabout(names(what, policy)), "one [[wait]]", stream, True
    )
