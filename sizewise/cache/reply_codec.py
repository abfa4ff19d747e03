"""Encodes replies with their stream events to bytes and back; stores nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict, replace

from sizewise.handler import ChoiceFinished, ModelSelected, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, Reply
from sizewise.providers.wires.openai.usage_and_errors import ABSENT, value_or_none
from sizewise.reply_events import ContentEvent, events_of


class StoredReply(Struct, frozen=True):
    """A reply and the model selection behind it. `content_events` is empty if the reply was not streamed."""

    model_selected: ModelSelected
    reply: Reply
    content_events: tuple[ContentEvent, ...] = ()

    def events(self) -> tuple[ContentEvent, ...]:
        """The reply as stream events."""
        return self.content_events or tuple(events_of(self.reply))


class _EncodedReply(Struct, frozen=True, array_like=True):
    """JSON with raw parts of the body unchanged; `body` is separate because it need not be text."""

    model_selected: ModelSelected
    reply: bytes
    body: bytes | None
    content_events: bytes


class _Choice(Choice, frozen=True):
    """For decoding: msgspec reads optional raw JSON only with a default of type Raw."""

    logprobs: Raw = ABSENT
    message: Raw = ABSENT


class _Reply(Reply, frozen=True):
    choices: tuple[_Choice, ...]


class _TextDelta(TextDelta, frozen=True):
    logprobs: Raw = ABSENT


EVENT_TYPES: Mapping[str, type[ContentEvent]] = MappingProxyType(
    {
        "TextDelta": _TextDelta,
        **{kind.__name__: kind for kind in (ToolDelta, ReasoningDelta, RawDelta, ChoiceFinished)},
    },
)


def encode_reply(stored: StoredReply) -> bytes:
    reply = msgspec.json.encode(replace(stored.reply, body=None))
    words = msgspec.json.encode([(type(word).__name__, word) for word in stored.content_events])
    return msgspec.msgpack.encode(_EncodedReply(stored.model_selected, reply, stored.reply.body, words))


def decode_reply(data: bytes) -> StoredReply:
    seen = msgspec.msgpack.decode(data, type=_EncodedReply)
    reply = msgspec.json.decode(seen.reply, type=_Reply)
    words = msgspec.json.decode(seen.content_events, type=list[tuple[str, Raw]])
    said = {**asdict(reply), "choices": tuple(map(_choice, reply.choices)), "body": seen.body}
    return StoredReply(seen.model_selected, Reply(**said), tuple(_content_event(kind, raw) for kind, raw in words))


def _choice(seen: _Choice) -> Choice:
    raw = {"logprobs": value_or_none(seen.logprobs), "message": value_or_none(seen.message)}
    return Choice(**{**asdict(seen), **raw})


def _content_event(kind: str, raw: Raw) -> ContentEvent:
    word = msgspec.json.decode(raw, type=EVENT_TYPES[kind])
    return TextDelta(word.choice, word.text, value_or_none(word.logprobs)) if isinstance(word, _TextDelta) else word
