"""Requests as byte strings and back, for a worker process: fields as they are, with nothing decoded or copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from sizewise.messages import ChatRequest, EmbeddingRequest, JsonFields, Message
from sizewise.offload.frames import Bytes

Payload = ChatRequest | EmbeddingRequest

_messages = msgspec.json.Decoder(list[Message])


class PayloadHead(Struct, frozen=True, array_like=True):
    """What the parts after it are: the values of these fields."""

    is_chat: bool
    names: list[str]


def to_parts(payload: Payload) -> list[Bytes]:
    head = PayloadHead(isinstance(payload, ChatRequest), list(payload.fields))
    return [msgspec.msgpack.encode(head), *raw_parts(payload.fields)]


def raw_parts(fields: JsonFields) -> list[Bytes]:
    return [memoryview(raw) for raw in fields.values()]


def from_parts(parts: Sequence[bytes]) -> Payload:
    """A request with the same fields, messages and inputs; its other values are not set. Raises msgspec's errors."""
    head = msgspec.msgpack.decode(parts[0], type=PayloadHead)
    fields: JsonFields = {name: Raw(raw) for name, raw in zip(head.names, parts[1:], strict=True)}
    if head.is_chat:
        return ChatRequest("", _messages.decode(fields["messages"]), fields)
    said = msgspec.json.decode(fields["input"])
    inputs = [said] if isinstance(said, str) else said if isinstance(said[0], str | list) else [said]
    return EmbeddingRequest("", inputs, fields)


def changed_fields(before: Mapping[str, Raw], after: Mapping[str, Raw]) -> dict[str, Raw]:
    return {name: raw for name, raw in after.items() if raw is not before.get(name)}
