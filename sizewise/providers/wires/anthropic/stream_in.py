"""A Messages stream, read: payloads of events in, our events out, the whole reply at the end; opens no socket."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import SizewiseError
from sizewise.handler import Event, Extra, Finished, Text, Thought, ToolDelta
from sizewise.messages import Choice, Function, Reply, ToolCall
from sizewise.providers.wires.anthropic.response import FINISH, read_broken, read_reply
from sizewise.providers.wires.openai.usage_and_errors import garbled

Json = dict[str, Any]
PIECE = "messages_event"
"""The field of an `Extra` that holds an event of this wire as it came."""

_encode = msgspec.json.Encoder().encode


class Chunk(Struct):
    type: str
    index: int = 0
    message: Json = {}
    content_block: Json = {}
    delta: Json = {}
    usage: Json = {}


_chunk = msgspec.json.Decoder(Chunk)


class Reader:
    """Reads one stream; `strip_usage` means nothing here, for no frame is passed on."""

    def __init__(self, strip_usage: bool) -> None:
        self.done = False
        self._message: Json = {}
        self._blocks: dict[int, Json] = {}
        self._arguments: dict[int, list[str]] = {}  # of a call, as fragments of JSON, by the block's index
        self._stopped = False

    def frame(self, payload: bytes) -> list[Event]:
        """Raises UpstreamGarbled for what is no event of this wire, and the upstream's own error when it sends one."""
        if self.done:
            return []
        try:
            return self._event(_chunk.decode(payload), payload)
        except SizewiseError:
            raise
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise garbled(f"a stream event is not of this wire ({type(error).__name__})") from error

    def _event(self, chunk: Chunk, payload: bytes) -> list[Event]:
        match chunk.type:
            case "message_start":
                self._message = chunk.message
            case "content_block_start":
                return self._starts(chunk.index, chunk.content_block, payload)
            case "content_block_delta":
                return self._grows(chunk.index, chunk.delta, payload)
            case "content_block_stop" if self._arguments.get(chunk.index) == []:
                return self._unfed(chunk.index)
            case "message_delta":
                return self._ends(chunk)
            case "message_stop":
                self.done = True
            case "error":
                raise read_broken(payload)
        return []  # pings, ends of other blocks, and kinds to come

    def _starts(self, index: int, block: Json, payload: bytes) -> list[Event]:
        self._blocks[index] = block
        match block["type"]:
            case "text":
                return [Text(0, block["text"])] if block["text"] else []
            case "thinking":
                return [Thought(0, block["thinking"])] if block["thinking"] else []
            case "tool_use":
                self._arguments[index] = []
                return [ToolDelta(0, self._number(index), block["id"], block["name"])]
            case _:
                return [Extra(0, {PIECE: Raw(payload)})]

    def _grows(self, index: int, delta: Json, payload: bytes) -> list[Event]:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
                return [Text(0, delta["text"])]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
                return [Thought(0, delta["thinking"])]
            case "signature_delta":
                block["signature"] = delta["signature"]
                return [Thought(0, "", delta["signature"])]
            case "input_json_delta" if index in self._arguments:
                return self._feeds(index, delta["partial_json"])
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        return [Extra(0, {PIECE: Raw(payload)})]

    def _feeds(self, index: int, json: str) -> list[Event]:
        if not json:
            return []
        self._arguments[index].append(json)
        return [ToolDelta(0, self._number(index), json=json)]

    def _unfed(self, index: int) -> list[Event]:
        """A call of whose arguments nothing came: they stood where it began, or there are none, which is an object."""
        return self._feeds(index, _encode(self._blocks[index].get("input") or {}).decode())

    def _number(self, index: int) -> int:
        return list(self._arguments).index(index)

    def _ends(self, chunk: Chunk) -> list[Event]:
        said = {name: value for name, value in chunk.usage.items() if value is not None}
        self._message["usage"] = {**(self._message.get("usage") or {}), **said}
        self._message |= chunk.delta
        reason = chunk.delta.get("stop_reason")
        if reason is None or self._stopped:
            return []
        self._stopped = True
        return [Finished(0, FINISH.get(reason, "stop"))]

    def reply(self) -> Reply:
        """The whole reply. Raises UpstreamGarbled when the stream ended before the message was."""
        if not self._message or not self._stopped:
            raise garbled("the stream ended in mid-sentence" if self._blocks else "the stream ended without a word")
        broken = False
        for index, fragments in self._arguments.items():
            try:
                self._blocks[index]["input"] = msgspec.json.decode("".join(fragments) or "{}", type=Json)
            except msgspec.DecodeError:  # cut by the limit of tokens, or written badly
                broken = True
        content = [block for _, block in sorted(self._blocks.items())]
        reply = read_reply(_encode({**self._message, "content": content}))
        return self._as_written(reply) if broken else reply

    def _as_written(self, reply: Reply) -> Reply:
        """With the arguments of calls as the model wrote them, which is no JSON and so has no original."""
        written = [(self._blocks[index], "".join(each)) for index, each in self._arguments.items()]
        calls = tuple(ToolCall(Function(block["name"], text), block["id"]) for block, text in written)
        choice: Choice = msgspec.structs.replace(reply.choices[0], tool_calls=calls, message=None)
        return msgspec.structs.replace(reply, choices=(choice,), fields={})
