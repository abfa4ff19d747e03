"""Request rewriting for an attempt (log-probabilities, resume, token caps), and its reversal in the reply.

Held models are asked for log-probabilities that the client may not have requested, and a second model can continue
where a first was interrupted.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw

from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Choice, JsonFields, Message, Reply
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody, with_max_tokens

CHUNK_SEPARATOR = b"\n\ndata: "
"""Separator of upstream chunks if one event carries several."""

_encode = msgspec.json.Encoder().encode
_TRUE, _NULL = Raw(b"true"), Raw(b"null")
_body = msgspec.json.Decoder(JsonFields)
_choices = msgspec.json.Decoder(list[JsonFields])

E = TypeVar("E", TextDelta, ToolDelta, ReasoningDelta, RawDelta, ChoiceFinished)


def with_logprobs(chat: ChatRequest) -> ChatRequest:
    return msgspec.structs.replace(chat, logprobs=True, fields={**chat.fields, "logprobs": _TRUE})


def without_logprobs(event: Event) -> Event:
    """The event as without log-probabilities, frame included."""
    if isinstance(event, TextDelta):
        event = msgspec.structs.replace(event, logprobs=None)
    if isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta | ChoiceFinished) and event.frame:
        chunks = [_without_logprobs(chunk) for chunk in event.frame.split(CHUNK_SEPARATOR)]
        return msgspec.structs.replace(event, frame=CHUNK_SEPARATOR.join(chunks))
    return event


def reply_without_logprobs(reply: Reply) -> Reply:
    choices = tuple(msgspec.structs.replace(choice, logprobs=None) for choice in reply.choices)
    body = reply.body if reply.body is None else _without_logprobs(reply.body)
    return msgspec.structs.replace(reply, choices=choices, body=body)


def _without_logprobs(body: bytes) -> bytes:
    """A completion or chunk whose choices have `logprobs: null`; every other field keeps its bytes and its place."""
    fields = _body.decode(body)
    if "choices" not in fields:
        return body
    choices = _choices.decode(fields["choices"])
    for choice in choices:
        if "logprobs" in choice:
            choice["logprobs"] = _NULL
    fields["choices"] = Raw(_encode(choices))
    return _encode(fields)


def without_frame(event: Event) -> Event:
    """The event without its upstream chunk, which would show another model's id and name in mid-stream."""
    if (
        isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta | ChoiceFinished)
        and event.frame is not None
    ):
        return msgspec.structs.replace(event, frame=None)
    return event


def resume_request(chat: ChatRequest, prefix: str, spent_tokens: int) -> ChatRequest:
    """The request for another model to continue after `prefix`; `spent_tokens` (estimated) of its maximum are used."""
    messages = msgspec.json.decode(chat.fields["messages"], type=list[Raw])
    messages.append(Raw(_encode({"role": "assistant", "content": prefix})))
    fields = {**chat.fields, "messages": Raw(_encode(messages))}
    left = None
    if chat.max_tokens is not None:
        left = max(1, chat.max_tokens - spent_tokens)
        for name in ("max_tokens", "max_completion_tokens"):
            if name in fields:
                fields[name] = Raw(_encode(left))
    return msgspec.structs.replace(
        chat,
        messages=[*chat.messages, Message("assistant", prefix)],
        fields=fields,
        max_tokens=left,
    )


def with_token_limit(chat: ChatRequest, max_tokens: int) -> ChatRequest:
    """The request with a maximum answer that the budget can pay; also set in the original body, if there is one."""
    limit = Raw(_encode(max_tokens))
    if ORIGINAL_FIELD not in chat.fields:
        return msgspec.structs.replace(
            chat,
            max_tokens=max_tokens,
            fields={**chat.fields, "max_completion_tokens": limit},
        )
    fields = {**chat.fields, "max_tokens": limit, ORIGINAL_FIELD: with_max_tokens(chat.fields[ORIGINAL_FIELD], limit)}
    return msgspec.structs.replace(chat, max_tokens=max_tokens, fields=fields)


def single_choice_request(chat: ChatRequest, number: int) -> ChatRequest:
    """The request for one choice alone, choice `number` of the client's. A seed gives each choice its own."""
    fields = _without_n(chat.fields, number)
    if ORIGINAL_FIELD in fields:
        found = msgspec.json.decode(fields[ORIGINAL_FIELD], type=OriginalBody)
        body = Raw(_encode(_without_n(_body.decode(found.body), number)))
        fields[ORIGINAL_FIELD] = msgspec.structs.replace(found, body=body).to_field()
    return msgspec.structs.replace(chat, n=1, fields=fields)


def _without_n(fields: JsonFields, number: int) -> JsonFields:
    kept = {name: raw for name, raw in fields.items() if name not in ("n", "best_of")}
    seed = msgspec.json.decode(kept.get("seed", _NULL))
    if isinstance(seed, int) and seed + number < 2**63:
        kept["seed"] = Raw(_encode(seed + number))
    return kept


def join_reply(prefix: str, reply: Reply) -> Reply:
    """One reply from the text before an interruption and the reply after it."""
    first, *_ = reply.choices or (Choice(),)
    whole = msgspec.structs.replace(first, text=prefix + first.text, message=None)
    return msgspec.structs.replace(reply, choices=(whole,), body=None)


def mark_degraded(reply: Reply, reason: str) -> Reply:
    """The reply with the reason why it is shown although untrusted; the body's other fields are kept."""
    fields = reply.fields
    if reply.body is not None:
        body = _body.decode(reply.body)
        fields = {name: raw for name, raw in body.items() if name not in ("choices", "usage", "model", "id")}
    return msgspec.structs.replace(reply, degraded=reason, fields=fields, body=None)
