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
    """The content events in the fewest events with the same content, in order and without frames.

    Linear in the events: the texts of a run are joined once.
    """
    words: list[ContentEvent] = []
    run: list[ContentEvent] = []
    for event in events:
        if not isinstance(event, ContentEvent):
            continue
        if run and not _continues(run[0], event):
            words.append(_joined(run))
            run.clear()
        run.append(event)
    return [*words, _joined(run)] if run else words


def _continues(first: ContentEvent, event: ContentEvent) -> bool:
    """Whether both, and what is between them, can be one event."""
    if first.choice != event.choice:
        return False
    match first, event:
        case TextDelta(logprobs=None), TextDelta(logprobs=None):
            return True
        case ReasoningDelta(signature=""), ReasoningDelta(signature=""):
            return True
        case ToolDelta(), ToolDelta(id="", name=""):
            return first.index == event.index
    return False


def _joined(run: list[ContentEvent]) -> ContentEvent:
    """The one event of a run."""
    first = run[0]
    if len(run) == 1:
        return first if first.frame is None else replace(first, frame=None)
    if isinstance(first, ToolDelta):
        return replace(first, json="".join([each.json for each in run if isinstance(each, ToolDelta)]), frame=None)
    assert isinstance(first, TextDelta | ReasoningDelta)
    text = "".join([each.text for each in run if isinstance(each, TextDelta | ReasoningDelta)])
    return replace(first, text=text, frame=None)
