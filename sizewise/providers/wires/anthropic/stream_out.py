"""Our events -> Messages API stream for a client, one content block open at a time; pure, writes bytes only.

Other wires interleave parallel calls. Here a closed block cannot be reopened, so events of other blocks wait, in order,
until the open call's arguments are a complete object, or until the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, Reply, Usage
from sizewise.providers.wires.anthropic.request_in import WIRE_NAME
from sizewise.providers.wires.anthropic.response import (
    build_message,
    read_reply,
    stop_details,
    stop_reason,
    text_block,
    tool_use_block,
    write_error,
    write_final_usage,
)
from sizewise.providers.wires.anthropic.search_blocks import USE as SEARCH_USE
from sizewise.providers.wires.anthropic.stream_in import RAW_EVENT_FIELD
from sizewise.providers.wires.openai.usage_and_errors import protocol_error
from sizewise.providers.wires.original_body import original_body
from sizewise.providers.wires.sse import encode_event

Json = dict[str, Any]
PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_encode = msgspec.json.Encoder().encode


class MessageEnd(Struct, frozen=True):
    """How the message ended, in this API's terms."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Json | None = None
    container: Json | None = None


class AnthropicStreamWriter:
    """Writes one stream. Token counts come at the end, when they are known."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._index = -1
        self._open: tuple[str, int] | None = None  # kind of the open block, and the index of its call or upstream block
        self._calls: set[int] = set()
        self._growing_call: list[str] | None = None  # the open call's arguments, until they are complete
        self._waiting: list[Event] = []

    def start(self, model: str) -> bytes:
        shown = build_message(Reply((Choice(),), Usage(), model), self.id)
        return _event({"type": "message_start", "message": {**shown, "content": [], "stop_reason": None}})

    def write(self, event: Event) -> bytes:
        """The bytes for an event; none if the wire cannot express it (audio, log-probabilities) or it has to wait.

        Raises UpstreamProtocolError for a call that continues after its arguments were complete.
        """
        mine = isinstance(event, ToolDelta) and self._open == ("tool_use", event.index)
        if self._growing_call is None or mine:
            written = self._write_now(event)
            return written + self._write_waiting() if self._waiting and self._is_call_complete() else written
        if self._is_call_complete():
            self._growing_call = None
            return self._write_now(event)
        self._waiting.append(event)
        return b""

    def _is_call_complete(self) -> bool:
        """Whether the open call's arguments are a complete JSON object."""
        if not self._growing_call or not self._growing_call[-1].rstrip().endswith("}"):
            return False
        try:
            msgspec.json.decode("".join(self._growing_call), type=dict[str, Raw])
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    def _write_waiting(self) -> bytes:
        """Writes the waiting events, as far as possible."""
        self._growing_call = None
        waiting, self._waiting = self._waiting, []
        return b"".join([self.write(event) for event in waiting])

    def _write_now(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return self._text(event.text)
        if isinstance(event, ReasoningDelta):
            return self._reasoning(event)
        if isinstance(event, ToolDelta):
            return self._call(event)
        if isinstance(event, RawDelta):
            return self._raw(event)
        return b""

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        return self._block(("text", 0), text_block("")) + self._delta({"type": "text_delta", "text": text})

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        written = self._block(("thinking", 0), {"type": "thinking", "thinking": "", "signature": ""})
        if event.text:
            written += self._delta({"type": "thinking_delta", "thinking": event.text})
        if event.signature:  # ends this thinking block: the next has its own signature
            written += self._delta({"type": "signature_delta", "signature": event.signature}) + self._close()
        return written

    def _call(self, event: ToolDelta) -> bytes:
        here = ("tool_use", event.index)
        if event.index in self._calls and self._open != here:
            if not event.json.strip():
                return b""
            raise protocol_error(f"call {event.index} continues after its arguments were complete")
        if event.index not in self._calls:
            self._calls.add(event.index)
            self._growing_call = []
        if self._growing_call is not None and event.json.strip():
            self._growing_call.append(event.json)
        written = self._block(here, tool_use_block(event.id, event.name, event.index))
        return written + (self._delta({"type": "input_json_delta", "partial_json": event.json}) if event.json else b"")

    def _raw(self, event: RawDelta) -> bytes:
        if RAW_EVENT_FIELD not in event.fields:
            refusal = event.fields.get("refusal")
            return self._text(msgspec.json.decode(refusal, type=str | None) or "") if refusal is not None else b""
        piece: Json = msgspec.json.decode(event.fields[RAW_EVENT_FIELD])
        if piece["type"] == "content_block_start":
            return self._block(("other", piece["index"]), piece["content_block"])
        if piece["delta"]["type"] == "citations_delta":
            return self._block(("text", 0), text_block("")) + self._delta(piece["delta"])
        return self._delta(piece["delta"])

    def _block(self, kind: tuple[str, int], block: Json) -> bytes:
        """Opens a block of this kind unless it is open already."""
        if self._open == kind:
            return b""
        written = self._close()
        self._open = kind
        self._index += 1
        return written + _event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, delta: Json) -> bytes:
        return _event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event({"type": "content_block_stop", "index": self._index})

    def finish(self, reply: Reply, sizewise: dict[str, object], server_tool_use: Json | None = None) -> bytes:
        """The end: waiting events, stop reason, usage and the `sizewise` object. `server_tool_use`: of this server."""
        late = b""
        while self._waiting:
            late += self._write_waiting()
        ended = MessageEnd(stop_reason(reply), stop_details=stop_details(reply.choices[0]) if reply.choices else None)
        original = original_body(reply.fields, WIRE_NAME)
        if original is not None and read_reply(bytes(original.body)).choices == reply.choices:
            ended = msgspec.json.decode(original.body, type=MessageEnd)
        usage = {**write_final_usage(reply.usage), "server_tool_use": server_tool_use}
        last = {"type": "message_delta", "delta": ended, "usage": usage, "sizewise": sizewise}
        return late + self._close() + _event(last) + _event({"type": "message_stop"})


def error_event(error: SizewiseError, trace: str) -> bytes:
    return encode_event(write_error(error, trace), "error")


def block_events(blocks: Sequence[Json]) -> Iterator[RawDelta]:
    """Blocks of this server as events of a stream: the tool's input comes after its block."""
    for at, block in enumerate(blocks):
        shown = {**block, "input": {}} if block["type"] == SEARCH_USE else block
        yield _raw_event(
            {"type": "content_block_start", "index": -1 - at, "content_block": shown}
        )  # no index of a model
        if block["type"] == SEARCH_USE:
            partial = _encode(block["input"]).decode()
            yield _raw_event(
                {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": partial}}
            )


def citation_events(citations: Sequence[Json]) -> Iterator[RawDelta]:
    for each in citations:
        yield _raw_event({"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": each}})


def _raw_event(event: Json) -> RawDelta:
    return RawDelta(0, {RAW_EVENT_FIELD: Raw(_encode(event))})


def _event(payload: Json) -> bytes:
    return encode_event(_encode(payload), payload["type"])
