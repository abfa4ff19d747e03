"""A double of every vendor: answers each request with the usage body that its question names, whole or as a stream.

The question is the name of a vector, as `openai/cached and reasoning`; which wire is spoken tells the vector's file.
"""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

from sizewise.testing.upstream import FakeOpenAI, FaultResponder

FOLDER = Path(__file__).with_name("vectors")
Json = dict[str, Any]


def vectors() -> dict[str, Json]:
    """Every case by its name, each with its `endpoint`."""
    found: dict[str, Json] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        for case in tomllib.loads(path.read_text())["case"]:
            found[f"{path.stem}/{case['name']}"] = {**case, "endpoint": path.stem}
    return found


class FakeVendors(FakeOpenAI):
    """`async with FakeVendors() as up:` as its base."""

    def __init__(self) -> None:
        super().__init__()
        self._cases = vectors()

    def fault(self, model: str) -> FaultResponder:
        return self._answer

    async def _answer(self, body: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        case = self._cases[_words(body["messages"][-1]["content"])]
        shown = _message if case["endpoint"] == "anthropic" else _completion
        if not body.get("stream"):
            whole = json.dumps(shown(case)).encode()
            writer.write(_head("application/json", f"content-length: {len(whole)}") + whole)
            return True
        writer.write(_head("text/event-stream", "transfer-encoding: chunked"))
        for event in _events(case) if case["endpoint"] == "anthropic" else _chunks(case):
            data = b"data: [DONE]\n\n" if event is None else b"data: " + json.dumps(event).encode() + b"\n\n"
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        writer.write(b"0\r\n\r\n")
        return True


def _words(content: str | list[Json]) -> str:
    return content if isinstance(content, str) else str(content[0]["text"])


def _head(kind: str, framing: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n".encode()


def _completion(case: Json) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    return {**_same(case, "chat.completion"), "choices": [choice], "usage": case["body"]}


def _chunks(case: Json) -> list[Json | None]:
    shown = _same(case, "chat.completion.chunk")
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Hello."}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    tail = {**shown, "choices": [], "usage": case["body"]}
    return [{**shown, "choices": [choice]}, {**shown, "choices": [end]}, tail, None]


def _same(case: Json, kind: str) -> Json:
    tier = {"service_tier": case["tier"]} if "tier" in case else {}
    return {"id": "up-1", "object": kind, "created": 1, "model": case["model"], **tier}


def _message(case: Json) -> Json:
    shown = {"id": "msg_1", "type": "message", "role": "assistant", "model": case["model"]}
    text = {"type": "text", "text": "Hello."}
    return {**shown, "content": [text], "stop_reason": "end_turn", "stop_sequence": None, "usage": case["body"]}


def _events(case: Json) -> list[Json]:
    """The prompt is counted where the message starts, the answer where it ends."""
    usage = case["body"]
    late = {"output_tokens", "output_tokens_details", "server_tool_use"}
    early = {name: value for name, value in usage.items() if name not in late}
    start = {**_message(case), "content": [], "stop_reason": None, "usage": {**early, "output_tokens": 1}}
    ends = {name: usage[name] for name in late & usage.keys()}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": ends},
        {"type": "message_stop"},
    ]
