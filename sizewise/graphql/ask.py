"""A question to a model as a subscription: its words as they come, at last what came of it; asks nobody itself."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Literal

import msgspec

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.graphql.context import Context
from sizewise.graphql.event_iterator import Done, following
from sizewise.graphql.model_type import Told
from sizewise.handler import Ask, Chosen, Send, Text, Tried, Wishes
from sizewise.messages import Chat, Reply
from sizewise.money import dollars
from sizewise.providers.wires.openai.request_response import read_request


async def ask(
    context: Context,
    prompt: str | None = None,
    body: object = None,
    model: str = "auto",
    policy: str | None = None,
    max_tokens: int | None = None,
    max_cost_usd: int | None = None,
    max_ms: int | None = None,
    min_quality: float | None = None,
    data_class: DataClass | None = None,
    online: Literal["deny", "allow"] | None = None,
    session: str | None = None,
) -> AsyncGenerator[Told, None]:
    """`max_cost_usd` comes in as pico-dollars. Raises BadBody, BadRequest."""
    what = chat(prompt, body, model, max_tokens)
    wishes = Wishes(policy, max_cost_usd, max_ms, min_quality, data_class, online, session)
    return _said(context, Ask(what, context.caller, context.trace, time.perf_counter(), wishes, "graphql"))


def chat(prompt: str | None, body: object, model: str, max_tokens: int | None) -> Chat:
    if (prompt is None) == (body is None):
        raise BadRequest("this needs a prompt or a body", "give one of the two", param="prompt")
    if prompt is not None:
        body = {"messages": [{"role": "user", "content": prompt}]}
    if not isinstance(body, dict):
        raise BadRequest("`body` is not an object", "give the body of a chat request", param="body")
    limit = {} if max_tokens is None else {"max_tokens": max_tokens}
    what, extras = read_request(msgspec.json.encode({"model": model, **body, **limit, "stream": True}))
    if extras is not None:
        raise BadRequest("`body` holds a `sizewise` object", "pass its options as arguments", param="body")
    return what


async def _said(context: Context, ask: Ask) -> AsyncGenerator[Told, None]:
    chosen, cost = Chosen("", "", 0), _Cost()
    async for event in following(partial(_asked, context, ask)):
        if isinstance(event, Text):
            yield {"ask": {"text": event.text, "choice": event.choice, "answer": None}}
        elif isinstance(event, Chosen):
            chosen = event
        elif isinstance(event, Tried):
            cost.add(event.cost)
        elif isinstance(event, Done):
            yield {"ask": {"text": "", "choice": 0, "answer": _answer(event.result, chosen, cost, ask.trace)}}


async def _asked(context: Context, ask: Ask, send: Send) -> Reply:
    return await context.house.answer(ask, send)


class _Cost:
    """Of all attempts together; None as soon as one is unknown."""

    def __init__(self) -> None:
        self.pico: int | None = 0

    def add(self, pico: int | None) -> None:
        self.pico = None if pico is None or self.pico is None else self.pico + pico


def _answer(reply: Reply, chosen: Chosen, cost: _Cost, trace: str) -> Told:
    usage = reply.usage
    return {
        "model": chosen.model,
        "why": chosen.why,
        "trace": trace,
        "degraded": reply.degraded,
        "costUsd": None if cost.pico is None else dollars(cost.pico),
        "tokens": {
            "input": usage.input,
            "output": usage.output,
            "cached": usage.cached,
            "cacheWrite": usage.cache_write,
            "reasoning": usage.reasoning,
            "estimated": usage.estimated,
        },
        "choices": [{"text": choice.text, "finishReason": choice.finish} for choice in reply.choices],
    }
