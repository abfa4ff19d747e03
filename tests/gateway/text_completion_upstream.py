"""An OpenAI-shaped server that has the endpoint for text completions too, and answers chats with several choices."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sizewise.testing.upstream import FakeOpenAI, FaultResponder

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
LOGPROBS = {
    "tokens": [" a", "b"],
    "token_logprobs": [-0.5, -1.5],
    "top_logprobs": [{" a": -0.5}, {"b": -1.5}],
    "text_offset": [4, 6],
}
CHANCES = (-2.0, -0.1, -1.0)
"""Log-probability of the first, second and third choice of a chat."""


class TextUpstream(FakeOpenAI):
    """`raw...`: at /completions it repeats the prompt in brackets, and begins with it where it is to echo."""

    def fault(self, model: str) -> FaultResponder:
        if self.received.paths[-1] == "/v1/completions":
            return _cut if model == "raw-cut" else _texts
        return _choices if model == "several" else super().fault(model)


async def _texts(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    about = {"id": "cmpl-up", "object": "text_completion", "created": 1, "model": "up"}
    said = f"{body['prompt'] if body.get('echo') else ''}[{body['prompt']}]"
    scored = LOGPROBS if "logprobs" in body else None
    count = range(body.get("n", 1))
    if not body.get("stream"):
        choices = [{"index": at, "text": said, "logprobs": scored, "finish_reason": "stop"} for at in count]
        return answer_whole(writer, {**about, "choices": choices, "usage": USAGE})
    chunks: list[dict[str, Any]] = []
    for at in count:
        for piece in (said[:3], said[3:]):
            chunks.append({**about, "choices": [{"index": at, "text": piece, "logprobs": scored}]})
        chunks.append({**about, "choices": [{"index": at, "text": "", "finish_reason": "stop"}]})
    return _stream(writer, [*chunks, {**about, "choices": [], "usage": USAGE}], ended=True)


async def _cut(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    return _stream(writer, [{"choices": [{"index": 0, "text": "Hel"}]}], ended=False)


async def _choices(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    made: list[dict[str, Any]] = [
        {
            "index": at,
            "message": {"role": "assistant", "content": f"choice {at}"},
            "logprobs": {"content": [{"token": "choice", "logprob": CHANCES[at], "bytes": None, "top_logprobs": []}]}
            if body.get("logprobs")
            else None,
            "finish_reason": "stop",
        }
        for at in range(body.get("n", 1))
    ]
    return answer_whole(writer, {"id": "up", "object": "chat.completion", "created": 1, "model": "up", "choices": made,
                           "usage": USAGE})  # fmt: skip


def answer_whole(writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    return True


def _stream(writer: asyncio.StreamWriter, chunks: list[dict[str, Any]], *, ended: bool) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for chunk in [*map(json.dumps, chunks), *(["[DONE]"] if ended else [])]:
        data = f"data: {chunk}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    writer.write(b"0\r\n\r\n")
    return True
