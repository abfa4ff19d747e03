"""An answer that was given, as the events that give it again: from a whole reply, or from its stream; pure, no wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.handler import Event, Extra, Finished, Text, Thought, ToolDelta
from sizewise.messages import Choice, Fields, Reply

Word = Text | ToolDelta | Thought | Extra | Finished
"""What a model says; the other events speak of the attempt."""

READ = frozenset({"role", "content", "tool_calls", "reasoning_content"})
"""Of a message: what a Choice says in typed values."""

_encode = msgspec.json.Encoder().encode


def told(reply: Reply) -> Iterator[Word]:
    """A whole reply as a stream would have told it, choice by choice; frames are left to whoever writes them."""
    for choice in reply.choices:
        message = {} if choice.message is None else msgspec.json.decode(choice.message, type=Fields)
        yield from _thoughts(choice, message)
        if choice.text or choice.logprobs is not None:
            yield Text(choice.index, choice.text, choice.logprobs)
        yield from _calls(choice, message)
        rest = {name: raw for name, raw in message.items() if name not in READ and bytes(raw) != b"null"}
        if rest:
            yield Extra(choice.index, rest)
        yield Finished(choice.index, choice.finish or "stop")


def _thoughts(choice: Choice, message: Fields) -> Iterator[Word]:
    """Signed ones each with its signature: it must travel back with just these words."""
    blocks = msgspec.json.decode(message["thinking_blocks"]) if "thinking_blocks" in message else ()
    signed: list[Mapping[str, Any]] = [block for block in blocks if block.get("type") == "thinking"]
    for block in signed:
        yield Thought(choice.index, block["thinking"], block.get("signature", ""))
    if choice.thought and not signed:
        yield Thought(choice.index, choice.thought)


def _calls(choice: Choice, message: Fields) -> Iterator[Word]:
    for number, call in enumerate(choice.tool_calls):
        if call.function is not None:
            yield ToolDelta(choice.index, number, call.id, call.function.name, call.function.arguments)
        elif "tool_calls" in message:  # of a kind that we do not read: as it came
            raw = msgspec.json.decode(message["tool_calls"])[number]
            yield Extra(choice.index, {"tool_calls": Raw(_encode([{"index": number, **raw}]))})


def gathered(events: Iterable[Event]) -> list[Word]:
    """What was said in a stream in as few events as say the same, in its order and without its frames."""
    words: list[Word] = []
    for event in events:
        if not isinstance(event, Word):
            continue
        whole = _joined(words[-1], event) if words else None
        if whole is None:
            words.append(event if event.frame is None else replace(event, frame=None))
        else:
            words[-1] = whole
    return words


def _joined(before: Word, event: Word) -> Word | None:
    """Both in one, where that says the same."""
    if before.choice != event.choice:
        return None
    match before, event:
        case Text(logprobs=None), Text(logprobs=None):
            return replace(before, text=before.text + event.text)
        case Thought(signature=""), Thought(signature=""):
            return replace(before, text=before.text + event.text)
        case ToolDelta(), ToolDelta(id="", name="") if before.index == event.index:
            return replace(before, json=before.json + event.json)
    return None
