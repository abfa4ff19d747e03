"""A stream is one JSON value a line, however a client or an upstream laid out its own JSON; read by a strict reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving

Json = dict[str, Any]
SPACE = ("", " ", "\n", "\r\n", "\r", "\n\n", "\t", "\r\n\r\n")
NASTY = "first\nsecond\r\n\r\ndata: {}\n\nevent: x\n\n\u2028\u0085 ende"
"""Words that end an event where they are not escaped."""
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string", "description": NASTY}}}
ECHOED: Json = {
    "instructions": NASTY,
    "max_output_tokens": 50,
    "metadata": {"why": NASTY, NASTY[:30]: "x"},
    "parallel_tool_calls": False,
    "prompt_cache_key": NASTY,
    "reasoning": {"effort": "low", "summary": None},
    "safety_identifier": NASTY,
    "service_tier": "default",
    "temperature": 0.5,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [{"type": "function", "name": "weather", "description": NASTY, "parameters": SCHEMA, "strict": False}],
    "top_logprobs": 0,
    "top_p": 0.9,
    "truncation": "disabled",
    "user": NASTY,
}
"""Every field of a request that /v1/responses repeats in its events."""
TOOL: Json = {"type": "function", "function": {"name": "weather", "description": NASTY, "parameters": SCHEMA}}
CHAT: Json = {
    "messages": [{"role": "system", "content": NASTY}, {"role": "user", "content": [{"type": "text", "text": NASTY}]}],
    "stream_options": {"include_usage": True},
    "metadata": {"why": NASTY},
    "tools": [TOOL],
    "user": NASTY,
    "logprobs": True,
}
MESSAGES: Json = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": NASTY}]}],
    "system": [{"type": "text", "text": NASTY}],
    "max_tokens": 50,
    "metadata": {"user_id": NASTY},
    "tools": [{"name": "weather", "description": NASTY, "input_schema": SCHEMA}],
    "stop_sequences": [NASTY],
}
BODIES: dict[str, Json] = {
    "/v1/responses": {"input": [{"role": "user", "content": [{"type": "input_text", "text": NASTY}]}], **ECHOED},
    "/v1/chat/completions": CHAT,
    "/v1/messages": MESSAGES,
}
CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
logprobs = true
[providers.pretty]
base_url = "{url}"
place = "machine"
models = ["whole", "flowing"]
[models."pretty/whole"]
logprobs = true
tools = true
parameters = 100_000_000
[models."echo/large"]
logprobs = true
tools = true
parameters = 70_000_000_000
[providers.odd]
wire = "responses"
base_url = "{url}"
place = "machine"
models = ["named"]
[policies.held]
kind = "cascade"
threshold = 0.5
models = ["pretty/whole", "echo/large"]
"""


def laid_out(value: object, draw: Random) -> str:
    """`value` as JSON, with white space of any kind between its tokens."""

    def gap() -> str:
        return draw.choice(SPACE)

    if isinstance(value, dict):
        pairs = [f"{gap()}{json.dumps(k)}{gap()}:{gap()}{laid_out(v, draw)}{gap()}" for k, v in value.items()]
        return "{" + (",".join(pairs) or gap()) + "}"
    if isinstance(value, list):
        return "[" + (",".join(gap() + laid_out(each, draw) + gap() for each in value) or gap()) + "]"
    return json.dumps(value)


def events(stream: bytes) -> list[Json]:
    """The events of a stream, read as the standard has it: a line break of any kind ends a line, an unknown line is
    an error here.
    """
    assert b"\r" not in stream and stream.endswith(b"\n\n"), stream
    found: list[Json] = []
    for event in stream.decode().removesuffix("\n\n").split("\n\n"):
        named, data = "", []
        for line in event.split("\n"):
            field, _, value = line.partition(": ")
            assert field in ("event", "data"), line
            if field == "data":
                data.append(value)
            named = value if field == "event" else named
        assert len(data) == 1, event
        if data != ["[DONE]"]:
            found.append(json.loads(data[0]))
            assert named in ("", found[-1].get("type"))
    return found


