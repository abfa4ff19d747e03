"""Response writer: where a route handler writes, and headers as it takes them; knows no server and no route."""

from __future__ import annotations

from typing import Protocol

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")


class ResponseWriter(Protocol):
    """Where a route handler writes. Either `send_response` once, or `start_stream`, `write`..., `end_stream`. Waits
    while the client reads slowly.

    `cut_stream` instead of `end_stream`: closes the connection without the last chunk, so that no client takes the
    stream for whole.

    `header_lines`: further headers, encoded, each with its line end.
    """

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None: ...
    async def start_stream(self, headers: Headers) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end_stream(self) -> None: ...
    async def cut_stream(self) -> None: ...
    @property
    def has_started(self) -> bool: ...


def trace_headers(trace: str) -> Headers:
    return [(b"x-sizewise-trace", trace.encode()), (b"x-request-id", trace.encode())]


def encode_headers(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % each for each in headers])


def decode_headers(lines: bytes) -> Headers:
    """Inverse of `encode_headers`."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])]


def header_value(text: str) -> bytes:
    """`text` without control characters and characters beyond Latin-1."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(c if c.isprintable() else " " for c in text).encode("latin-1", "replace")
