"""ResponseWriter on ASGI's `send`, for every route that is not on the fast path."""

from __future__ import annotations

from typing import Any

from starlette.types import Send

from sizewise.gateway.response_writer import Headers, decode_headers, trace_headers
from sizewise.gateway.stream_cut import CUT_STREAM

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""Keeps browsers from rendering an answer as a page."""


class AsgiResponseWriter:
    """A ResponseWriter on ASGI's `send`. Every answer has the trace in its headers."""

    def __init__(self, send: Send, trace: str) -> None:
        self._send = send
        self._trace = trace
        self.has_started = False
        self.close_connection = False  # set if the next bytes on the connection may be a rejected body

    async def _start(self, status: int, headers: Headers) -> None:
        self.has_started = True
        traced = () if any(name == b"x-request-id" for name, _ in headers) else trace_headers(self._trace)
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *traced, NOSNIFF]})

    async def _body(self, data: bytes, more: bool) -> None:
        message: dict[str, Any] = {"type": "http.response.body", "body": data, "more_body": more}
        await self._send(message)

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        close = [(b"connection", b"close")] if self.close_connection else []
        await self._start(
            status,
            [*headers, *decode_headers(header_lines), *close, (b"content-length", b"%d" % len(body))],
        )
        await self._body(body, False)

    async def start_stream(self, headers: Headers) -> None:
        await self._start(200, headers)

    async def write(self, data: bytes) -> None:
        await self._body(data, True)

    async def end_stream(self) -> None:
        await self._body(b"", False)

    async def cut_stream(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False, CUT_STREAM: True})
