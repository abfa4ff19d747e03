"""What an attempt changes of a request and must undo in its reply; pure, and all else stays as the bytes it was.

The router asks a held model for log-probabilities that the client may not have asked for, and lets a second model go
on where a first one broke off.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw

from sizewise.handler import Event, Extra, Finished, Text, Thought, ToolDelta
from sizewise.messages import Chat, Choice, Fields, Message, Reply
from sizewise.providers.wires.original_body import FIELD, with_limit

JOINT = b"\n\ndata: "
"""Between the upstream's chunks where one event carries several."""

_encode = msgspec.json.Encoder().encode
_TRUE, _NULL = Raw(b"true"), Raw(b"null")
_body = msgspec.json.Decoder(Fields)
_choices = msgspec.json.Decoder(list[Fields])

E = TypeVar("E", Text, ToolDelta, Thought, Extra, Finished)


def with_logprobs(chat: Chat) -> Chat:
    return msgspec.structs.replace(chat, logprobs=True, fields={**chat.fields, "logprobs": _TRUE})


def without_logprobs(event: Event) -> Event:
    """The event as it would have come without them, its frame included."""
    if isinstance(event, Text):
        event = msgspec.structs.replace(event, logprobs=None)
    if isinstance(event, Text | ToolDelta | Thought | Extra | Finished) and event.frame:
        chunks = [_stripped(chunk) for chunk in event.frame.split(JOINT)]
        return msgspec.structs.replace(event, frame=JOINT.join(chunks))
    return event


def reply_without_logprobs(reply: Reply) -> Reply:
    choices = tuple(msgspec.structs.replace(choice, logprobs=None) for choice in reply.choices)
    body = reply.body if reply.body is None else _stripped(reply.body)
    return msgspec.structs.replace(reply, choices=choices, body=body)


def _stripped(body: bytes) -> bytes:
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


def unframed(event: Event) -> Event:
    """The event without the upstream's own chunk: another model's id and name must not appear in mid-stream."""
    if isinstance(event, Text | ToolDelta | Thought | Extra | Finished) and event.frame is not None:
        return msgspec.structs.replace(event, frame=None)
    return event


def resumed(chat: Chat, said: str, tokens: int) -> Chat:
    """The request that asks another model to go on after `said`, about `tokens` of the answer's limit being spent."""
    messages = msgspec.json.decode(chat.fields["messages"], type=list[Raw])
    messages.append(Raw(_encode({"role": "assistant", "content": said})))
    fields = {**chat.fields, "messages": Raw(_encode(messages))}
    left = None
    if chat.max_tokens is not None:
        left = max(1, chat.max_tokens - tokens)
        for name in ("max_tokens", "max_completion_tokens"):
            if name in fields:
                fields[name] = Raw(_encode(left))
    return msgspec.structs.replace(
        chat, messages=[*chat.messages, Message("assistant", said)], fields=fields, max_tokens=left
    )


def capped(chat: Chat, tokens: int) -> Chat:
    """The request with the longest answer that can be paid, where it said none itself; an original says it too."""
    limit = Raw(_encode(tokens))
    if FIELD not in chat.fields:
        return msgspec.structs.replace(chat, max_tokens=tokens, fields={**chat.fields, "max_completion_tokens": limit})
    fields = {**chat.fields, "max_tokens": limit, FIELD: with_limit(chat.fields[FIELD], limit)}
    return msgspec.structs.replace(chat, max_tokens=tokens, fields=fields)


def joined(said: str, reply: Reply) -> Reply:
    """One reply of what was said before the break and what came after it."""
    first, *_ = reply.choices or (Choice(),)
    whole = msgspec.structs.replace(first, text=said + first.text, message=None)
    return msgspec.structs.replace(reply, choices=(whole,), body=None)


def marked(reply: Reply, degraded: str) -> Reply:
    """The reply with the reason why it is shown although it was distrusted; the body's other fields stay."""
    fields = reply.fields
    if reply.body is not None:
        body = _body.decode(reply.body)
        fields = {name: raw for name, raw in body.items() if name not in ("choices", "usage", "model", "id")}
    return msgspec.structs.replace(reply, degraded=degraded, fields=fields, body=None)
