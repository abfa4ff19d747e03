"""A server that goes wrong in every way that servers do, in each wire: the `model` of a request names the fault.

Run it: `python -m sizewise.testing.faults PORT`. Faults: see FAULTS; what clients of the gateway see: ends.py.
Every other model answers well, in the wire of the path that it is asked at. For tests only.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sizewise.testing.upstream import Fault, Upstream
from sizewise.testing.wire_samples import Tongue, tongue

BEAT_S = 0.005  # between two signs of life of what never ends, and two bytes of what drips
DRIPPING = 120  # bytes that drip; the rest comes at once
HUGE = 9 * 1024 * 1024  # bytes of a line: more than any word has
ENDLESS = 64 * 1024 * 1024  # bytes that a body announces, and tries to send


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the way back. `asked`: how often the very same was asked before. `key`: what it came with."""

    tongue: Tongue
    stream: bool
    asked: int
    key: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def head(
        self, status: str = "200 OK", kind: str = "", *more: str, length: int | None = None, version: str = "1.1"
    ) -> None:
        """Chunked where no length is given, and without either in HTTP/1.0."""
        kind = kind or ("text/event-stream" if self.stream else "application/json")
        framing = f"content-length: {length}" if length is not None else "transfer-encoding: chunked"
        lines = [f"HTTP/{version} {status}", f"content-type: {kind}", *more]
        lines += [framing] if version == "1.1" else []
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def chunks(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def gone(self) -> bool:
        """Waits in silence until the client leaves."""
        await self.reader.readexactly(1)
        return False

    def reset(self) -> bool:
        self.writer.transport.abort()
        return False

    @property
    def begun(self) -> tuple[bytes, ...]:
        """All until the first word; half of what is no stream."""
        if not self.stream:
            return (self.tongue.whole[: len(self.tongue.whole) // 2],)
        return (*self.tongue.before, self.tongue.words[0])

    @property
    def rest(self) -> tuple[bytes, ...]:
        if not self.stream:
            return (self.tongue.whole[len(self.tongue.whole) // 2 :],)
        return (*self.tongue.words[1:], *self.tongue.ends, self.tongue.over)


Befalls = Callable[[Exchange], Awaitable[bool]]
"""What befalls an exchange; False closes its connection."""


async def well(x: Exchange) -> bool:
    return await _chunked(x, *x.begun, *x.rest)


async def _chunked(x: Exchange, *pieces: bytes) -> bool:
    await x.head()
    await x.chunks(*pieces)
    await x.send(b"0\r\n\r\n")
    return True


def refusing(status: str, words: str = "out of luck", *more: str) -> Befalls:
    async def refuses(x: Exchange) -> bool:
        body = x.tongue.error.replace(b"out of luck", words.encode())
        await x.head(status, "application/json", *more, length=len(body))
        await x.send(body)
        return True

    return refuses


def at_first(times: int, fails: Befalls) -> Befalls:
    async def recovers(x: Exchange) -> bool:
        return await (fails(x) if x.asked < times else well(x))

    return recovers


# ---- silence, and connections that break ----------------------------------------------------------------------------


async def _hang(x: Exchange) -> bool:
    return await x.gone()


async def _hang_head(x: Exchange) -> bool:
    await x.head()
    return await x.gone()


async def _hang_word(x: Exchange) -> bool:
    await x.head()
    await x.chunks(*x.begun)
    return await x.gone()


async def _closes(x: Exchange) -> bool:
    return False


async def _reset(x: Exchange) -> bool:
    return x.reset()


async def _reset_head(x: Exchange) -> bool:
    await x.head()
    await _swallowed()
    return x.reset()


async def _reset_word(x: Exchange) -> bool:
    await x.head()
    await x.chunks(*x.begun)
    await _swallowed()
    return x.reset()


async def _swallowed() -> None:
    """A reset takes back what its peer has not read yet: time for that."""
    await asyncio.sleep(10 * BEAT_S)


async def _short(x: Exchange) -> bool:
    """Promises more than it sends."""
    await x.head(length=sum(map(len, (*x.begun, *x.rest))))
    await x.send(*x.begun)
    return False


# ---- bytes ----------------------------------------------------------------------------------------------------------


async def _utf8_cut(x: Exchange) -> bool:
    """A character of two bytes, one in each chunk."""
    data = b"".join((*x.begun, *x.rest))
    place = data.find("ü".encode()) + 1
    return await _chunked(x, data[:place], data[place:])


async def _utf8_broken(x: Exchange) -> bool:
    """The first word comes well; the second ends in the middle of a character."""
    return await _chunked(x, *x.begun, *(piece.replace("ß".encode(), b"\xc3") for piece in x.rest))


async def _utf8_aside(x: Exchange) -> bool:
    """The same, in a field that nobody asked for."""
    aside = b'{"aside":"\xc3",'
    if not x.stream:
        return await _chunked(x, x.tongue.whole.replace(b"{", aside, 1))
    return await _chunked(x, *x.begun, *(piece.replace(b"{", aside, 1) for piece in x.rest))


async def _drips(x: Exchange) -> bool:
    data = b"".join((*x.begun, *x.rest))
    await x.head()
    for byte in data[:DRIPPING]:
        await x.chunks(b"%c" % byte)
        await asyncio.sleep(BEAT_S)
    await x.chunks(data[DRIPPING:])
    await x.send(b"0\r\n\r\n")
    return True


async def _huge(x: Exchange) -> bool:
    """A line, or a body, beyond all bounds."""
    if x.stream:
        return await _chunked(x, b"data: ", *[b"x" * 65_536] * (HUGE // 65_536))
    await x.head(length=ENDLESS)
    for _ in range(ENDLESS // 65_536):
        await x.send(b" " * 65_536)
    return True


async def _endless(x: Exchange) -> bool:
    """Words, or blanks, for ever."""
    await x.head()
    await x.chunks(*x.begun)
    while True:
        await x.chunks(x.tongue.words[1] if x.stream else b" ")
        await asyncio.sleep(BEAT_S)


async def _flood(x: Exchange) -> bool:
    """Words for ever, as fast as they are taken."""
    await x.head()
    await x.chunks(*x.begun)
    while True:
        await x.chunks(x.tongue.words[1] * 100 if x.stream else b" " * 10_000)


async def _endless_comments(x: Exchange) -> bool:
    """Signs of life for ever, and no word; where nobody streams, interim heads."""
    if x.stream:
        await x.head()
    while True:
        await (x.chunks(b": still here\n\n") if x.stream else x.send(b"HTTP/1.1 102 Processing\r\n\r\n"))
        await asyncio.sleep(BEAT_S)


# ---- HTTP -----------------------------------------------------------------------------------------------------------


async def _no_http(x: Exchange) -> bool:
    await x.send(b"SSH-2.0-OpenSSH_9.9\r\n")
    return await x.gone()


async def _endless_head(x: Exchange) -> bool:
    await x.send(b"HTTP/1.1 200 OK\r\n", *[b"x: %b\r\n" % (b"y" * 1000)] * 100)
    return await x.gone()


async def _bad_chunks(x: Exchange) -> bool:
    await x.head()
    await x.chunks(*x.begun)
    await x.send(b"zz\r\nnonsense\r\n")
    return await x.gone()


async def _http_1_0(x: Exchange) -> bool:
    """Only the close says where it ends."""
    await x.head(version="1.0")
    await x.send(*x.begun, *x.rest)
    return False


async def _html(x: Exchange) -> bool:
    page = b"<html>captive portal</html>"
    await x.head(kind="text/html", length=len(page))
    await x.send(page)
    return True


async def _empty(x: Exchange) -> bool:
    await x.head(length=0)
    return True


async def _gzip(x: Exchange) -> bool:
    data = gzip.compress(b"".join((*x.begun, *x.rest)), mtime=0)
    await x.head("200 OK", "", "content-encoding: gzip", length=len(data))
    await x.send(data)
    return True


# ---- what is in the frames ------------------------------------------------------------------------------------------


async def _no_sse(x: Exchange) -> bool:
    """JSON and no frames; where nobody streams, JSON of another shape."""
    return await _chunked(x, *((x.tongue.whole, b"\n\n") if x.stream else (b"[1, 2]",)))


async def _no_json(x: Exchange) -> bool:
    return await _chunked(x, b"data: this is no JSON\n\n" if x.stream else b"this is no JSON")


async def _half_frame(x: Exchange) -> bool:
    """A clean end in the middle of something."""
    return await _chunked(x, *x.begun, x.rest[0][: len(x.rest[0]) // 2])


async def _no_finish(x: Exchange) -> bool:
    return await _chunked(x, *x.begun)


async def _done_twice(x: Exchange) -> bool:
    return await _chunked(x, *x.begun, *x.rest, x.tongue.over)


async def _after_done(x: Exchange) -> bool:
    return await _chunked(x, *x.begun, *x.rest, *x.tongue.words)


async def _error_first(x: Exchange) -> bool:
    """An error, and yet status 200."""
    return await _chunked(x, x.tongue.failed if x.stream else x.tongue.error)


async def _error_word(x: Exchange) -> bool:
    return await _chunked(x, *x.begun, x.tongue.failed)


# ---- refusals -------------------------------------------------------------------------------------------------------


async def _refuses_garbled(x: Exchange) -> bool:
    """Refuses in words that are no UTF-8."""
    body = x.tongue.error.replace(b"out of luck", b"out of l\xc3ck")
    await x.head("500 Internal Server Error", "application/json", length=len(body))
    await x.send(body)
    return True


async def _tells_key(x: Exchange) -> bool:
    """Refuses, and repeats the key that it was sent, as some do."""
    return await refusing("400 Bad Request", f"the key {x.key} may not do this")(x)


async def _breaks_with_key(x: Exchange) -> bool:
    """Fails after the first word, and repeats the key."""
    words = f"while serving {x.key}".encode()
    if not x.stream:
        return await refusing("500 Internal Server Error", words.decode())(x)
    return await _chunked(x, *x.begun, x.tongue.failed.replace(b"out of luck", words))


async def _broken(x: Exchange) -> bool:
    return await refusing("500 Internal Server Error")(x)


FAULTS: Mapping[str, Befalls] = {
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
    "busy": refusing("429 Too Many Requests", "slow down"),
    "busy-seconds": refusing("429 Too Many Requests", "slow down", "retry-after: 7"),
    "busy-date": refusing(
        "429 Too Many Requests",
        "slow down",
        "date: Wed, 21 Oct 2015 07:28:00 GMT",
        "retry-after: Wed, 21 Oct 2015 07:28:07 GMT",
    ),
    "broken": _broken,
    "broken-once": at_first(1, _broken),
    "broken-burst": at_first(3, _broken),
    "refuses": refusing("400 Bad Request", "this model takes no images"),
    "locked": refusing("401 Unauthorized", "who are you?"),
    "redirect": refusing("302 Found", "not here", "location: http://169.254.169.254/latest"),
    "refuses-garbled": _refuses_garbled,
    "tells-key": _tells_key,
    "breaks-with-key": _breaks_with_key,
}


ASIDE: Mapping[str, Befalls] = {"flood": _flood}
"""Faults that are none until a client misbehaves too."""


class Faulty(Upstream):
    """`async with Faulty() as up:` as its base; one server for all wires."""

    def fault(self, model: str) -> Fault:
        seen = self.seen
        path, body, headers = seen.paths[-1], seen.bodies[-1], seen.headers[-1]
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        asked = sum(body == each for each in seen.bodies) - 1 if model.startswith("broken-") else 0
        befalls = FAULTS.get(model) or ASIDE.get(model, well)

        async def fault(_: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            return await befalls(Exchange(tongue(path), bool(body.get("stream")), asked, key, reader, writer))

        return fault


async def main(port: int) -> None:
    async with Faulty(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
