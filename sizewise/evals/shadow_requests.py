"""Shadow requests: the same request for another model, and the request that asks a judge to compare two answers."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from sizewise.handler import Request, RequestOptions
from sizewise.messages import ChatRequest, Message
from sizewise.providers.wires.original_body import ORIGINAL_FIELD

_encode = msgspec.json.Encoder().encode

DELIVERY_FIELDS = frozenset({"stream", "stream_options", "logprobs", "top_logprobs", "store", "metadata"})
"""Fields about the delivery and storage of an answer."""
MAX_VERDICT_TOKENS = 1_000
"""Maximum output tokens of a judge: one word, plus a reasoning model's thinking. No temperature is set, since some
models refuse any."""


def shadow_request(request: Request, model: str, started: float, max_cost: int | None) -> Request:
    """The same request to `model`, with the same caller, data class and reach, but without a session and not stored.

    A request with an original body of another wire keeps all its fields, since that body is sent unchanged.
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
    return Request(
        payload=what,
        principal=request.principal,
        trace_id=request.trace_id,
        started_at=started,
        options=_shadow_options(request, max_cost),
        endpoint="shadow",
    )


def judge_request(request: Request, model: str, prompt: str, started: float, max_cost: int | None) -> Request:
    """A request to a judge about answers to `request`, with the same caller, data class and reach."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": MAX_VERDICT_TOKENS,
    }
    fields = {name: Raw(_encode(value)) for name, value in body.items()}
    what = ChatRequest(model, [Message("user", prompt)], fields, max_tokens=MAX_VERDICT_TOKENS)
    return Request(
        payload=what,
        principal=request.principal,
        trace_id=request.trace_id,
        started_at=started,
        options=_shadow_options(request, max_cost),
        endpoint="judge",
    )


def _shadow_options(request: Request, max_cost: int | None) -> RequestOptions:
    """The empty `session` overrides one derived from other fields of the request."""
    asked = request.options
    return RequestOptions(
        max_cost=max_cost,
        data_class=asked.data_class,
        online=asked.online,
        session="",
        cache="no-store",
    )


def is_comparable(request: Request) -> bool:
    """Whether a judge can compare answers as text: a chat request for one choice, without images, audio or files.

    A request with its own `min_quality` is not comparable: it says nothing about the policy's guarantee.
    """
    chat = request.payload
    return (
        isinstance(chat, ChatRequest)
        and chat.n == 1
        and request.options.min_quality is None
        and not chat.input_modalities()
    )
