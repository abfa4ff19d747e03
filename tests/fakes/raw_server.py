"""A server on loopback that says exactly the bytes a test tells it to, over TCP or TLS; knows nothing of our client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sizewise.data_class import Place
from sizewise.http.client import ClientResponse, HttpClient, HttpEndpoint, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from sizewise.http.proxies import ProxyConfig

TLS = Path(__file__).parents[1] / "tls"
CA = TLS / "ca.pem"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Request:
    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name), None)


class Peer:
    """One accepted connection, the `number`th from 1."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[Request]):
        self.number = number
        self.reader = reader
        self.writer = writer
        self.gone = asyncio.Event()  # set when the client was seen to hang up, and when the connection is closed
        self._seen = seen

    async def hear(self) -> Request:
        """The next whole request; IncompleteReadError when the client hangs up instead."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in head[1:-2])
        request = Request(head[0], [(name.lower(), value) for name, _, value in pairs], b"")
        request.body = await self.reader.readexactly(int(request.get("content-length") or 0))
        self._seen.append(request)
        return request

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def left(self) -> None:
        """Until the client hangs up."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass
        self.gone.set()

    def reset(self) -> None:
        """RST, not FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Turn = Callable[[Peer], Awaitable[None]]
"""What the server does with a connection; when it returns, the connection is closed."""


@dataclass
class RawServer:
    """`async with RawServer(turn) as raw:`; `seen`: the requests, `peers`: the connections, in order of arrival."""

    turn: Turn
    secure: bool = False
    host: str = "127.0.0.1"
    seen: list[Request] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    url: str = ""
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _broken: list[Exception] = field(default_factory=list)

    async def __aenter__(self) -> RawServer:
        context = None
        if self.secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / "localhost.pem")
        self._server = await asyncio.start_server(self._met, self.host, 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        shown = f"[{self.host}]" if ":" in self.host else "localhost" if self.secure else self.host
        self.url = f"http{'s' if self.secure else ''}://{shown}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not self._broken, self._broken

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(self.peers) + 1, reader, writer, self.seen)
        self.peers.append(peer)
        task = asyncio.create_task(self._serve(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            await self.turn(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except RuntimeError as why:  # uvloop's, where a client has hung up in mid-write
            if not peer.writer.is_closing():
                self._broken.append(why)
        except Exception as why:  # a mistake of the test, shown when it ends
            self._broken.append(why)
        finally:
            peer.writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await peer.writer.wait_closed()
            peer.gone.set()


def answers(*replies: bytes) -> Turn:
    """Answers one request after the other by these bytes, the last of them for ever."""

    async def turn(peer: Peer) -> None:
        count = 0
        while True:
            await peer.hear()
            await peer.say(replies[min(count, len(replies) - 1)])
            count += 1

    return turn


def once(*pieces: bytes) -> Turn:
    """Answers one request by these pieces, then closes."""

    async def turn(peer: Peer) -> None:
        await peer.hear()
        for piece in pieces:
            await peer.say(piece)

    return turn


@contextlib.asynccontextmanager
async def facing(
    turn: Turn,
    *,
    secure: bool = False,
    host: str = "127.0.0.1",
    ca: Path | None = CA,
    place: Place = "anyone",
    headers: tuple[tuple[str, str], ...] = (),
    pool: int = 512,
    idle_s: float = 15.0,
    proxies: ProxyConfig | None = None,
) -> AsyncIterator[tuple[RawServer, HttpEndpoint]]:
    """A server that does `turn`, and our client's endpoint for it."""
    async with RawServer(turn, secure=secure, host=host) as raw:
        egress = EgressPolicy({raw.url: place}, {"public": "anyone"})
        async with HttpClient(egress, ca_file=ca, idle_timeout_s=idle_s, proxies=proxies) as client:
            yield raw, client.endpoint(f"{raw.url}/v1", headers, max_connections=pool)


async def post(endpoint: HttpEndpoint, body: bytes = b"{}", **timeouts: float) -> ClientResponse:
    return await endpoint.request(
        "POST",
        "/chat",
        body,
        purpose="test",
        data_class="public",
        timeouts=HttpTimeouts(**{"total": 20.0, **timeouts}),
    )


async def get(endpoint: HttpEndpoint, path: str = "/models", method: str = "GET") -> ClientResponse:
    return await endpoint.request(method, path, purpose="test", data_class="public", timeouts=HttpTimeouts(total=20.0))


async def said(endpoint: HttpEndpoint, body: bytes = b"{}", **timeouts: float) -> bytes:
    """The whole answer to a POST."""
    async with await post(endpoint, body, **timeouts) as response:
        return await response.read(1 << 30)
