"""The `ask` subscription: streams the text of an answer, then its result."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Literal

import msgspec
from msgspec import UNSET

from sizewise.app.release_choice import answering
from sizewise.attempt_progress import ProgressUpdate
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.graphql.context import RequestContext
from sizewise.graphql.event_iterator import StreamResult, iterate_events
from sizewise.graphql.model_type import FieldValues
from sizewise.handler import (
    AttemptFinished,
    ModelSelected,
    ReasoningDelta,
    Request,
    RequestOptions,
    Send,
    TextDelta,
)
from sizewise.messages import ChatRequest, Reply
from sizewise.money import format_dollars
from sizewise.providers.wires.openai.request_response import read_request


async def ask(
    context: RequestContext,
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
    progress: bool = False,
) -> AsyncGenerator[FieldValues, None]:
    """`max_cost_usd` is in pico-dollars: the scalar Dollars converts it. Raises BadBody, BadRequest."""
    what = build_chat(prompt, body, model, max_tokens)
    options = RequestOptions(
        policy=policy,
        max_cost=max_cost_usd,
        max_latency_ms=max_ms,
        min_quality=min_quality,
        data_class=data_class,
        online=online,
        session=session,
        progress=progress or UNSET,
    )
    return _stream(
        context,
        Request(
            payload=what,
            principal=context.principal,
            trace_id=context.trace,
            started_at=time.perf_counter(),
            options=options,
            endpoint="graphql",
        ),
    )


def build_chat(prompt: str | None, body: object, model: str, max_tokens: int | None) -> ChatRequest:
    if (prompt is None) == (body is None):
        raise BadRequest("pass either `prompt` or `body`", "pass one of the two, not both", param="prompt")
    if prompt is not None:
        body = {"messages": [{"role": "user", "content": prompt}]}
    if not isinstance(body, dict):
        raise BadRequest("`body` is not an object", "pass the body of a chat request", param="body")
    limit = {} if max_tokens is None else {"max_tokens": max_tokens}
    what, extras = read_request(msgspec.json.encode({"model": model, **body, **limit, "stream": True}))
    if extras is not None:
        raise BadRequest("`body` has a `sizewise` object", "pass its options as arguments", param="body")
    return what


async def _stream(context: RequestContext, request: Request) -> AsyncGenerator[FieldValues, None]:
    chosen, cost = ModelSelected("", "", 0), _TotalCost()
    async for event in iterate_events(partial(_ask, context, request)):
        if isinstance(event, TextDelta):
            yield _chunk(text=event.text, choice=event.choice)
        elif isinstance(event, ReasoningDelta) and event.text:
            yield _chunk(reasoning=event.text, choice=event.choice)
        elif isinstance(event, ProgressUpdate):
            yield _chunk(attempt=_attempt(event))
        elif isinstance(event, ModelSelected):
            chosen = event
        elif isinstance(event, AttemptFinished):
            cost.add(event.cost)
        elif isinstance(event, StreamResult):
            yield _chunk(answer=_answer(event.result, chosen, cost, request.trace_id))


def _chunk(
    *,
    text: str = "",
    reasoning: str = "",
    choice: int = 0,
    attempt: FieldValues | None = None,
    answer: FieldValues | None = None,
) -> FieldValues:
    return {
        "ask": {"text": text, "reasoning": reasoning, "choice": choice, "attempt": attempt, "answer": answer},
    }


def _attempt(event: ProgressUpdate) -> FieldValues:
    return {
        "stage": event.stage,
        "model": event.model,
        "why": event.reason,
        "held": event.held,
        "step": event.step,
    }


async def _ask(context: RequestContext, request: Request, send: Send) -> Reply:
    app = await answering(context.app, request.principal, request.options.session, request.trace_id)
    return await app.handler(request, send)


class _TotalCost:
    """The cost of all attempts; None as soon as one is unknown."""

    def __init__(self) -> None:
        self.pico: int | None = 0

    def add(self, pico: int | None) -> None:
        self.pico = None if pico is None or self.pico is None else self.pico + pico


def _answer(reply: Reply, chosen: ModelSelected, cost: _TotalCost, trace: str) -> FieldValues:
    usage = reply.usage
    return {
        "model": chosen.model,
        "why": chosen.reason,
        "trace": trace,
        "degraded": reply.degraded,
        "freshness": chosen.freshness,
        "costUsd": None if cost.pico is None else format_dollars(cost.pico),
        "tokens": {
            "input": usage.input,
            "output": usage.output,
            "cached": usage.cached,
            "cacheWrite": usage.cache_write,
            "reasoning": usage.reasoning,
            "estimated": usage.estimated,
        },
        "choices": [{"text": choice.text, "finishReason": choice.finish_reason} for choice in reply.choices],
    }