def said(found: list[Json]) -> str:
    """The text of a stream of any of the three formats."""
    words = ""
    for event in found:
        if "choices" in event:
            words += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
        elif event["type"] == "response.output_text.delta":
            words += event["delta"]
        elif event["type"] == "content_block_delta":
            words += event["delta"].get("text", "")
    return words


class PrettyUpstream(FakeOpenAI):
    """Answers in pretty JSON, and with events whose names hold line breaks."""

    def fault(self, model: str) -> FaultResponder:
        return _odd_events if model == "named" else _pretty


async def _pretty(body: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    token = {"token": NASTY, "logprob": -0.1, "bytes": None, "top_logprobs": []}
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{\n"city":\n"Oslo"}'}}
    message: Json = {"role": "assistant", "content": NASTY, "refusal": None, "annotations": [{"type": NASTY}]}
    message |= {"tool_calls": [call]} if body.get("tools") else {}
    finish = "tool_calls" if body.get("tools") else "stop"
    choice = {"index": 0, "message": message, "logprobs": {"content": [token]}, "finish_reason": finish}
    shown: Json = {"id": "up", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]}
    shown["usage"] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    data = laid_out(shown, Random(7)).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    if body.get("stream"):
        choice["delta"] = choice.pop("message")
        lines = "\n".join(laid_out(shown | {"object": "chat.completion.chunk"}, Random(7)).splitlines())
        data = b"".join(b"data: %b\n" % line for line in lines.encode().split(b"\n")) + b"\ndata: [DONE]\n\n"
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + data)
    await writer.drain()
    return not body.get("stream")


async def _odd_events(body: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"query": NASTY}}
    message: Json = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    message |= {"content": [{"type": "output_text", "text": NASTY, "annotations": [], "logprobs": []}]}
    done = {"id": "resp_1", "object": "response", "status": "completed", "output": [search, message], "usage": None}
    told: list[Json] = [
        {"type": "response.output_item.added", "output_index": 0, "item": search},
        {"type": "response.web_search_call.odd\n\ndata: {}\n\nevent: x", "output_index": 0, "item_id": "ws_1"},
        {"type": "response.output_item.done", "output_index": 0, "item": search},
        {"type": "response.output_item.added", "output_index": 1, "item": {**message, "content": []}},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": NASTY},
        {"type": "response.completed", "response": done},
    ]
    frames = b"".join(
        b"".join(b"data: %b\n" % line for line in json.dumps(event, indent=2).encode().split(b"\n")) + b"\n"
        for event in told
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    writer.write(head + frames)
    await writer.drain()
    return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with beside(PrettyUpstream) as up:
        with serving(tmp_path_factory.mktemp("framed"), CONFIG.replace("{url}", up.url)) as running:
            yield running
            assert "unexpected" not in "".join(running.said), running.said


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("seed", range(12))
def test_a_client_may_lay_out_its_json_as_it_likes(served: Served, path: str, seed: int) -> None:
    body = laid_out({"model": "echo/small", "stream": True, **BODIES[path]}, Random(seed)).encode()
    answer = served.ask(path, body)
    assert answer.status == 200, answer.body
    found = events(answer.body)
    assert "data: {}" in said(found)
    if path == "/v1/responses":
        for event in (found[0], found[1], found[-1]):
            assert {name: event["response"][name] for name in ECHOED} == ECHOED
        assert found[-1]["type"] == "response.completed"


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("model", ["pretty/whole", "pretty/flowing", "auto:held", "odd/named"])
def test_an_upstream_may_lay_out_its_json_as_it_likes(served: Served, path: str, model: str) -> None:
    body = {"model": model, "stream": True, **BODIES[path]}
    if model == "odd/named":
        body = {name: value for name, value in body.items() if name not in ("tools", "stop_sequences")}
    answer = served.ask(path, body)
    assert answer.status == 200, answer.body
    assert "data: {}" in said(events(answer.body))
