"""A faulty upstream for every wire: the `model` of a request selects the fault.

Run it with `python -m sizewise.testing.faults PORT`. See FAULTS for the faults and fault_expectations.py for what
clients of the gateway see. Any other model name gets a normal response, in the wire format of the path. For tests only.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from sizewise.testing.wire_samples import WireSample, sample_for

ENDLESS_S = 0.02  # seconds between two pieces of an endless response: a hundred of them at once are 5,000 a second
DRIP_S = 0.005  # seconds between two dripped bytes
DRIPPING = 40  # bytes that drip, so a busy machine ends in time; the rest is sent at once
HUGE = 9 * 1024 * 1024  # bytes of a line, above any limit
ENDLESS = 64 * 1024 * 1024  # bytes that a body announces and tries to send


@dataclass(frozen=True, slots=True)
class FaultExchange:
    """One request and its connection. `repeats`: earlier identical requests. `key`: its API key."""

    sample: WireSample
    stream: bool
    repeats: int
    key: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def send_head(
        self,
        status: str = "200 OK",
        kind: str = "",
        *more: str,
        length: int | None = None,
        version: str = "1.1",
    ) -> None:
        """Chunked without a `length`; in HTTP/1.0 the body ends with the connection."""
        kind = kind or ("text/event-stream" if self.stream else "application/json")
        framing = f"content-length: {length}" if length is not None else "transfer-encoding: chunked"
        lines = [f"HTTP/{version} {status}", f"content-type: {kind}", *more]
        lines += [framing] if version == "1.1" else []
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def send_chunks(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def wait_for_disconnect(self) -> bool:
        """Sends nothing until the client disconnects."""
        await self.reader.readexactly(1)
        return False

    def reset(self) -> bool:
        self.writer.transport.abort()
        return False

    @property
    def first_pieces(self) -> tuple[bytes, ...]:
        """Everything up to the first text; without streaming, half of the body."""
        if not self.stream:
            return (self.sample.response[: len(self.sample.response) // 2],)
        return (*self.sample.preamble, self.sample.text_frames[0])

    @property
    def remaining_pieces(self) -> tuple[bytes, ...]:
        if not self.stream:
            return (self.sample.response[len(self.sample.response) // 2 :],)
        return (*self.sample.text_frames[1:], *self.sample.end_frames, self.sample.last_frame)


FaultHandler = Callable[[FaultExchange], Awaitable[bool]]
"""Handles an exchange; returns False to close the connection."""


async def answer_normally(x: FaultExchange) -> bool:
    return await _chunked(x, *x.first_pieces, *x.remaining_pieces)


async def _chunked(x: FaultExchange, *pieces: bytes) -> bool:
    await x.send_head()
    await x.send_chunks(*pieces)
    await x.send(b"0\r\n\r\n")
    return True


def refuse_with(status: str, message: str = "out of luck", *more: str) -> FaultHandler:
    async def refuses(x: FaultExchange) -> bool:
        body = x.sample.error.replace(b"out of luck", message.encode())
        await x.send_head(status, "application/json", *more, length=len(body))
        await x.send(body)
        return True

    return refuses


def fail_first(times: int, fault: FaultHandler) -> FaultHandler:
    async def recovers(x: FaultExchange) -> bool:
        return await (fault(x) if x.repeats < times else answer_normally(x))

    return recovers


# ---- silence, and connections that break ----------------------------------------------------------------------------


async def _hang(x: FaultExchange) -> bool:
    return await x.wait_for_disconnect()


async def _hang_head(x: FaultExchange) -> bool:
    await x.send_head()
    return await x.wait_for_disconnect()


async def _hang_word(x: FaultExchange) -> bool:
    await x.send_head()
    await x.send_chunks(*x.first_pieces)
    return await x.wait_for_disconnect()


async def _closes(x: FaultExchange) -> bool:
    return False


async def _reset(x: FaultExchange) -> bool:
    return x.reset()


async def _reset_head(x: FaultExchange) -> bool:
    await x.send_head()
    await _swallowed()
    return x.reset()


async def _reset_word(x: FaultExchange) -> bool:
    await x.send_head()
    await x.send_chunks(*x.first_pieces)
    await _swallowed()
    return x.reset()


async def _swallowed() -> None:
    """A reset discards data that the peer has not read: leaves it time to read."""
    await asyncio.sleep(0.05)


async def _short(x: FaultExchange) -> bool:
    """Announces more bytes than it sends."""
    await x.send_head(length=sum(map(len, (*x.first_pieces, *x.remaining_pieces))))
    await x.send(*x.first_pieces)
    return False


# ---- bytes ----------------------------------------------------------------------------------------------------------


async def _utf8_cut(x: FaultExchange) -> bool:
    """Splits a two-byte character between two chunks."""
    data = b"".join((*x.first_pieces, *x.remaining_pieces))
    place = data.find("ü".encode()) + 1
    return await _chunked(x, data[:place], data[place:])


async def _utf8_broken(x: FaultExchange) -> bool:
    """Valid text first, then text that ends in the middle of a character."""
    return await _chunked(x, *x.first_pieces, *(piece.replace("ß".encode(), b"\xc3") for piece in x.remaining_pieces))


async def _utf8_aside(x: FaultExchange) -> bool:
    """The same, in an unknown field."""
    aside = b'{"aside":"\xc3",'
    if not x.stream:
        return await _chunked(x, x.sample.response.replace(b"{", aside, 1))
    return await _chunked(x, *x.first_pieces, *(piece.replace(b"{", aside, 1) for piece in x.remaining_pieces))


async def _drips(x: FaultExchange) -> bool:
    data = b"".join((*x.first_pieces, *x.remaining_pieces))
    await x.send_head()
    for byte in data[:DRIPPING]:
        await x.send_chunks(b"%c" % byte)
        await asyncio.sleep(DRIP_S)
    await x.send_chunks(data[DRIPPING:])
    await x.send(b"0\r\n\r\n")
    return True


async def _huge(x: FaultExchange) -> bool:
    """A line or body above any limit."""
    if x.stream:
        return await _chunked(x, b"data: ", *[b"x" * 65_536] * (HUGE // 65_536))
    await x.send_head(length=ENDLESS)
    for _ in range(ENDLESS // 65_536):
        await x.send(b" " * 65_536)
    return True


async def _endless(x: FaultExchange) -> bool:
    """Text or blanks, forever."""
    await x.send_head()
    await x.send_chunks(*x.first_pieces)
    while True:
        await x.send_chunks(x.sample.text_frames[1] if x.stream else b" ")
        await asyncio.sleep(ENDLESS_S)


async def _flood(x: FaultExchange) -> bool:
    """Text forever, as fast as the client reads."""
    await x.send_head()
    await x.send_chunks(*x.first_pieces)
    while True:
        await x.send_chunks(x.sample.text_frames[1] * 100 if x.stream else b" " * 10_000)


async def _endless_comments(x: FaultExchange) -> bool:
    """Keep-alives forever and no text; without streaming, 1xx responses."""
    if x.stream:
        await x.send_head()
    while True:
        await (x.send_chunks(b": still here\n\n") if x.stream else x.send(b"HTTP/1.1 102 Processing\r\n\r\n"))
        await asyncio.sleep(ENDLESS_S)


# ---- HTTP -----------------------------------------------------------------------------------------------------------


async def _no_http(x: FaultExchange) -> bool:
    await x.send(b"SSH-2.0-OpenSSH_9.9\r\n")
    return await x.wait_for_disconnect()


async def _endless_head(x: FaultExchange) -> bool:
    await x.send(b"HTTP/1.1 200 OK\r\n", *[b"x: %b\r\n" % (b"y" * 1000)] * 100)
    return await x.wait_for_disconnect()


async def _bad_chunks(x: FaultExchange) -> bool:
    await x.send_head()
    await x.send_chunks(*x.first_pieces)
    await x.send(b"zz\r\nnonsense\r\n")
    return await x.wait_for_disconnect()


async def _http_1_0(x: FaultExchange) -> bool:
    """The body ends only with the connection."""
    await x.send_head(version="1.0")
    await x.send(*x.first_pieces, *x.remaining_pieces)
    return False


async def _html(x: FaultExchange) -> bool:
    page = b"<html>captive portal</html>"
    await x.send_head(kind="text/html", length=len(page))
    await x.send(page)
    return True


async def _empty(x: FaultExchange) -> bool:
    await x.send_head(length=0)
    return True


async def _gzip(x: FaultExchange) -> bool:
    data = gzip.compress(b"".join((*x.first_pieces, *x.remaining_pieces)), mtime=0)
    await x.send_head("200 OK", "", "content-encoding: gzip", length=len(data))
    await x.send(data)
    return True


# ---- what is in the frames ------------------------------------------------------------------------------------------


async def _no_sse(x: FaultExchange) -> bool:
    """JSON instead of frames; without streaming, JSON of another shape."""
    return await _chunked(x, *((x.sample.response, b"\n\n") if x.stream else (b"[1, 2]",)))


async def _no_json(x: FaultExchange) -> bool:
    return await _chunked(x, b"data: this is no JSON\n\n" if x.stream else b"this is no JSON")


async def _half_frame(x: FaultExchange) -> bool:
    """A clean end in the middle of a frame."""
    return await _chunked(x, *x.first_pieces, x.remaining_pieces[0][: len(x.remaining_pieces[0]) // 2])


async def _no_finish(x: FaultExchange) -> bool:
    return await _chunked(x, *x.first_pieces)


async def _done_twice(x: FaultExchange) -> bool:
    return await _chunked(x, *x.first_pieces, *x.remaining_pieces, x.sample.last_frame)


async def _after_done(x: FaultExchange) -> bool:
    return await _chunked(x, *x.first_pieces, *x.remaining_pieces, *x.sample.text_frames)


async def _error_first(x: FaultExchange) -> bool:
    """An error with status 200."""
    return await _chunked(x, x.sample.failed if x.stream else x.sample.error)


async def _error_word(x: FaultExchange) -> bool:
    return await _chunked(x, *x.first_pieces, x.sample.failed)


# ---- errors ---------------------------------------------------------------------------------------------------------


async def _refuses_garbled(x: FaultExchange) -> bool:
    """An error that is not valid UTF-8."""
    body = x.sample.error.replace(b"out of luck", b"out of l\xc3ck")
    await x.send_head("500 Internal Server Error", "application/json", length=len(body))
    await x.send(body)
    return True


async def _tells_key(x: FaultExchange) -> bool:
    """Rejects the request and repeats its API key, as some providers do."""
    return await refuse_with("400 Bad Request", f"the key {x.key} may not do this")(x)


async def _breaks_with_key(x: FaultExchange) -> bool:
    """Fails after the first text and repeats the API key."""
    words = f"while serving {x.key}".encode()
    if not x.stream:
        return await refuse_with("500 Internal Server Error", words.decode())(x)
    return await _chunked(x, *x.first_pieces, x.sample.failed.replace(b"out of luck", words))


async def _broken(x: FaultExchange) -> bool:
    return await refuse_with("500 Internal Server Error")(x)


FAULTS: Mapping[str, FaultHandler] = {
    "hang": _hang,
    "hang-head": _hang_head,
    "hang-word": _hang_word,
    "closes": _closes,
    "reset": _reset,
    "reset-head": _reset_head,
    "reset-word": _reset_word,
    "short": _short,
    "drips": _drips,
    "utf8-cut": _utf8_cut,
    "utf8-broken": _utf8_broken,
    "utf8-aside": _utf8_aside,
    "huge": _huge,
    "endless": _endless,
    "endless-comments": _endless_comments,
    "endless-head": _endless_head,
    "no-http": _no_http,
    "bad-chunks": _bad_chunks,
    "http-1.0": _http_1_0,
    "html": _html,
    "empty": _empty,
    "gzip": _gzip,
    "no-sse": _no_sse,
    "no-json": _no_json,
    "half-frame": _half_frame,
    "no-finish": _no_finish,
    "done-twice": _done_twice,
    "after-done": _after_done,
    "error-first": _error_first,
    "error-word": _error_word,
    "busy": refuse_with("429 Too Many Requests", "slow down"),
    "busy-seconds": refuse_with("429 Too Many Requests", "slow down", "retry-after: 7"),
    "busy-date": refuse_with(
        "429 Too Many Requests",
        "slow down",
        "date: Wed, 21 Oct 2015 07:28:00 GMT",
        "retry-after: Wed, 21 Oct 2015 07:28:07 GMT",
    ),
    "broken": _broken,
    "broken-once": fail_first(1, _broken),
    "broken-burst": fail_first(3, _broken),
    "refuses": refuse_with("400 Bad Request", "this model takes no images"),
    "locked": refuse_with("401 Unauthorized", "who are you?"),
    "redirect": refuse_with("302 Found", "not here", "location: http://169.254.169.254/latest"),
    "refuses-garbled": _refuses_garbled,
    "tells-key": _tells_key,
    "breaks-with-key": _breaks_with_key,
}


UNREQUESTED_FIELDS: Mapping[str, FaultHandler] = {"flood": _flood}
"""Faults that only matter if the client misbehaves too."""


class FaultyUpstream(FakeOpenAI):
    """`async with FaultyUpstream() as up:`, as FakeOpenAI; one server for all wires."""

    def fault(self, model: str) -> FaultResponder:
        seen = self.received
        path, body, headers = seen.paths[-1], seen.bodies[-1], seen.headers[-1]
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        asked = sum(body == each for each in seen.bodies) - 1 if model.startswith("broken-") else 0
        befalls = FAULTS.get(model) or UNREQUESTED_FIELDS.get(model, answer_normally)

        async def fault(_: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            return await befalls(
                FaultExchange(
                    sample=sample_for(path),
                    stream=bool(body.get("stream")),
                    repeats=asked,
                    key=key,
                    reader=reader,
                    writer=writer,
                )
            )

        return fault


async def main(port: int) -> None:
    async with FaultyUpstream(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
