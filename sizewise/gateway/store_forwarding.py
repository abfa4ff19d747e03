"""Forwarding from a gateway worker to the store process, over a Unix socket; what is forwarded is in worker_routes.py.

The store process sees the client's address, host and scheme in one header of ours, which clients cannot send.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from math import inf
from pathlib import Path

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from sizewise.data_class import DATA_CLASSES, Place
from sizewise.errors import ModelUnavailable, SizewiseError, StreamInterrupted, UpstreamError
from sizewise.gateway.asgi_writer import NOSNIFF, AsgiResponseWriter
from sizewise.gateway.error_response import send_error
from sizewise.gateway.request_head import RequestHead, new_trace_id
from sizewise.gateway.response_writer import Headers, ResponseWriter
from sizewise.http.client import ClientResponse, HttpEndpoint, HttpHeaders, HttpTimeouts
from sizewise.http.dialer import DialTarget
from sizewise.http.egress import EgressPolicy
from sizewise.http.pool import ConnectionPool
from sizewise.http.write_coalescing import WriteCoalescer

ORIGIN = "http://store"
HEADER = b"x-sizewise-forwarded"
HOP_BY_HOP = frozenset(
    {b"host", b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"te", b"trailer"}
    | {b"keep-alive", b"proxy-connection", HEADER},
)
TIMEOUTS = HttpTimeouts(5.0, inf, inf, inf)
MAX_REPLY_BYTES = 1 << 30
IDLE_TIMEOUT_S = 15.0
MAX_CONNECTIONS = 4_096


class StoreForwarder:
    """One per worker."""

    def __init__(self, path: Path) -> None:
        """`path`: the Unix socket on which the store process serves HTTP."""
        place: Place = "process"
        policy = EgressPolicy({ORIGIN: place}, dict.fromkeys(DATA_CLASSES, place))
        target = DialTarget("store", 80, None, None, path=str(path))
        self._pool = ConnectionPool(target, MAX_CONNECTIONS, IDLE_TIMEOUT_S, WriteCoalescer())
        self._endpoint = HttpEndpoint(ORIGIN, (("accept", "*/*"),), policy, self._pool)

    async def close(self) -> None:
        await self._pool.close()

    async def forward(self, path: str, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """A POST whose head and body were read. Raises SizewiseError."""
        fields = _fields(head.headers, head.host.encode("latin-1"), head.peer_address, secure=head.secure)
        try:
            response = await self._request("POST", path, body, fields)
        except SizewiseError as error:
            raise store_away(error) from error
        async with response:
            headers = [each for each in _response_headers(response) if each[0] != NOSNIFF[0]]  # the writer adds it
            if response.header("content-length") is not None or response.status != 200:
                data = await response.read(MAX_REPLY_BYTES)
                return await writer.send_response(response.status, headers, data)
            await writer.start_stream(headers)
            try:
                while data := await response.read_chunk():
                    await writer.write(data)
            except SizewiseError:
                return await writer.cut_stream()
            await writer.end_stream()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, for HTTP requests of any method. Ends the exchange if the client leaves."""
        if scope["type"] != "http":
            return
        has_read = asyncio.Event()
        if scope["method"] != "POST":
            has_read.set()
        work = asyncio.ensure_future(self._answer(scope, _pieces(receive, has_read), send))
        leaving = asyncio.ensure_future(_client_left(receive, has_read))
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _answer(self, scope: Scope, pieces: AsyncIterator[bytes], send: Send) -> None:
        writer = AsgiResponseWriter(send, new_trace_id())
        try:
            async with await self._exchange(scope, pieces) as response:
                sized = response.header("content-length")
                framing = [(b"content-length", sized.encode("latin-1"))] if sized is not None else []
                start = {"type": "http.response.start", "status": response.status}
                writer.has_started = True
                await send({**start, "headers": [*_response_headers(response), *framing]})
                while data := await response.read_chunk():
                    await writer.write(data)
                await writer.end_stream()
        except SizewiseError as error:
            if writer.has_started:
                return await writer.cut_stream()
            await send_error(writer, store_away(error), [])

    async def _exchange(self, scope: Scope, pieces: AsyncIterator[bytes]) -> ClientResponse:
        headers: Headers = scope["headers"]
        host = next((value for name, value in headers if name == b"host"), b"")
        client = scope.get("client")
        fields = _fields(headers, host, client[0] if client else "", secure=scope.get("scheme") == "https")
        query = scope.get("query_string", b"")
        path = scope["raw_path"].decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
        if scope["method"] != "POST":
            return await self._request(scope["method"], path, b"", fields)
        length = next((int(value) for name, value in headers if name == b"content-length"), None)
        return await self._endpoint.upload(
            path, pieces, length, fields, purpose="store", data_class="public", timeouts=TIMEOUTS
        )

    async def _request(self, method: str, path: str, body: bytes, fields: HttpHeaders) -> ClientResponse:
        return await self._endpoint.request(
            method, path, body, fields, purpose="store", data_class="public", timeouts=TIMEOUTS
        )


def store_away(error: SizewiseError) -> SizewiseError:
    """An error of the Unix socket in words for a client."""
    if not isinstance(error, UpstreamError):
        return error
    words = "the store process, which answers this request, is being restarted"
    return ModelUnavailable(words, "try again in a moment", retry_after=1)


class ForwardedScope:
    """ASGI app of the store process: restores what the worker saw of the client, and calls `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = next((value for name, value in scope.get("headers", ()) if name == HEADER), None)
        if said is not None:
            host, peer, secure = msgspec.json.decode(said, type=tuple[str, str, bool])
            others = [each for each in scope["headers"] if each[0] not in (HEADER, b"host")]
            scheme = {"http": "https", "websocket": "wss"}[scope["type"]] if secure else scope["scheme"]
            headers = [(b"host", host.encode("latin-1")), *others]
            scope = {**scope, "headers": headers, "client": (peer, 0), "scheme": scheme}
        await self._app(scope, receive, send)


def forwarded_value(host: str, peer: str, *, secure: bool) -> str:
    """The value of the header: JSON in ASCII."""
    return json.dumps([host, peer, secure])


def _fields(headers: Headers, host: bytes, peer: str, *, secure: bool) -> HttpHeaders:
    kept = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name.lower() not in HOP_BY_HOP
    ]
    return [*kept, (HEADER.decode("ascii"), forwarded_value(host.decode("latin-1"), peer, secure=secure))]


def _response_headers(response: ClientResponse) -> Headers:
    """Without those that this server writes itself."""
    found = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers)
    return [each for each in found if each[0] not in HOP_BY_HOP and each[0] != b"date"]


async def _pieces(receive: Receive, has_read: asyncio.Event) -> AsyncIterator[bytes]:
    """The body of a request. `has_read` is set at its end."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise StreamInterrupted("the client left while it sent the request")
        yield message.get("body", b"")
        if not message.get("more_body"):
            has_read.set()
            return


async def _client_left(receive: Receive, has_read: asyncio.Event) -> None:
    await has_read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass
