"""Upstream stream of the Messages API -> our events and the whole reply; opens no socket."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, FunctionCall, Reply, ToolCall
from sizewise.providers.wires.anthropic.response import FINISH_BY_STOP_REASON, read_reply, read_stream_error
from sizewise.providers.wires.openai.usage_and_errors import protocol_error

Json = dict[str, Any]
RAW_EVENT_FIELD = "messages_event"
"""The field of a `RawDelta` that holds an original event of this wire."""

_encode = msgspec.json.Encoder().encode


class AnthropicEvent(Struct):
    type: str
    index: int = 0
    message: Json = {}
    content_block: Json = {}
    delta: Json = {}
    usage: Json = {}


_chunk = msgspec.json.Decoder(AnthropicEvent)


class AnthropicStreamReader:
    """Reads one stream. `strip_usage` is ignored: no frame is passed on."""

    def __init__(self, strip_usage: bool) -> None:
        self.done = False
        self._message: Json = {}
        self._blocks: dict[int, Json] = {}
        self._arguments: dict[int, list[str]] = {}  # block index -> JSON fragments of a call's arguments
        self._stopped = False

    def read_frame(self, payload: bytes) -> list[Event]:
        """Raises UpstreamProtocolError for an event of another format, and the upstream's own error if it sends one."""
        if self.done:
            return []
        try:
            return self._event(_chunk.decode(payload), payload)
        except SizewiseError:
            raise
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise protocol_error(f"a stream event is not of this wire ({type(error).__name__})") from error

    def _event(self, event: AnthropicEvent, payload: bytes) -> list[Event]:
        match event.type:
            case "message_start":
                self._message = event.message
            case "content_block_start":
                return self._block_start(event.index, event.content_block, payload)
            case "content_block_delta":
                return self._block_delta(event.index, event.delta, payload)
            case "content_block_stop" if self._arguments.get(event.index) == []:
                return self._empty_tool_input(event.index)
            case "message_delta":
                return self._message_delta(event)
            case "message_stop":
                self.done = True
            case "error":
                raise read_stream_error(payload)
        return []  # pings, ends of other blocks, unknown kinds

    def _block_start(self, index: int, block: Json, payload: bytes) -> list[Event]:
        self._blocks[index] = block
        match block["type"]:
            case "text":
                return [TextDelta(0, block["text"])] if block["text"] else []
            case "thinking":
                return [ReasoningDelta(0, block["thinking"])] if block["thinking"] else []
            case "tool_use":
                self._arguments[index] = []
                return [ToolDelta(0, self._number(index), block["id"], block["name"])]
            case _:
                return [RawDelta(0, {RAW_EVENT_FIELD: Raw(payload)})]

    def _block_delta(self, index: int, delta: Json, payload: bytes) -> list[Event]:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
                return [TextDelta(0, delta["text"])]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
                return [ReasoningDelta(0, delta["thinking"])]
            case "signature_delta":
                block["signature"] = delta["signature"]
                return [ReasoningDelta(0, "", delta["signature"])]
            case "input_json_delta" if index in self._arguments:
                return self._tool_input(index, delta["partial_json"])
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        return [RawDelta(0, {RAW_EVENT_FIELD: Raw(payload)})]

    def _tool_input(self, index: int, json: str) -> list[Event]:
        if not json:
            return []
        self._arguments[index].append(json)
        return [ToolDelta(0, self._number(index), json=json)]

    def _empty_tool_input(self, index: int) -> list[Event]:
        """A call without argument deltas: its arguments came with its start, or are an empty object."""
        return self._tool_input(index, _encode(self._blocks[index].get("input") or {}).decode())

    def _number(self, index: int) -> int:
        return list(self._arguments).index(index)

    def _message_delta(self, event: AnthropicEvent) -> list[Event]:
        said = {name: value for name, value in event.usage.items() if value is not None}
        self._message["usage"] = {**(self._message.get("usage") or {}), **said}
        self._message |= event.delta
        reason = event.delta.get("stop_reason")
        if reason is None or self._stopped:
            return []
        self._stopped = True
        return [ChoiceFinished(0, FINISH_BY_STOP_REASON.get(reason, "stop"))]

    def reply(self) -> Reply:
        """The whole reply. Raises UpstreamProtocolError if the stream ended before the message did."""
        if not self._message or not self._stopped:
            raise protocol_error(
                "the stream ended before the answer was complete"
                if self._blocks
                else "the stream ended without content",
            )
        broken = False
        for index, fragments in self._arguments.items():
            try:
                self._blocks[index]["input"] = msgspec.json.decode("".join(fragments) or "{}", type=Json)
            except msgspec.DecodeError:  # cut off by the token limit, or malformed
                broken = True
        content = [block for _, block in sorted(self._blocks.items())]
        reply = read_reply(_encode({**self._message, "content": content}))
        return self._with_written_arguments(reply) if broken else reply

    def _with_written_arguments(self, reply: Reply) -> Reply:
        """The reply with the arguments as the model wrote them; they are not JSON, so no original body is kept."""
        written = [(self._blocks[index], "".join(each)) for index, each in self._arguments.items()]
        calls = tuple(ToolCall(FunctionCall(block["name"], text), block["id"]) for block, text in written)
        choice: Choice = msgspec.structs.replace(reply.choices[0], tool_calls=calls, message=None)
        return msgspec.structs.replace(reply, choices=(choice,), fields={})
