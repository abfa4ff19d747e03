"""Converts a reply into stream events, and coalesces stream events; no wire format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, JsonFields, Reply

ContentEvent = TextDelta | ToolDelta | ReasoningDelta | RawDelta | ChoiceFinished
"""Content from the model; the other events are about attempts and guardrails."""

TYPED_MESSAGE_FIELDS = frozenset({"role", "content", "tool_calls", "reasoning_content"})
"""Message fields that a Choice holds as typed values."""

_encode = msgspec.json.Encoder().encode


def events_of(reply: Reply) -> Iterator[ContentEvent]:
    """A whole reply as the events of a stream, choice by choice, without frames."""
    for choice in reply.choices:
        message = {} if choice.message is None else msgspec.json.decode(choice.message, type=JsonFields)
        yield from _reasoning_deltas(choice, message)
        if choice.text or choice.logprobs is not None:
            yield TextDelta(choice.index, choice.text, choice.logprobs)
        yield from _tool_call_deltas(choice, message)
        rest = {
            name: raw for name, raw in message.items() if name not in TYPED_MESSAGE_FIELDS and bytes(raw) != b"null"
        }
        if rest:
            yield RawDelta(choice.index, rest)
        yield ChoiceFinished(choice.index, choice.finish_reason or "stop")


def _reasoning_deltas(choice: Choice, message: JsonFields) -> Iterator[ContentEvent]:
    """Signed blocks stay separate, because a signature belongs to exactly one text."""
    blocks = msgspec.json.decode(message["thinking_blocks"]) if "thinking_blocks" in message else ()
    signed: list[Mapping[str, Any]] = [block for block in blocks if block.get("type") == "thinking"]
    for block in signed:
        yield ReasoningDelta(choice.index, block["thinking"], block.get("signature", ""))
    if choice.reasoning and not signed:
        yield ReasoningDelta(choice.index, choice.reasoning)


def _tool_call_deltas(choice: Choice, message: JsonFields) -> Iterator[ContentEvent]:
    for number, call in enumerate(choice.tool_calls):
        if call.function is not None:
            yield ToolDelta(
                choice=choice.index, index=number, id=call.id, name=call.function.name, json=call.function.arguments
            )
        elif "tool_calls" in message:  # of a type that is not parsed: passed on unchanged
            raw = msgspec.json.decode(message["tool_calls"])[number]
            yield RawDelta(choice.index, {"tool_calls": Raw(_encode([{"index": number, **raw}]))})


def coalesce(events: Iterable[Event]) -> list[ContentEvent]:
    """The content events in the fewest events with the same content, in order and without frames."""
    words: list[ContentEvent] = []
    for event in events:
        if not isinstance(event, ContentEvent):
            continue
        whole = _merge(words[-1], event) if words else None
        if whole is None:
            words.append(event if event.frame is None else replace(event, frame=None))
        else:
            words[-1] = whole
    return words


def _merge(before: ContentEvent, event: ContentEvent) -> ContentEvent | None:
    """Both as one event; None if they cannot be merged."""
    if before.choice != event.choice:
        return None
    match before, event:
        case TextDelta(logprobs=None), TextDelta(logprobs=None):
            return replace(before, text=before.text + event.text)
        case ReasoningDelta(signature=""), ReasoningDelta(signature=""):
            return replace(before, text=before.text + event.text)
        case ToolDelta(), ToolDelta(id="", name="") if before.index == event.index:
            return replace(before, json=before.json + event.json)
    return None
