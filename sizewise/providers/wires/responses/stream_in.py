"""Upstream stream of the Responses API -> our events and the whole reply; opens no socket.

Deltas are emitted as they arrive. Text that a server leaves out of its deltas is taken from the finished part or item.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.openai.usage_and_errors import protocol_error
from sizewise.providers.wires.responses.response import (
    PARAGRAPH_BREAK,
    UpstreamFunctionCall,
    read_reply,
    read_stream_error,
)

Json = dict[str, Any]
RAW_EVENT_FIELD = "responses_event"
"""The field of a `RawDelta` that holds an original event of this wire."""

_encode = msgspec.json.Encoder().encode


class ResponsesEventHeader(Struct):
    """Fields common to all events. Some servers send `error` without a type instead of an error event."""

    type: str = ""
    output_index: int | None = None
    error: Raw = Raw(b"null")


class ResponsesEvent(Struct):
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: str = ""
    text: str = ""
    arguments: str = ""
    refusal: str = ""
    logprobs: list[Json] | None = None
    item: Json = {}
    response: Json = {}


_kind = msgspec.json.Decoder(ResponsesEventHeader)
_chunk = msgspec.json.Decoder(ResponsesEvent)


class ResponsesStreamReader:
    """Reads one stream. `strip_usage` is ignored: no frame is passed on."""

    def __init__(self, strip_usage: bool) -> None:
        self.done = False
        self._items: dict[int, Json] = {}  # by output index
        self._calls: list[int] = []  # output indexes of the calls, in order of arrival
        self._emitted: dict[tuple[int, str, int], int] = {}  # (output index, kind, part index) -> characters emitted
        self._reply: Reply | None = None

    def read_frame(self, payload: bytes) -> list[Event]:
        """Raises UpstreamProtocolError for an event of another format, and the upstream's own error if it sends one."""
        if self.done or payload == b"[DONE]":
            return []
        try:
            kind = _kind.decode(payload)
            if kind.type in ("error", "") and (kind.type or bytes(kind.error) != b"null"):
                raise read_stream_error(payload)
            if not kind.type:
                raise protocol_error("a stream event has no `type`")
            return self._event(kind, payload)
        except SizewiseError:
            raise
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise protocol_error(f"a stream event is not of this wire ({type(error).__name__})") from error

    def _event(self, kind: ResponsesEventHeader, payload: bytes) -> list[Event]:
        match kind.type:
            case "response.output_item.added":
                return self._item_added(_chunk.decode(payload), payload)
            case "response.output_item.done":
                return self._item_done(_chunk.decode(payload), payload)
            case "response.output_text.delta" | "response.refusal.delta" | "response.function_call_arguments.delta":
                return self._part_delta(kind.type.split(".")[1], _chunk.decode(payload))
            case "response.output_text.done" | "response.refusal.done" | "response.function_call_arguments.done":
                return self._part_done(kind.type.split(".")[1], _chunk.decode(payload))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return self._part_delta("reasoning", _chunk.decode(payload))
            case "response.reasoning_summary_part.added":
                again = [ReasoningDelta(0, PARAGRAPH_BREAK)] if _chunk.decode(payload).summary_index else []
                return [_raw_event(payload), *again]
            case "response.completed" | "response.incomplete":
                return self._response_done(_chunk.decode(payload).response, kind.type)
            case "response.failed":
                raise read_stream_error(_encode(_chunk.decode(payload).response))
            case "response.output_text.annotation.added":
                return [_raw_event(payload)]
        if kind.output_index is not None and self._is_untranslated_item(kind.output_index):
            return [_raw_event(payload)]
        return []  # events that repeat the deltas, and unknown kinds

    def _is_untranslated_item(self, place: int) -> bool:
        """Whether the item is of a kind without an event of ours."""
        return self._items.get(place, {"type": "message"})["type"] not in ("message", "function_call", "reasoning")

    # ---- items

    def _item_added(self, event: ResponsesEvent, payload: bytes) -> list[Event]:
        place, item = event.output_index, event.item
        again = item["type"] == "message" and any(each["type"] == "message" for each in self._items.values())
        self._items[place] = item
        if item["type"] == "function_call":
            return self._call_started(place, item)
        if item["type"] == "message" and not again and item.get("phase") is None:
            return []  # its text says as much
        return [_raw_event(payload)]

    def _call_started(self, place: int, item: Json) -> list[Event]:
        call = msgspec.convert(item, UpstreamFunctionCall)
        self._calls.append(place)
        self._emitted[place, "function_call_arguments", 0] = len(call.arguments)
        return [ToolDelta(choice=0, index=len(self._calls) - 1, id=call.call_id, name=call.name, json=call.arguments)]

    def _item_done(self, event: ResponsesEvent, payload: bytes) -> list[Event]:
        place, item = event.output_index, event.item
        began = place in self._items
        events = self._missing_deltas(place, item)
        self._items[place] = item
        if item["type"] in ("message", "function_call") or not began:
            return events
        sealed = item.get("encrypted_content") if item["type"] == "reasoning" else None
        signed = [ReasoningDelta(0, "", sealed)] if isinstance(sealed, str) and sealed else []
        return [*events, *signed, _raw_event(payload)]

    def _missing_deltas(self, place: int, item: Json) -> list[Event]:
        """Content of a finished item that no delta had."""
        if item["type"] == "function_call":
            begun = [] if place in self._calls else self._call_started(place, {**item, "arguments": ""})
            return begun + self._rest(
                place,
                "function_call_arguments",
                0,
                msgspec.convert(item, UpstreamFunctionCall).arguments,
            )
        events: list[Event] = []
        if item["type"] == "message":
            for number, part in enumerate(item["content"]):
                if part["type"] in ("output_text", "refusal"):
                    words = part["text"] if part["type"] == "output_text" else part["refusal"]
                    events += self._rest(place, part["type"], number, words)
        return events

    # ---- parts

    def _part_delta(self, part: str, event: ResponsesEvent) -> list[Event]:
        number = 0 if part == "function_call_arguments" else event.content_index
        key = (event.output_index, part, number)
        self._emitted[key] = self._emitted.get(key, 0) + len(event.delta)
        return self._emit(part, event.output_index, event.delta, event.logprobs)

    def _part_done(self, part: str, event: ResponsesEvent) -> list[Event]:
        words = {"output_text": event.text, "refusal": event.refusal}.get(part, event.arguments)
        return self._rest(event.output_index, part, event.content_index, words)

    def _rest(self, place: int, part: str, number: int, words: str) -> list[Event]:
        rest = words[self._emitted.get((place, part, number), 0) :]
        self._emitted[place, part, number] = len(words)
        return self._emit(part, place, rest, None)

    def _emit(self, part: str, place: int, words: str, logprobs: list[Json] | None) -> list[Event]:
        if not words and not logprobs:
            return []
        match part:
            case "output_text":
                return [TextDelta(0, words, Raw(_encode({"content": logprobs})) if logprobs else None)]
            case "refusal":
                return [RawDelta(0, {"refusal": Raw(_encode(words))})]
            case "reasoning":
                return [ReasoningDelta(0, words)]
        return [ToolDelta(0, self._calls.index(place), json=words)] if place in self._calls else []

    # ---- the end

    def _response_done(self, response: Json, kind: str) -> list[Event]:
        response.setdefault("status", kind.partition(".")[2])
        output: list[Json] = response.get("output") or [item for _, item in sorted(self._items.items())]
        response["output"] = output
        silent = not self._items and not self._emitted  # a server that sends everything at once
        events = [
            event for place, item in enumerate(output if silent else []) for event in self._missing_deltas(place, item)
        ]
        self._reply = read_reply(_encode(response))
        self.done = True
        return [*events, ChoiceFinished(0, self._reply.choices[0].finish_reason or "stop")]

    def reply(self) -> Reply:
        """The whole reply. Raises UpstreamProtocolError if the stream ended before the response did."""
        if self._reply is None:
            raise protocol_error(
                "the stream ended before the answer was complete"
                if self._items
                else "the stream ended without content",
            )
        return self._reply


def _raw_event(payload: bytes) -> RawDelta:
    """The original event, on one line."""
    return RawDelta(0, {RAW_EVENT_FIELD: Raw(msgspec.json.format(payload, indent=-1))})
