"""A model server for long bodies: reads each to its end, parses none of it, and answers at the length it asks for.

`python -m bench.gateway.long_upstream PORT`. A body with `"user":"reply N"` gets an answer of N bytes; `stream: true`
gets it in pieces of 50 bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

REPLY = re.compile(rb'"user": ?"reply (\d+)"')
WORDS = "The quarter went well, and all teams met their goals. "


def _head(kind: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n".encode()


def _answer(path: str, body: bytes) -> bytes:
    edges = body[:2_000] + body[-2_000:]
    asked = REPLY.search(edges)
    size = int(asked.group(1)) if asked else 20
    text = WORDS * (size // len(WORDS) + 1)
    if path.endswith("/embeddings"):
        rows = [{"object": "embedding", "index": at, "embedding": [0.25] * 8} for at in range(body.count(b'",') + 1)]
        whole = json.dumps({"object": "list", "data": rows, "model": "embed", "usage": {"prompt_tokens": 1}}).encode()
        return _head("application/json", len(whole)) + whole
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    if re.search(rb'"stream": ?true', edges):
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "chat"}
        piece = {**chunk, "choices": [{"index": 0, "delta": {"content": WORDS}, "finish_reason": None}]}
        last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
        frames = b"data: %b\n\n" % json.dumps(piece).encode() * (size // len(WORDS) + 1)
        whole = frames + b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(last).encode()
        return _head("text/event-stream", len(whole)) + whole
    message = {"role": "assistant", "content": text}
    said = {"id": "c", "object": "chat.completion", "created": 1, "model": "chat", "usage": usage}
    whole = json.dumps({**said, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    return _head("application/json", len(whole)) + whole


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode("latin-1").split("\r\n")
            lengths = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0])) if lengths else b""
            writer.write(_answer(lines[0].split(" ")[1], body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    async with await asyncio.start_server(_serve, "127.0.0.1", int(sys.argv[1]), limit=1 << 20) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
