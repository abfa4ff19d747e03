"""A double of OpenAI's API that writes down what it is asked; two of its models give the last message back.

`echo` repeats it; `calls` calls a tool with it as the arguments, and streams nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sizewise.testing.upstream import FakeOpenAI, FaultResponder

HEAD = {"id": "up-1", "created": 1, "model": "up"}
PIECE = 3
"""Characters of one chunk: placeholders come in several."""


class EchoingOpenAI(FakeOpenAI):
    def fault(self, model: str) -> FaultResponder:
        return {"echo": _echo, "calls": _call}.get(model) or super().fault(model)


def _last_message(body: dict[str, object]) -> str:
    messages = body["messages"]
    assert isinstance(messages, list)
    said = messages[-1]["content"]
    return said if isinstance(said, str) else json.dumps(said)


def _write_whole(writer: asyncio.StreamWriter, message: Mapping[str, object], finish: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    whole = json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole))
    writer.write(whole)


async def _call(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    function = {"name": "order", "arguments": _last_message(body)}
    message = {"content": None, "tool_calls": [{"id": "call-1", "type": "function", "function": function}]}
    _write_whole(writer, message, "tool_calls")
    return True


async def _echo(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    text = _last_message(body)
    if not body.get("stream"):
        _write_whole(writer, {"content": text}, "stop")
        return True
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    deltas = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    chunks: list[tuple[dict[str, str], str | None]] = [({"content": each}, None) for each in deltas] + [({}, "stop")]
    for delta, finish in chunks:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        data = (
            b"data: " + json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
        )
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    return True


@contextmanager
def echoing_upstream(kind: type[FakeOpenAI] = EchoingOpenAI) -> Iterator[FakeOpenAI]:
    """A double in a thread of its own; `received` may be read between two requests."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    up = kind()
    asyncio.run_coroutine_threadsafe(up.__aenter__(), loop).result(30)
    try:
        yield up
    finally:
        asyncio.run_coroutine_threadsafe(up.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
