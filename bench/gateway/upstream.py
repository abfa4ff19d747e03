"""A model server that always knows the answer already; knows nothing of gateways, keys or models.

`python -m bench.gateway.upstream --port P` serves on 127.0.0.1. `POST` answers with a chat completion, `stream: true`
with server-sent events (all at once, or paced where the prompt asks for it), `GET` with the list of models.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections import deque
from typing import cast

import httptools
import uvloop

from bench.gateway import exchange


def _whole(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
ANSWER, ANSWER_LOGPROBS = _whole(exchange.answer(False)), _whole(exchange.answer(True))
MODELS = _whole(exchange.models())
HARMED = _whole(b'{"error":{"message":"the body did not arrive whole"}}', "400 Bad Request")
MOST_PIPELINED = 1000
"""Requests waiting on one connection; more is an attack or a bug, and the connection is closed."""


def _words(count: int, logprobs: bool) -> list[bytes]:
    return [_chunk(exchange.event(number, logprobs)) for number in range(count)]


OPENING = STREAM_HEAD + _chunk(exchange.opening())
WORDS = {(kind, wanted): _words(count, wanted) for kind, count in exchange.EVENTS.items() for wanted in (False, True)}
FAST = {wanted: OPENING + b"".join(WORDS["stream", wanted]) for wanted in (False, True)}
END = {wanted: _chunk(exchange.ending(wanted)) + LAST_CHUNK for wanted in (False, True)}

STREAM, LOGPROBS, INCLUDE_USAGE = (
    (b'"%b":true' % name, b'"%b": true' % name) for name in (b"stream", b"logprobs", b"include_usage")
)
"""Boolean fields that are true, in the two common spellings of JSON; our prompts never contain them."""


def _edges(body: bytes) -> bytes:
    """Enough of the body to find its fields: they stand before or after the messages."""
    return body if len(body) < 4096 else body[:512] + body[-512:]


def _wants(body: bytes, field: tuple[bytes, bytes]) -> bool:
    return field[0] in body or field[1] in body


def _pace(edges: bytes) -> exchange.Kind:
    if exchange.AT_LEISURE in edges:
        return "leisurely"
    return "dripped" if exchange.AT_LENGTH in edges else "paced"


class Upstream(asyncio.Protocol):
    """One connection. Answers in the order of the questions; a pipelined one waits until the stream before it ended."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parts: list[bytes] = []
        self.waiting: deque[tuple[bytes, bytes]] = deque()
        self.streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        self.parts.clear()
        if not self.streaming:
            self._answer(self.parser.get_method(), body)
        elif len(self.waiting) < MOST_PIPELINED:
            self.waiting.append((self.parser.get_method(), body))
        else:
            self.transport.abort()

    def _answer(self, method: bytes, body: bytes) -> None:
        edges = _edges(body)
        if method == b"GET":
            self.transport.write(MODELS)
        elif exchange.ASKED not in edges:
            self.transport.write(HARMED)
        elif _wants(edges, STREAM):
            self._stream(edges)
        else:
            self.transport.write(ANSWER_LOGPROBS if _wants(edges, LOGPROBS) else ANSWER)

    def _stream(self, edges: bytes) -> None:
        logprobs, end = _wants(edges, LOGPROBS), END[_wants(edges, INCLUDE_USAGE)]
        if exchange.PACED not in edges:
            self.transport.write(FAST[logprobs] + end)
            return
        kind = _pace(edges)
        words = WORDS[kind, logprobs]
        self.streaming = True
        self.transport.write(OPENING)
        self._wait(deque([*words[:-1], words[-1] + end]), exchange.GAP_S[kind])

    def _wait(self, words: deque[bytes], gap_s: float) -> None:
        asyncio.get_running_loop().call_later(gap_s, self._say, words, gap_s)

    def _say(self, words: deque[bytes], gap_s: float) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(words.popleft())
        if words:
            self._wait(words, gap_s)
            return
        self.streaming = False
        while self.waiting and not self.streaming:
            self._answer(*self.waiting.popleft())


async def serve(port: int) -> None:
    """Serves until SIGTERM or SIGINT, or until the process that started it is gone."""
    loop, stop, parent = asyncio.get_running_loop(), asyncio.Event(), os.getppid()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=1024)
    async with server:
        while not stop.is_set() and os.getppid() == parent:
            try:
                await asyncio.wait_for(stop.wait(), 5)
            except TimeoutError:
                continue


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A static upstream on loopback.")
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
