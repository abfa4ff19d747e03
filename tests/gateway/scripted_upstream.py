"""An OpenAI-shaped server whose models say what few do: several calls at once, reasoning, JSON that breaks its schema.

A double of what vendors document, for the tests of this room; that real ones speak so is not proven by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

from sizewise.testing.upstream import FakeOpenAI, FaultResponder

USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
CALLS = (("call_a", "weather", '{"city": "Bonn"}'), ("call_b", "clock", '{"zone": "CET"}'))
KEEPS = '{"name": "Ada", "age": 36}'
BREAKS = '{"name": "Ada", "age": "old"}'


class Speaks(FakeOpenAI):
    """`calls`, `thinks`, `keeps` (its schema), `mends` (it, once it has been told), `breaks`, `refuses`."""

    def fault(self, model: str) -> FaultResponder:
        return {"calls": _calls, "thinks": _thinks, "vectors": _vectors, "refuses": _refuses}.get(model, _json)


async def _calls(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Their arguments in pieces of three characters, in turn."""
    whole = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in CALLS]
    begin = [{"index": k, **call, "function": {**call["function"], "arguments": ""}} for k, call in enumerate(whole)]  # type: ignore[dict-item]  # a dict of its own
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": [each]} for each in begin]
    for at in range(0, 20, 3):
        for number, (_, _, arguments) in enumerate(CALLS):
            if piece := arguments[at : at + 3]:
                deltas.append({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    return _answer(body, writer, {"content": None, "tool_calls": whole}, deltas, "tool_calls")


async def _thinks(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    deltas = [{"reasoning_content": "Let me"}, {"reasoning_content": " see."}, {"content": "Yes"}, {"content": "."}]
    return _answer(body, writer, {"content": "Yes.", "reasoning_content": "Let me see."}, deltas, "stop")


async def _refuses(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    said = {"content": None, "refusal": "I would rather not."}
    return _answer(body, writer, said, [{"refusal": "I would"}, {"refusal": " rather not."}], "stop")


async def _json(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    text = KEEPS if body["model"] == "keeps" or (body["model"] == "mends" and len(body["messages"]) > 1) else BREAKS
    deltas = [{"content": text[at : at + 5]} for at in range(0, len(text), 5)]
    return _answer(body, writer, {"content": text}, deltas, "stop")


async def _vectors(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    count = 1 if isinstance(body["input"], str) or isinstance(body["input"][0], int) else len(body["input"])
    data = [{"object": "embedding", "index": number, "embedding": [0.5, -0.5]} for number in range(count)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return _whole(writer, {"object": "list", "data": data, "model": "v", "usage": usage})


def _answer(
    body: dict[str, Any],
    writer: asyncio.StreamWriter,
    message: dict[str, Any],
    deltas: list[dict[str, Any]],
    finish: str,
) -> bool:
    shown = {"id": "up-1", "created": 1, "model": "up"}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        return _whole(writer, {**shown, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    shown["object"] = "chat.completion.chunk"
    chunks = [{**shown, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**shown, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**shown, "choices": [], "usage": USAGE})
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for chunk in [*map(json.dumps, chunks), "[DONE]"]:
        data = f"data: {chunk}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    writer.write(b"0\r\n\r\n")
    return True


def _whole(writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    return True


@contextlib.contextmanager
def speaking() -> Iterator[Speaks]:
    """The server, in an event loop of its own."""
    ready: queue.Queue[tuple[Speaks, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        over = asyncio.Event()
        async with Speaks() as speaks:
            ready.put((speaks, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    speaks, loop, over = ready.get(timeout=60)
    try:
        yield speaks
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)


def settings(url: str, *, fast: bool = True) -> str:
    """Echo models, some of which see and one that breaks every schema; the server above as `up` and, dearer, `far`."""
    models = '["calls", "thinks", "keeps", "mends", "breaks", "refuses", "vectors"]'
    return f"""
[server]
embedded = false
discover = false
fast_path = {str(fast).lower()}
[policies.default]
kind = "cheapest"
models = ["echo/small", "echo/eyes"]
[policies.unruly]
kind = "cheapest"
models = ["stubborn/echo", "echo/small"]
[policies.worse]
kind = "cheapest"
models = ["up/breaks", "up/keeps"]
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "eyes", "blind", "vectors"]
[providers.stubborn]
wire = "echo"
place = "process"
models = ["echo"]
headers = {{cues = "[[say no JSON]]"}}
[models."stubborn/echo"]
price = {{input = "0", output = "0"}}
[models."echo/small"]
input_modalities = []
logprobs = true
tools = true
price = {{input = "1", output = "2.5"}}
[models."echo/eyes"]
input_modalities = ["image", "file"]
price = {{input = "10", output = "25"}}
[models."echo/blind"]
input_modalities = []
[models."echo/vectors"]
task = "embed"
[providers.up]
base_url = "{url}"
place = "machine"
models = {models}
[models."up/vectors"]
task = "embed"
[models."up/thinks"]
price = {{input = "1", output = "10", cached = "0.1", cache_write = "1.25"}}
[models."up/breaks"]
price = {{input = "0", output = "0"}}
[models."up/keeps"]
price = {{input = "1", output = "1"}}
"""
