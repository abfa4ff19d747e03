"""A fake OpenAI server that echoes the last message, or the arguments of its tool, in small chunks.

Run it: `python -m sizewise.testing.echo_reply PORT`. The `model` of a request names what goes wrong, as for
upstream.py; every other name mirrors. A request with tools gets a call of `tell`, with the last message as `said`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

from sizewise.testing.upstream import FAULTS, TURNS, USAGE, FakeOpenAI, FaultResponder

CHUNK_CHARS = 3  # characters of an answer that come at a time


class FakeOpenAIEcho(FakeOpenAI):
    """`received.bodies` is what reached it."""

    def fault(self, model: str) -> FaultResponder:
        if model in TURNS:
            asked = sum(body["model"] == model for body in self.received.bodies) - 1
            turn = TURNS[model][asked % len(TURNS[model])]
            return turn if turn in FAULTS.values() else echo_reply
        return FAULTS.get(model, echo_reply)


async def echo_reply(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    if "input" in body:
        rows = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
        _send(writer, "application/json", [json.dumps({"data": rows, "model": "m", "usage": USAGE}).encode()])
        return True
    said, calls = _said(body), bool(body.get("tools"))
    arguments = json.dumps({"said": said})
    if not body.get("stream"):
        call = {"id": "call_1", "type": "function", "function": {"name": "tell", "arguments": arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]} if calls else {"content": said}
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
        shown = {"id": "up-1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]}
        _send(writer, "application/json", [json.dumps({**shown, "usage": USAGE, "system_fingerprint": "fp"}).encode()])
        return True
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
    if calls:
        function: dict[str, object] = {"name": "tell", "arguments": ""}
        deltas.append({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
        deltas += _cut(arguments, lambda each: {"tool_calls": [{"index": 0, "function": {"arguments": each}}]})
    else:
        deltas += _cut(said, lambda each: {"content": each})
    chunks = [_chunk(delta) for delta in deltas]
    chunks += [_chunk({}, "tool_calls" if calls else "stop"), b"data: [DONE]\n\n"]
    _send(writer, "text/event-stream", chunks)
    return True


def _said(body: dict[str, object]) -> str:
    messages = body["messages"]
    assert isinstance(messages, list)
    content = messages[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _cut(text: str, delta: Callable[[str], dict[str, object]]) -> list[dict[str, object]]:
    return [delta(text[place : place + CHUNK_CHARS]) for place in range(0, len(text), CHUNK_CHARS)]


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    shown = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}
    return b"data: " + json.dumps(shown).encode() + b"\n\n"


def _send(writer: asyncio.StreamWriter, kind: str, pieces: list[bytes]) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n")


async def main(port: int) -> None:
    async with FakeOpenAIEcho(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
