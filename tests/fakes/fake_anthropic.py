"""A fake Anthropic server: the `model` of a request selects a scripted Messages API response.

Run it: `python -m tests.fakes.fake_anthropic PORT`. Names: see SCRIPTS. Every other one gets two words.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sizewise.testing.upstream import FakeOpenAI, FaultResponder

Json = dict[str, Any]

USAGE: Mapping[str, object] = {
    "input_tokens": 10,
    "cache_read_input_tokens": 600,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 30},
    "output_tokens": 20,
    "service_tier": "standard",
}
TEXT: Mapping[str, Any] = {"type": "text", "text": "Good day.", "citations": None}
CALL: Mapping[str, Any] = {
    "type": "tool_use",
    "id": "toolu_double",
    "name": "weather",
    "input": {"city": "Zürich", "days": [1, 2]},
}
THINKING: Mapping[str, Any] = {"type": "thinking", "thinking": "They greet me.", "signature": "c2lnbmVk"}
REDACTED: Mapping[str, Any] = {"type": "redacted_thinking", "data": "c2VjcmV0"}
CITATION: Mapping[str, Any] = {
    "type": "char_location",
    "cited_text": "good",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 4,
    "file_id": None,
}
CITED: Mapping[str, Any] = {"type": "text", "text": "It is good.", "citations": [CITATION]}
SEARCH: Mapping[str, Any] = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "rivers"},
}
SECOND: Mapping[str, Any] = {**CALL, "id": "toolu_second", "input": {"city": "Oslo"}}

SCRIPTS: Mapping[str, tuple[Sequence[Mapping[str, Any]], str, str | None]] = {
    "well": ((TEXT,), "end_turn", None),
    "calls": ((TEXT, CALL, SECOND), "tool_use", None),
    "thinks": ((THINKING, REDACTED, TEXT, CALL), "tool_use", None),
    "cites": ((CITED,), "end_turn", None),
    "searches": ((SEARCH, TEXT), "pause_turn", None),
    "stops": ((TEXT,), "stop_sequence", "STOP"),
    "cut": ((TEXT,), "max_tokens", None),
    "declines": ((), "refusal", None),
}
"""Model -> the blocks of its answer, why it ends, and at which sequence."""

ERRORS: Mapping[str, tuple[int, str, str]] = {
    "locked": (401, "authentication_error", "invalid x-api-key sk-ant-secret"),
    "busy": (429, "rate_limit_error", "slow down"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "long": (400, "invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum"),
    "refuses": (400, "invalid_request_error", "messages.0: this model takes no images"),
    "broken": (500, "api_error", "Internal server error"),
}
MID = ("error-mid", "reset-mid", "end-mid")
"""Models whose stream breaks off after the first word: by an error event, a reset, a clean end that is none."""


class FakeAnthropic(FakeOpenAI):
    """`async with FakeAnthropic() as up:` as its base; `up.received` what came."""

    def fault(self, model: str) -> FaultResponder:
        return _count if self.received.paths[-1].endswith("/count_tokens") else _answer


async def _count(body: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Refuses as _answer does; counts the messages, a hundred tokens each."""
    if body["model"] in ERRORS:
        return await _answer(body, reader, writer)
    _whole(writer, 200, json.dumps({"input_tokens": 100 * len(body["messages"])}).encode())
    return True


async def _answer(body: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    model = body["model"]
    if model in ERRORS:
        status, kind, words = ERRORS[model]
        _whole(writer, status, _error(kind, words))
        return True
    if "max_tokens" not in body:
        _whole(writer, 400, _error("invalid_request_error", "max_tokens: Field required"))
        return True
    blocks, reason, sequence = SCRIPTS.get(model, SCRIPTS["well"])
    message = {"id": "msg_double", "type": "message", "role": "assistant", "model": model, "content": blocks}
    message |= {"stop_reason": reason, "stop_sequence": sequence, "usage": USAGE, "container": None}
    if not body.get("stream"):
        _whole(writer, 200, json.dumps(message).encode())
        return True
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    for event in _events(message):
        _chunk(writer, event)
        await writer.drain()
        if model in MID and event["type"] == "content_block_delta":
            return await _break(model, writer)
    writer.write(b"0\r\n\r\n")
    return True


async def _break(model: str, writer: asyncio.StreamWriter) -> bool:
    if model == "reset-mid":
        writer.transport.abort()
        return False
    if model == "error-mid":
        _chunk(writer, json.loads(_error("overloaded_error", "Overloaded")))
    writer.write(b"0\r\n\r\n")
    return True


def _events(message: Json) -> list[Json]:
    """A message as its stream: each text and argument in two deltas, a ping among them."""
    begun = {"input_tokens": 10, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 30, "output_tokens": 1}
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
    events: list[Json] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        empty, deltas = _block(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ends = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    events.append({"type": "message_delta", "delta": ends, "usage": {"output_tokens": 20}})
    return [*events, {"type": "message_stop"}]


def _block(block: Json) -> tuple[Json, list[Json]]:
    """A block as it begins, and its deltas."""
    match block["type"]:
        case "text":
            cited = [{"type": "citations_delta", "citation": each} for each in block["citations"] or ()]
            return {"type": "text", "text": ""}, [*_halves("text_delta", "text", block["text"]), *cited]
        case "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            thoughts = _halves("thinking_delta", "thinking", block["thinking"])
            return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
        case "tool_use" | "server_tool_use":
            return {**block, "input": {}}, _halves("input_json_delta", "partial_json", json.dumps(block["input"]))
    return block, []


def _halves(kind: str, field: str, text: str) -> list[Json]:
    half = len(text) // 2
    return [{"type": kind, field: text[:half]}, {"type": kind, field: text[half:]}]


def _error(kind: str, words: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}).encode()


def _whole(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    more = "retry-after: 7\r\n" if status == 429 else ""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def _chunk(writer: asyncio.StreamWriter, event: Json) -> None:
    data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


async def main(port: int) -> None:
    async with FakeAnthropic(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
