"""Shadow requests: the same request for another model, and the request that asks a judge to compare two answers."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from sizewise.handler import Request, RequestOptions
from sizewise.messages import ChatRequest, Message
from sizewise.providers.wires.original_body import ORIGINAL_FIELD

_encode = msgspec.json.Encoder().encode

DELIVERY_FIELDS = frozenset({"stream", "stream_options", "logprobs", "top_logprobs", "store", "metadata"})
"""Fields that are about how an answer comes, and where it is kept."""
MAX_VERDICT_TOKENS = 1_000
"""Tokens of a judge's answer at most: a word, and what a reasoning model thinks before. No temperature is said, for
some models refuse any."""


def shadow_request(request: Request, model: str, started: float, max_cost: int | None) -> Request:
    """The same request to `model`: of the same caller, class of data and reach, but of no session and kept nowhere.

    What came in another wire stays as it came, or it could not be sent on as it is.
    """
    chat = request.payload
    assert isinstance(chat, ChatRequest)
    named = {"model": Raw(_encode(model))}
    if ORIGINAL_FIELD in chat.fields:
        what = msgspec.structs.replace(chat, model=model, fields=chat.fields | named)
    else:
        fields = {name: raw for name, raw in chat.fields.items() if name not in DELIVERY_FIELDS} | named
        what = msgspec.structs.replace(
            chat,
            model=model,
            fields=fields,
            stream=False,
            include_usage=False,
            logprobs=False,
        )
    return Request(what, request.principal, request.trace_id, started, _shadow_options(request, max_cost), "shadow")


def judge_request(request: Request, model: str, prompt: str, started: float, max_cost: int | None) -> Request:
    """A judge's question about an answer to `request`: as closely kept as that was."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": MAX_VERDICT_TOKENS,
    }
    fields = {name: Raw(_encode(value)) for name, value in body.items()}
    what = ChatRequest(model, [Message("user", prompt)], fields, max_tokens=MAX_VERDICT_TOKENS)
    return Request(what, request.principal, request.trace_id, started, _shadow_options(request, max_cost), "judge")


def _shadow_options(request: Request, max_cost: int | None) -> RequestOptions:
    """An empty session is none, whatever else in the request would name one."""
    asked = request.options
    return RequestOptions(
        max_cost=max_cost,
        data_class=asked.data_class,
        online=asked.online,
        session="",
        cache="no-store",
    )


def is_comparable(request: Request) -> bool:
    """Whether words alone say which of two answers is better: one choice, and nothing to look at or to listen to.

    One that wishes for another quality than was promised tells nothing of the promise.
    """
    chat = request.payload
    return (
        isinstance(chat, ChatRequest)
        and chat.n == 1
        and request.options.min_quality is None
        and not chat.input_modalities()
    )
