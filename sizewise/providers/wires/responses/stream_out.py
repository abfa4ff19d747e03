"""Our events written as a Responses stream for a client, item by item, part by part; pure, writes bytes only.

Calls stay open until the end: other wires tell the arguments of parallel calls in turns, and here each names its item.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import Event, Extra, Text, Thought, ToolDelta
from sizewise.messages import Choice, Reply
from sizewise.providers.wires.openai.request_response import write_error
from sizewise.providers.wires.responses.response import BREAK
from sizewise.providers.wires.responses.response_object import (
    CUT,
    Frame,
    empty,
    function_call,
    message,
    reasoning,
    tokens,
)
from sizewise.providers.wires.responses.stream_in import PIECE

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class Part(Struct, frozen=True):
    """How the parts of one kind are told: in which items and list they stand, and what their events are called."""

    item: str
    list: str
    index: str
    opens: str
    says: str
    field: str


PARTS: Mapping[str, Part] = {
    "output_text": Part("message", "content", "content_index", "content_part", "output_text", "text"),
    "refusal": Part("message", "content", "content_index", "content_part", "refusal", "refusal"),
    "reasoning_text": Part("reasoning", "content", "content_index", "content_part", "reasoning_text", "text"),
    "summary_text": Part(
        "reasoning", "summary", "summary_index", "reasoning_summary_part", "reasoning_summary_text", "text"
    ),
}


class Written:
    """One stream as far as it is written. `items` are those of the output, as they were shown."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._sequence = 0
        self.items: list[Json] = []
        self._open = ""  # type of the item that is open; it is the last one that is no call
        self._place = 0  # where in the output it is
        self._part = ""  # kind of the part that is open in it
        self._words: list[str] = []  # of that part
        self._calls: dict[int, tuple[int, list[str]]] = {}  # number -> place and fragments of arguments
        self._theirs: dict[int, int] = {}  # of items of an upstream of this wire: its place there -> its place here

    def start(self, model: str) -> bytes:
        begun = self._frame.begun(model)
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def event(self, event: Event) -> bytes:
        """The bytes for an event; none for what the wire has no place for (audio)."""
        if isinstance(event, Text):
            return self._text(event.text, event.logprobs)
        if isinstance(event, Thought):
            return self._thought(event.text)
        if isinstance(event, ToolDelta):
            return self._call(event)
        if isinstance(event, Extra) and PIECE in event.fields:
            return self._piece(msgspec.json.decode(event.fields[PIECE]))
        if isinstance(event, Extra) and "refusal" in event.fields:
            return self._say("refusal", msgspec.json.decode(event.fields["refusal"], type=str | None) or "")
        return b""

    def _text(self, text: str, logprobs: Raw | None) -> bytes:
        probable = tokens(logprobs)
        if not text and not probable:
            return b""
        written = self._say("output_text", text, {"logprobs": probable})
        self._now["logprobs"] += probable
        return written

    def _thought(self, text: str) -> bytes:
        if self._open == "reasoning" and self._part == "summary_text":
            if text == BREAK and not self._words:
                return b""  # tells those who know no parts that another one begins
            return self._say("summary_text", text)
        return self._say("reasoning_text", text)

    def _call(self, event: ToolDelta) -> bytes:
        written = b""
        if event.index not in self._calls:
            written = self._close()
            place = len(self.items)
            item = function_call(self._frame, place, event.index, event.id, event.name)
            self._calls[event.index] = (place, [])
            written += self._added(item)
        place, said = self._calls[event.index]
        if not event.json:
            return written
        said.append(event.json)
        where = {"item_id": self.items[place]["id"], "output_index": place}
        return written + self._event("response.function_call_arguments.delta", **where, delta=event.json)

    # ---- what an upstream of this wire tells beside words

    def _piece(self, piece: Json) -> bytes:
        match piece["type"]:
            case "response.output_item.added":
                return self._begins(piece)
            case "response.output_item.done" if piece["output_index"] in self._theirs:
                return self._ends(piece)
            case "response.reasoning_summary_part.added":
                return self._opened("summary_text", afresh=True)
            case "response.output_text.annotation.added":
                return self._annotated(piece)
        place = self._theirs.get(piece.get("output_index", -1))
        if place is None:
            return b""
        told = {name: value for name, value in piece.items() if name not in ("type", "sequence_number")}
        return self._event(piece["type"], **told | {"output_index": place})

    def _begins(self, piece: Json) -> bytes:
        item: Json = piece["item"]
        written = self._close()
        self._open, self._place = item["type"], len(self.items)
        if item["type"] == "message":
            item = {**message(self._frame.named("msg", self._place)), **item, "content": []}
        else:
            self._theirs[piece["output_index"]] = self._place
            item = {**item, **({"summary": []} if item["type"] == "reasoning" else {})}
        return written + self._added(item)

    def _ends(self, piece: Json) -> bytes:
        """Their own item stands for what was told of it."""
        place = self._theirs[piece["output_index"]]
        written = b""
        if self._open and place == self._place:
            written, self._open = self._closed(), ""
        self.items[place] = piece["item"]
        return written + self._event("response.output_item.done", output_index=place, item=piece["item"])

    def _annotated(self, piece: Json) -> bytes:
        written = self._opened("output_text")
        told: list[Json] = self._now["annotations"]
        told.append(piece["annotation"])
        more = {"annotation": piece["annotation"], "annotation_index": len(told) - 1}
        return written + self._event("response.output_text.annotation.added", **self._where(), **more)

    # ---- items and parts

    @property
    def _now(self) -> Json:
        """The open part."""
        part: Json = self.items[self._place][PARTS[self._part].list][-1]
        return part

    def _where(self) -> Json:
        item, how = self.items[self._place], PARTS[self._part]
        return {"item_id": item["id"], "output_index": self._place, how.index: len(item[how.list]) - 1}

    def _say(self, part: str, words: str, more: Json | None = None) -> bytes:
        if not words and not more:
            return b""
        written = self._opened(part)
        self._words.append(words)
        return written + self._event(f"response.{PARTS[part].says}.delta", **self._where(), delta=words, **more or {})

    def _opened(self, part: str, afresh: bool = False) -> bytes:
        """Makes sure that a part of this kind is open, in an item that has such parts."""
        if self._part == part and not afresh:
            return b""
        how = PARTS[part]
        written = self._closed() if self._open == how.item else self._close() + self._item(how.item)
        self._part = part
        self.items[self._place].setdefault(how.list, []).append(empty(part))
        return written + self._event(f"response.{how.opens}.added", **self._where(), part=empty(part))

    def _item(self, kind: str) -> bytes:
        self._open, self._place = kind, len(self.items)
        if kind == "message":
            return self._added(message(self._frame.named("msg", self._place)))
        return self._added(reasoning(self._frame.named("rs", self._place)))

    def _added(self, item: Json) -> bytes:
        self.items.append(item)
        return self._event("response.output_item.added", output_index=len(self.items) - 1, item=item)

    def _closed(self) -> bytes:
        """Ends the open part."""
        if not self._part:
            return b""
        how, now, where, words = PARTS[self._part], self._now, self._where(), "".join(self._words)
        now[how.field] = words
        more = {"logprobs": now["logprobs"]} if self._part == "output_text" else {}
        self._part, self._words = "", []
        told = self._event(f"response.{how.says}.done", **where, **{how.field: words}, **more)
        return told + self._event(f"response.{how.opens}.done", **where, part=now)

    def _close(self, status: str = "completed") -> bytes:
        """Ends the open item; one that an upstream began, it ends itself."""
        written = self._closed()
        mine = self._open and self._place not in self._theirs.values()
        self._open = ""
        return written + self._done(self._place, status) if mine else written

    def _done(self, place: int, status: str) -> bytes:
        item = self.items[place]
        if "status" in item:
            item["status"] = status
        return self._event("response.output_item.done", output_index=place, item=item)

    # ---- the end

    def close(self, reply: Reply) -> bytes:
        """Ends all that is open. Where nothing was said, an empty message says so."""
        choice = reply.choices[0] if reply.choices else Choice()
        written = b"" if self.items else self._opened("output_text")
        written += self._close("incomplete" if choice.finish in CUT else "completed")
        for place, said in self._calls.values():
            arguments = self.items[place]["arguments"] = "".join(said)
            where = {"item_id": self.items[place]["id"], "output_index": place}
            written += self._event("response.function_call_arguments.done", **where, arguments=arguments)
            written += self._done(place, "completed")
        return written

    def end(self, response: Json) -> bytes:
        """The last event, with the whole response: completed or incomplete, as its status says."""
        return self._event(f"response.{response['status']}", response=response)

    def fail(self, error: SizewiseError) -> bytes:
        return failure(error, self._sequence)

    def _event(self, kind: str, /, **more: object) -> bytes:
        self._sequence += 1
        return _frame({"type": kind, "sequence_number": self._sequence - 1, **more})


def failure(error: SizewiseError, number: int = 0) -> bytes:
    """One error event, flat as the API has it, and with the object inside that its libraries look for."""
    inside: Json = msgspec.json.decode(write_error(error))["error"]
    flat = {name: inside[name] for name in ("code", "message", "param")}
    return _frame({"type": "error", "sequence_number": number, **flat, "error": inside})


def _frame(event: Json) -> bytes:
    kind: str = event["type"]
    return b"event: " + kind.encode() + b"\ndata: " + _encode(event) + b"\n\n"
