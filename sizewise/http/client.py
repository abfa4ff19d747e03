"""The HTTP/1.1 client for all outbound requests; checks the egress policy, never follows redirects.

A request is resent once, and only if the server cannot have read it: the idle connection was dead before the write, or
the method is GET or HEAD. If a connection closes without a response to a POST, the request may have been processed (and
billed), so it raises UpstreamUnreachable and routing decides about a retry. RFC 9112 section 9.3.1; Go's net/http has
the same rule.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from sizewise import __version__
from sizewise.data_class import DataClass, Place
from sizewise.errors import BadRequest, ConfigError, SizewiseError, UpstreamProtocolError, UpstreamUnreachable
from sizewise.http.connection import HttpConnection, parse_headers
from sizewise.http.content_decoding import ContentDecoder, check_accept_encoding
from sizewise.http.dialer import DialTarget, TlsConfig, dial_target
from sizewise.http.egress import DEFAULT_PORTS, EgressPolicy, origin
from sizewise.http.pool import DEFAULT_MAX_CONNECTIONS, ConnectionPool
from sizewise.http.proxies import ProxyConfig
from sizewise.http.write_coalescing import WriteCoalescer

HttpHeaders = Sequence[tuple[str, str]]

IDLE_TIMEOUT_S = 15.0
MAX_CACHED_HEADS = 256  # request heads cached per endpoint; hot paths need fewer

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TARGET = re.compile(r"/[!-~]*\Z")
_VALUE = re.compile(r"[\t -~\x80-\xff]*\Z")
_RESERVED_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer", "keep-alive"},
)
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class HttpTimeouts:
    """Deadlines of one request in seconds; math.inf for none."""

    connect: float = 5.0  # waiting for a free connection, DNS, TCP and TLS
    first_byte: float = 120.0  # from sending the request to the response head
    between_bytes: float = 60.0  # without data in the body, while a reader waits
    total: float = 600.0  # the whole exchange


DEFAULT_TIMEOUTS = HttpTimeouts()


class ClientResponse:
    """A response. Read it to the end or close it: `async with await endpoint.request(...) as response:`.

    A compressed body is read decoded. One reader at a time. Cancelling a reader closes the socket, so that the
    upstream stops.
    """

    __slots__ = ("_closed", "_connection", "_decoder", "_head", "status")

    def __init__(self, connection: HttpConnection) -> None:
        self._connection: HttpConnection | None = connection
        self._head = head = connection.head
        self._closed = False
        self.status = connection.status
        encoded = _may_be_encoded(head)
        encoding = (self.header("content-encoding") or "identity").lower() if encoded else "identity"
        self._decoder = None if encoding == "identity" else ContentDecoder(encoding)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """In order, with lower-case names."""
        return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in parse_headers(self._head)]

    def header(self, name: str) -> str | None:
        """The value of the first header named `name`, ignoring case."""
        wanted = name.lower().encode("latin-1")
        for field, value in parse_headers(self._head):
            if len(field) == len(wanted) and field.lower() == wanted:
                return value.decode("latin-1")
        return None

    async def read_chunk(self) -> bytes:
        """The bytes received since the last call, at least one; b"" at the end and after.

        Raises UpstreamProtocolError if the body is cut short, UpstreamTimeout if a deadline passed.
        """
        if self._decoder is None:
            return await self._read_received()
        while not (piece := self._decoder.next_piece()):
            data = await self._read_received()
            if not data:
                self._decoder.finish()
                return b""
            self._decoder.feed(data)
        await asyncio.sleep(0)  # many pieces may be decoded from what has come at once
        return piece

    async def _read_received(self) -> bytes:
        connection = self._connection
        if connection is None:
            if self._closed:
                raise RuntimeError("the response was closed before its end")
            return b""
        if not connection.chunks and not connection.complete and connection.error is None:
            try:
                await connection.wait_for_data()
            except asyncio.CancelledError:
                connection.abort()
                raise
        data = connection.read_available()
        if connection.complete:
            self._connection = None
            connection.release()
        return data

    async def read(self, max_bytes: int) -> bytes:
        """The rest of the body. Raises UpstreamProtocolError if it is longer than `max_bytes`."""
        connection = self._connection
        plain = self._decoder is None
        if plain and connection is not None and connection.complete:  # the usual case: all of it came at once
            data, self._connection = connection.read_available(), None
            connection.release()
        else:
            data = await self.read_chunk()
        if plain and self._connection is None and len(data) <= max_bytes:
            return data
        parts, size = [data], len(data)
        large = max(size, int(self.header("content-length") or 0)) > max_bytes
        while not large and (data := await self.read_chunk()):
            parts.append(data)
            size += len(data)
            large = size > max_bytes
        if large:
            self.close()
            raise UpstreamProtocolError(f"the response is larger than {max_bytes} bytes", "Check the endpoint's URL.")
        return b"".join(parts)

    def release(self) -> None:
        """Stops reading near the end, as after a stream's `[DONE]`.

        The connection is reused if the body ends soon, without a reader; else it is closed.
        """
        self._detach(abrupt=False)

    def close(self) -> None:
        """Idempotent. Closes the socket at once unless the body was read to its end."""
        if self._connection is not None:
            self._detach(abrupt=True)

    async def __aenter__(self) -> ClientResponse:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _detach(self, *, abrupt: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._closed = True
        if connection.complete:
            connection.release()
        elif abrupt or connection.error is not None:
            connection.abort()
        else:
            connection.drain()


class HttpEndpoint:
    """A base URL with its headers, parsed once. Created by `HttpClient.endpoint`."""

    def __init__(self, url: str, headers: HttpHeaders, egress: EgressPolicy, pool: ConnectionPool) -> None:
        self.origin = origin(url)
        self._egress = egress
        self._pool = pool
        parts = urlsplit(url)
        if parts.query or parts.fragment:
            raise ConfigError(f"the base URL of {self.origin!r} has a query or fragment", "Remove '?' or '#'.")
        # A proxy for plain http gets the absolute URL; through a tunnel it sees nothing of the request.
        plainly = pool.target.proxy if pool.target.tls is None else None
        self._base = (self.origin if plainly else "") + parts.path.rstrip("/")
        usual = {"accept": "*/*", "accept-encoding": "identity", "user-agent": f"sizewise/{__version__}"}
        given = {name.lower(): value for name, value in headers}
        check_accept_encoding(given.get("accept-encoding", ""))
        fixed = [(name, value) for name, value in usual.items() if name not in given]
        if plainly and plainly.authorization:
            fixed.append(("proxy-authorization", plainly.authorization))
        self._fixed_lines = f"host: {self.origin.partition('://')[2]}\r\n".encode() + _header_lines(
            [*fixed, *headers],
            ConfigError,
        )
        self._heads: dict[tuple[str, str], bytes] = {}

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: HttpHeaders = (),
        *,
        purpose: str,
        data_class: DataClass,
        max_place: Place = "anyone",
        timeouts: HttpTimeouts = DEFAULT_TIMEOUTS,
    ) -> ClientResponse:
        """Sends a request and returns once the response head is received, whatever its status; never follows redirects.

        `path` starts with "/" and is appended to the base URL's path. Raises EgressDenied, UpstreamUnreachable,
        UpstreamTimeout, UpstreamProtocolError and Busy (no connection is free), none with the path, a header or the
        body in its message.
        """
        self._egress.check(self.origin, purpose=purpose, data_class=data_class, max_place=max_place)
        since = now = asyncio.get_running_loop().time()
        head = self._heads.get((method, path)) or self._head(method, path)
        if headers:
            head += _header_lines(headers, BadRequest)
        head += b"content-length: %d\r\n\r\n" % len(body)
        connection, again = self._pool.take_idle(), False
        while True:
            if connection is None:
                connection = await self._pool.acquire(min(timeouts.connect, timeouts.total))
                now = asyncio.get_running_loop().time()
            first_s, between_s = timeouts.first_byte, timeouts.between_bytes
            try:
                await connection.send_request(
                    head,
                    body,
                    method == "HEAD",
                    first_s,
                    between_s,
                    timeouts.total,
                    now,
                    since,
                )
            except asyncio.CancelledError:
                connection.abort()
                raise
            failure = connection.failure()
            if failure is None:
                return ClientResponse(connection)
            unread = connection.unread_by_peer or method in _IDEMPOTENT_METHODS
            if not isinstance(failure, UpstreamUnreachable) or again or not connection.used or not unread:
                raise failure
            self._pool.close_idle()  # if one idle connection was dead, the others probably are
            connection, again = None, True

    async def upload(
        self,
        path: str,
        pieces: AsyncIterator[bytes],
        length: int | None,
        headers: HttpHeaders = (),
        *,
        purpose: str,
        data_class: DataClass,
        max_place: Place = "anyone",
        timeouts: HttpTimeouts = DEFAULT_TIMEOUTS,
    ) -> ClientResponse:
        """POST with a body that is sent as it comes. `length`: its bytes; None: not known, sent in chunks.

        Returns as `request`, also before the body's end if the upstream answers before; it is then not sent to its end.
        Never sent twice. Raises what `request` and `pieces` raise.
        """
        self._egress.check(self.origin, purpose=purpose, data_class=data_class, max_place=max_place)
        since = asyncio.get_running_loop().time()
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        head = self._head("POST", path) + _header_lines(headers, BadRequest) + framing + b"\r\n\r\n"
        connection = await self._pool.acquire(min(timeouts.connect, timeouts.total))
        now = asyncio.get_running_loop().time()
        waits = timeouts.first_byte, timeouts.between_bytes, timeouts.total
        answered = connection.send_request(head, b"", False, *waits, now, since)
        sending = asyncio.ensure_future(_send_body(connection, pieces, in_chunks=length is None))
        try:
            await asyncio.wait({answered, sending}, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                connection.forbid_reuse()
            else:
                await sending  # raises what reading the body raised
                await answered
        except BaseException:
            connection.abort()
            raise
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, SizewiseError):
                await sending
        failure = connection.failure()
        if failure is not None:
            raise failure
        return ClientResponse(connection)

    def _head(self, method: str, path: str) -> bytes:
        target = self._base + path
        if not _TOKEN.match(method) or method == "CONNECT" or not _TARGET.match(path):
            raise BadRequest(f"{method!r} with a path of {len(path)} characters cannot be sent", "Encode the path.")
        head = f"{method} {target} HTTP/1.1\r\n".encode() + self._fixed_lines
        if len(self._heads) < MAX_CACHED_HEADS:
            self._heads[method, path] = head
        return head


async def _send_body(connection: HttpConnection, pieces: AsyncIterator[bytes], *, in_chunks: bool) -> None:
    await asyncio.sleep(0)  # the head is written at the end of this loop iteration
    async for piece in pieces:
        if piece:
            await connection.send_body(b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
    if in_chunks:
        await connection.send_body(b"0\r\n\r\n")


class HttpClient:
    """All outbound connections under one egress policy. Use: `async with HttpClient(egress) as client:`.

    `ca_file`: CA certificates instead of the system's. A client belongs to one event loop.
    """

    def __init__(
        self,
        egress: EgressPolicy,
        *,
        proxies: ProxyConfig | None = None,
        ca_file: Path | None = None,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        tls_config: TlsConfig | None = None,
    ) -> None:
        """`tls_config` takes precedence over `ca_file`."""
        self._egress = egress
        self._proxies = proxies or ProxyConfig()
        self._tls_config = tls_config or TlsConfig(ca_file)
        self._idle_timeout_s = idle_timeout_s
        self._coalescer = WriteCoalescer()
        self._pools: dict[str, ConnectionPool] = {}

    def endpoint(
        self, base_url: str, headers: HttpHeaders = (), *, max_connections: int = DEFAULT_MAX_CONNECTIONS
    ) -> HttpEndpoint:
        """An endpoint that sends `headers` with every request. Endpoints of one origin share a pool, with the largest
        `max_connections`.

        Raises ConfigError for an invalid URL or header, without the header's value.
        """
        where = origin(base_url)
        if where not in self._pools:
            self._pools[where] = ConnectionPool(
                self._dial_target(where),
                max_connections,
                self._idle_timeout_s,
                self._coalescer,
            )
        shared = self._pools[where]
        shared.max_connections = max(shared.max_connections, max_connections)
        return HttpEndpoint(base_url, headers, self._egress, shared)

    @property
    def tls_config(self) -> TlsConfig:
        """The trusted authorities, for a protocol other than HTTP."""
        return self._tls_config

    def check_egress(self, origin: str, *, purpose: str, data_class: DataClass) -> None:
        """For a protocol other than HTTP. Raises EgressDenied."""
        self._egress.check(origin, purpose=purpose, data_class=data_class)

    def drain(self) -> None:
        """Closes idle connections, and the others when their exchange ends. For an application that is replaced."""
        for pool in self._pools.values():
            pool.drain()

    async def close(self) -> None:
        """Closes all connections at once and waits until they are closed."""
        for pool in self._pools.values():
            await pool.close()

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _dial_target(self, origin_url: str) -> DialTarget:
        parts = urlsplit(origin_url)
        # Traffic declared to stay on this machine never uses a proxy, which may be anywhere.
        here = self._egress.place(origin_url) in ("process", "machine")
        by = (
            ""
            if here
            else self._proxies.proxy_for(parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
        )
        return dial_target(origin_url, by, self._tls_config)


def _may_be_encoded(head: bytes) -> bool:
    """Whether to look for a Content-Encoding: a search for most of its name takes a tenth of the time of parsing."""
    end = head.find(b"\r\n\r\n")
    for name, start in ((b"ncoding:", b"content-e"), (b"NCODING:", b"CONTENT-E")):
        at = head.find(name, 0, end)
        while at >= 0:  # the other one is transfer-encoding
            if head[at - len(start) : at].lower() == start.lower():
                return True
            at = head.find(name, at + 1, end)
    return head[9:10] == b"1"  # an interim response is first


ErrorT = TypeVar("ErrorT", bound=SizewiseError)


def _header_lines(headers: HttpHeaders, error_type: type[ErrorT]) -> bytes:
    """Header lines. Raises for a name or value that would break out of its line or change the framing."""
    for name, value in headers:
        if not _TOKEN.match(name) or name.lower() in _RESERVED_HEADERS:
            raise error_type(f"{name[:100]!r} is not a valid header name", "Remove or rename the header.")
        if not _VALUE.match(value):
            raise error_type(
                f"the value of the header {name!r} contains a line break or control character",
                "Use a single line of text.",
            )
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
