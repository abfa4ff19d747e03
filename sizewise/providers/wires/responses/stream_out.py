"""Our events -> Responses API stream for a client, item by item and part by part; pure, writes bytes only.

Calls stay open until the end, because other wires interleave the arguments of parallel calls; a delta names its item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, Reply
from sizewise.providers.wires.openai.request_response import write_error
from sizewise.providers.wires.responses.client_tools import ClientTool, client_tools
from sizewise.providers.wires.responses.response import PARAGRAPH_BREAK
from sizewise.providers.wires.responses.response_object import (
    INCOMPLETE_REASONS,
    ResponseEnvelope,
    call_item,
    empty_part,
    logprob_tokens,
    message_item,
    reasoning_item,
    with_arguments,
)
from sizewise.providers.wires.responses.stream_in import RAW_EVENT_FIELD
from sizewise.providers.wires.sse import encode_event

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class PartFormat(Struct, frozen=True):
    """How parts of one kind are written: their item, list and index field, and the names of their events."""

    item: str
    list: str
    index: str
    part_event: str
    text_event: str
    field: str


PARTS: Mapping[str, PartFormat] = {
    "output_text": PartFormat(
        item="message",
        list="content",
        index="content_index",
        part_event="content_part",
        text_event="output_text",
        field="text",
    ),
    "refusal": PartFormat(
        item="message",
        list="content",
        index="content_index",
        part_event="content_part",
        text_event="refusal",
        field="refusal",
    ),
    "reasoning_text": PartFormat(
        item="reasoning",
        list="content",
        index="content_index",
        part_event="content_part",
        text_event="reasoning_text",
        field="text",
    ),
    "summary_text": PartFormat(
        item="reasoning",
        list="summary",
        index="summary_index",
        part_event="reasoning_summary_part",
        text_event="reasoning_summary_text",
        field="text",
    ),
}


HOSTED_CALL_PHASES = ("in_progress", "searching", "completed")
"""Events of a call of a hosted tool."""


def no_annotations(text: str) -> list[Json]:
    return []


class ResponsesStreamWriter:
    """Writes one stream. `items`: the output items as streamed."""

    def __init__(self, envelope: ResponseEnvelope, sequence: int = 0) -> None:
        """`sequence`: events written before."""
        self.envelope = envelope
        self._sequence = sequence
        self._hosted: Sequence[Json] = ()
        self._annotate: Callable[[str], list[Json]] = no_annotations
        self.items: list[Json] = []
        self._open = ""  # type of the open item, which is the last that is not a call
        self._place = 0  # its output index
        self._part = ""  # kind of its open part
        self._words: list[str] = []  # text of that part
        self._calls: dict[int, tuple[int, list[str]]] = {}  # call index -> output index and argument fragments
        self._tools: Mapping[str, ClientTool] | None = None  # once there is a call
        self._upstream_items: dict[
            int,
            int,
        ] = {}  # output index in an upstream of this wire -> output index here

    def start(self, model: str) -> bytes:
        begun = self.envelope.in_progress(model)
        written = self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)
        return written + self._hosted_calls()

    def begin_with(self, calls: Sequence[Json], annotate: Callable[[str], list[Json]]) -> None:
        """Complete calls of hosted tools come before the model's items. `annotate`: a whole text -> its annotations."""
        self._hosted, self._annotate = calls, annotate

    def _hosted_calls(self) -> bytes:
        return b"".join([self._hosted_call(item) for item in self._hosted])

    def _hosted_call(self, item: Json) -> bytes:
        written = self._item_added({**item, "status": "in_progress"} | ({"results": None} if "results" in item else {}))
        place = len(self.items) - 1
        for phase in HOSTED_CALL_PHASES:
            written += self._event(f"response.{item['type']}.{phase}", item_id=item["id"], output_index=place)
        self.items[place] = item
        return written + self._item_done(place, item["status"])

    def queued(self, model: str) -> bytes:
        """Instead of `start`, for a response that waits; `in_progress` follows."""
        waiting = self.envelope.in_progress(model) | {"status": "queued"}
        return self._event("response.created", response=waiting) + self._event("response.queued", response=waiting)

    def in_progress(self, model: str) -> bytes:
        return self._event("response.in_progress", response=self.envelope.in_progress(model)) + self._hosted_calls()

    def write(self, event: Event) -> bytes:
        """The bytes for an event; none if the wire cannot express it (audio)."""
        if isinstance(event, TextDelta):
            return self._text(event.text, event.logprobs)
        if isinstance(event, ReasoningDelta):
            return self._reasoning(event.text)
        if isinstance(event, ToolDelta):
            return self._call(event)
        if isinstance(event, RawDelta) and RAW_EVENT_FIELD in event.fields:
            return self._raw(msgspec.json.decode(event.fields[RAW_EVENT_FIELD]))
        if isinstance(event, RawDelta) and "refusal" in event.fields:
            return self._part_delta("refusal", msgspec.json.decode(event.fields["refusal"], type=str | None) or "")
        return b""

    def _text(self, text: str, logprobs: Raw | None) -> bytes:
        probable = logprob_tokens(logprobs)
        if not text and not probable:
            return b""
        written = self._part_delta("output_text", text, {"logprobs": probable})
        self._open_part["logprobs"] += probable
        return written

    def _reasoning(self, text: str) -> bytes:
        if self._open == "reasoning" and self._part == "summary_text":
            if text == PARAGRAPH_BREAK and not self._words:
                return b""  # for readers without parts, it marks the next part
            return self._part_delta("summary_text", text)
        return self._part_delta("reasoning_text", text)

    def _call(self, event: ToolDelta) -> bytes:
        written = b""
        if event.index not in self._calls:
            written = self._close_item()
            place = len(self.items)
            item = call_item(self.envelope, place, event.index, event.id, event.name, self._client_tools())
            self._calls[event.index] = (place, [])
            written += self._item_added(item)
        place, said = self._calls[event.index]
        if not event.json:
            return written
        said.append(event.json)
        if self.items[place]["type"] != "function_call":
            return written  # its own form of the arguments is known at the end
        where = {"item_id": self.items[place]["id"], "output_index": place}
        return written + self._event("response.function_call_arguments.delta", **where, delta=event.json)

    def _client_tools(self) -> Mapping[str, ClientTool]:
        if self._tools is None:
            self._tools = client_tools(self.envelope.raw_fields)
        return self._tools

    # ---- raw events of an upstream of this wire

    def _raw(self, piece: Json) -> bytes:
        match piece["type"]:
            case "response.output_item.added":
                return self._raw_item_added(piece)
            case "response.output_item.done" if piece["output_index"] in self._upstream_items:
                return self._raw_item_done(piece)
            case "response.reasoning_summary_part.added":
                return self._ensure_part("summary_text", afresh=True)
            case "response.output_text.annotation.added":
                return self._raw_annotation(piece)
        place = self._upstream_items.get(piece.get("output_index", -1))
        if place is None:
            return b""
        told = {name: value for name, value in piece.items() if name not in ("type", "sequence_number")}
        return self._event(piece["type"], **told | {"output_index": place})

    def _raw_item_added(self, piece: Json) -> bytes:
        item: Json = piece["item"]
        written = self._close_item()
        self._open, self._place = item["type"], len(self.items)
        if item["type"] == "message":
            item = {**message_item(self.envelope.item_id("msg", self._place)), **item, "content": []}
        else:
            self._upstream_items[piece["output_index"]] = self._place
            item = {**item, **({"summary": []} if item["type"] == "reasoning" else {})}
        return written + self._item_added(item)

    def _raw_item_done(self, piece: Json) -> bytes:
        """Replaces the item streamed so far with the upstream's final item."""
        place = self._upstream_items[piece["output_index"]]
        written = b""
        if self._open and place == self._place:
            written, self._open = self._close_part(), ""
        self.items[place] = piece["item"]
        return written + self._event("response.output_item.done", output_index=place, item=piece["item"])

    def _raw_annotation(self, piece: Json) -> bytes:
        written = self._ensure_part("output_text")
        return written + self._add_annotation(self._open_part, self._position(), piece["annotation"])

    def _add_annotation(self, part: Json, where: Json, annotation: Json) -> bytes:
        part["annotations"].append(annotation)
        more = {"annotation": annotation, "annotation_index": len(part["annotations"]) - 1}
        return self._event("response.output_text.annotation.added", **where, **more)

    # ---- items and parts

    @property
    def _open_part(self) -> Json:
        part: Json = self.items[self._place][PARTS[self._part].list][-1]
        return part

    def _position(self) -> Json:
        item, how = self.items[self._place], PARTS[self._part]
        return {"item_id": item["id"], "output_index": self._place, how.index: len(item[how.list]) - 1}

    def _part_delta(self, part: str, words: str, more: Json | None = None) -> bytes:
        if not words and not more:
            return b""
        written = self._ensure_part(part)
        self._words.append(words)
        return written + self._event(
            f"response.{PARTS[part].text_event}.delta",
            **self._position(),
            delta=words,
            **more or {},
        )

    def _ensure_part(self, part: str, afresh: bool = False) -> bytes:
        """Opens a part of this kind, in an item that can hold it, unless it is open already."""
        if self._part == part and not afresh:
            return b""
        how = PARTS[part]
        written = self._close_part() if self._open == how.item else self._close_item() + self._start_item(how.item)
        self._part = part
        self.items[self._place].setdefault(how.list, []).append(empty_part(part))
        return written + self._event(f"response.{how.part_event}.added", **self._position(), part=empty_part(part))

    def _start_item(self, kind: str) -> bytes:
        self._open, self._place = kind, len(self.items)
        if kind == "message":
            return self._item_added(message_item(self.envelope.item_id("msg", self._place)))
        return self._item_added(reasoning_item(self.envelope.item_id("rs", self._place)))

    def _item_added(self, item: Json) -> bytes:
        self.items.append(item)
        return self._event("response.output_item.added", output_index=len(self.items) - 1, item=item)

    def _close_part(self) -> bytes:
        if not self._part:
            return b""
        how, now, where, words = PARTS[self._part], self._open_part, self._position(), "".join(self._words)
        now[how.field] = words
        more, cited = {}, b""
        if self._part == "output_text":
            more = {"logprobs": now["logprobs"]}
            cited = b"".join([self._add_annotation(now, where, each) for each in self._annotate(words)])
        self._part, self._words = "", []
        told = self._event(f"response.{how.text_event}.done", **where, **{how.field: words}, **more)
        return cited + told + self._event(f"response.{how.part_event}.done", **where, part=now)

    def _close_item(self, status: str = "completed") -> bytes:
        """Ends the open item; the upstream ends the items that it started."""
        written = self._close_part()
        mine = self._open and self._place not in self._upstream_items.values()
        self._open = ""
        return written + self._item_done(self._place, status) if mine else written

    def _item_done(self, place: int, status: str) -> bytes:
        item = self.items[place]
        if "status" in item:
            item["status"] = status
        return self._event("response.output_item.done", output_index=place, item=item)

    # ---- the end

    def close_items(self, reply: Reply) -> bytes:
        """Ends all open items. A reply without output gets an empty message."""
        choice = reply.choices[0] if reply.choices else Choice()
        written = b"" if len(self.items) > len(self._hosted) else self._ensure_part("output_text")
        written += self._close_item("incomplete" if choice.finish_reason in INCOMPLETE_REASONS else "completed")
        for place, said in self._calls.values():
            written += self._close_call(place, "".join(said))
        return written

    def _close_call(self, place: int, arguments: str) -> bytes:
        item = self.items[place] = with_arguments(self.items[place], arguments)
        where = {"item_id": item["id"], "output_index": place}
        written = b""
        if item["type"] == "function_call":
            written = self._event("response.function_call_arguments.done", **where, arguments=arguments)
        elif item["type"] == "custom_tool_call":
            written = self._event("response.custom_tool_call_input.delta", **where, delta=item["input"])
            written += self._event("response.custom_tool_call_input.done", **where, input=item["input"])
        return written + self._item_done(place, "completed")

    def partial_items(self) -> list[Json]:
        """The items so far; those that are open are incomplete. Half a call of the client's own kind has no input."""
        if self._part:
            self._open_part[PARTS[self._part].field] = "".join(self._words)
        for place, said in self._calls.values():
            if self.items[place]["type"] == "function_call":
                self.items[place]["arguments"] = "".join(said)
        return [item | {"status": "incomplete"} if item.get("status") == "in_progress" else item for item in self.items]

    def finish(self, response: Json) -> bytes:
        """The last event, with the whole response."""
        return self._event(f"response.{last_event_name(response['status'])}", response=response)

    def fail(self, error: SizewiseError, model: str) -> bytes:
        """An error event, and the failed response with the items so far: clients wait for either."""
        self._sequence += 1
        failed = self.envelope.failed(error, model, self.partial_items())
        return error_event(error, self._sequence - 1) + self._event("response.failed", response=failed)

    def _event(self, kind: str, /, **more: object) -> bytes:
        self._sequence += 1
        return write_event(kind, self._sequence - 1, **more)


def last_event_name(status: str) -> str:
    """The API has no event for a cancelled response: it ends as incomplete, with its own status."""
    return status if status in ("completed", "failed") else "incomplete"


def error_event(error: SizewiseError, number: int = 0) -> bytes:
    """An error event: flat, as in the API, and with the nested object that its libraries read."""
    inside: Json = msgspec.json.decode(write_error(error))["error"]
    flat = {name: inside[name] for name in ("code", "message", "param")}
    return write_event("error", number, **flat, error=inside)


def write_event(kind: str, number: int, /, **fields: object) -> bytes:
    """One event. `number`: its sequence number in the stream, from 0."""
    return encode_event(_encode({"type": kind, "sequence_number": number, **fields}), kind)
