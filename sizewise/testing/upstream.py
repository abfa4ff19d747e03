"""A fake OpenAI server: the `model` of a request selects the fault.

Run it with `python -m sizewise.testing.upstream PORT`. See FAULTS for the faults; any other model name gets a normal
response.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

WORDS = ("Hello", " from", " the", " upstream", ".")
USAGE: Mapping[str, object] = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
COUNTED: Mapping[str, object] = {
    **USAGE,
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
"""Usage of the model `counted`: a vendor with a prompt cache and reasoning."""


@dataclass
class ReceivedRequests:
    """Received requests: paths, decoded JSON bodies, headers by lower-case name.

    `disconnects` counts clients that disconnected during an exchange, not those that closed an idle connection.
    `open_connections` are open now, `active_requests` are in an exchange.
    """

    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    disconnects: int = 0
    open_connections: int = 0
    active_requests: int = 0


class FakeOpenAI:
    """`async with FakeOpenAI() as up:` listens on a free loopback port. `up.url`: base URL; `up.received`: requests."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._port = port
        self._host = host
        self._server: asyncio.Server | None = None
        self.received = ReceivedRequests()

    @property
    def url(self) -> str:
        assert self._server is not None, "not started"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def fault(self, model: str) -> FaultResponder:
        """The responder for the latest request."""
        if model in TURNS:
            asked = sum(body["model"] == model for body in self.received.bodies) - 1
            return TURNS[model][asked % len(TURNS[model])]
        if model == "by-key":
            model = self.received.headers[-1].get("authorization", "").removeprefix("Bearer ")
        return FAULTS.get(model, answer_normally)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received.open_connections += 1
        try:
            while (head := await _next(reader)).startswith(b"POST"):
                names = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in names}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
                self.received.paths.append(head.split(b" ", 2)[1].decode("latin-1"))
                self.received.bodies.append(body)
                self.received.headers.append(headers)
                fault = self.fault(body["model"])
                self.received.active_requests += 1
                try:
                    if not await fault(body, reader, writer):
                        break
                finally:
                    self.received.active_requests -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            self.received.disconnects += 1
        finally:
            self.received.open_connections -= 1
            writer.close()


async def _next(reader: asyncio.StreamReader) -> bytes:
    """The head of the next request; b"" if the client disconnects instead."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


FaultResponder = Callable[[dict[str, object], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
"""Responds to one request; returns False to close the connection."""


def _head(status: str, kind: str, *more: str, length: int | None = None) -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-type: {kind}", framing, *more, "", ""]).encode()


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    shown = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]}
    return b"data: " + json.dumps(shown).encode() + b"\n\n"


def _whole(text: str, usage: Mapping[str, object]) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    shown = {"id": "up-1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]}
    return json.dumps({**shown, "usage": usage, "system_fingerprint": "fp_kept"}).encode()


async def answer_normally(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Responds like OpenAI: five words, and usage if requested."""
    usage = COUNTED if body["model"] == "counted" else USAGE
    if not body.get("stream"):
        whole = _whole("".join(WORDS), usage)
        writer.write(_head("200 OK", "application/json", length=len(whole)) + whole)
        return True
    writer.write(_head("200 OK", "text/event-stream") + _part(_chunk({"role": "assistant", "content": ""})))
    for word in WORDS:
        writer.write(_part(_chunk({"content": word})))
        await writer.drain()
    writer.write(_part(_chunk({}, "stop")))
    if body.get("stream_options") == {"include_usage": True}:
        tail = {
            "id": "up-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "up",
            "choices": [],
            "usage": usage,
        }
        writer.write(_part(b"data: " + json.dumps(tail).encode() + b"\n\n"))
    writer.write(_part(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    return True


def _answers(status: str, body: bytes, *more: str, kind: str = "application/json") -> FaultResponder:
    async def fault(_: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(_head(status, kind, *more, length=len(body)) + body)
        return True

    return fault


def _stream(*pieces: bytes, cut: bool = False, hang: bool = False) -> FaultResponder:
    """A stream of raw pieces; then a clean end, a reset (`cut`), or silence until the client disconnects (`hang`)."""

    async def fault(_: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(_head("200 OK", "text/event-stream"))
        for piece in pieces:
            writer.write(_part(piece))
            await writer.drain()
        if hang:
            await reader.readexactly(1)
        if cut:
            await writer.drain()
            writer.transport.abort()
            return False
        writer.write(b"0\r\n\r\n")
        return True

    return fault


async def _hang(_: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await reader.readexactly(1)  # until the client disconnects
    return False


async def _reset(_: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.transport.abort()
    return False


async def _parrot(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Rejects the request and repeats it, as some providers do."""
    return await _answers("400 Bad Request", _error(f"cannot read {body['messages']!r}"))(body, reader, writer)


def _error(words: str) -> bytes:
    return json.dumps({"error": {"message": words, "type": "server_error", "code": None}}).encode()


FAULTS: Mapping[str, FaultResponder] = {
    "counted": answer_normally,
    "hang": _hang,
    "reset": _reset,
    "busy": _answers("429 Too Many Requests", _error("slow down"), "retry-after: 7"),
    "broken": _answers("500 Internal Server Error", _error("out of luck")),
    "refuses": _answers("400 Bad Request", _error("this model takes no images")),
    "parrot": _parrot,
    "locked": _answers("401 Unauthorized", _error("bad key sk-upstream-secret")),
    "elsewhere": _answers("302 Found", b"", "location: http://169.254.169.254/latest"),
    "html": _answers("200 OK", b"<html>captive portal</html>", kind="text/html"),
    "list": _answers("200 OK", b"[]"),
    "hang-mid": _stream(_chunk({"role": "assistant", "content": "Hel"}), hang=True),
    "reset-mid": _stream(_chunk({"role": "assistant", "content": "Hel"}), cut=True),
    "half-frame": _stream(_chunk({"role": "assistant", "content": "Hel"}), b'data: {"choices":[{"index":0,"del'),
    "no-finish": _stream(_chunk({"role": "assistant", "content": "Hel"})),
    "malformed": _stream(b"data: this is no JSON\n\n"),
    "error-mid": _stream(_chunk({"content": "Hel"}), b"data: " + _error("overloaded") + b"\n\n"),
    "crlf": _stream(
        b": hello\r\n\r\n",
        *(_chunk({"content": w}).replace(b"data: ", b"data:").replace(b"\n\n", b"\r\n\r\n") for w in WORDS),
        _chunk({}, "stop"),
    ),
    "one-byte": _stream(*(b"%c" % b for w in ("Hé", "llo") for b in _chunk({"content": w})), _chunk({}, "stop")),
}


async def _dated(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Requests a pause of one second, by a clock that differs from ours."""
    clock = ("date: Wed, 21 Oct 2015 07:28:00 GMT", "retry-after: Wed, 21 Oct 2015 07:28:01 GMT")
    return await _answers("429 Too Many Requests", _error("slow down"), *clock)(body, reader, writer)


TURNS: Mapping[str, tuple[FaultResponder, ...]] = {
    "flaky": (FAULTS["broken"], answer_normally),
    "burst": (*[FAULTS["broken"]] * 3, answer_normally),
    "dated": (_dated, answer_normally),
    "stuck": (_hang, answer_normally),
}
"""Models whose responders take turns, over and over. The model `by-key` uses the API key as the fault's name."""


async def main(port: int) -> None:
    async with FakeOpenAI(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
