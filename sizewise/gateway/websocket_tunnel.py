"""Tunnel for WebSockets from a gateway worker to the store process: bytes both ways; speaks no WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

from uvicorn.server import ServerState

from sizewise.gateway.store_forwarding import HEADER, forwarded_value
from sizewise.http.dialer import open_tunnel

MAX_BUFFERED_BYTES = 4 << 20


class WebSocketTunnel(asyncio.Protocol):
    """What uvicorn calls for an upgraded connection, beginning with the bytes of its handshake."""

    def __init__(self, path: Path, connections: set[object]) -> None:
        """`connections`: uvicorn's, which it shuts down at the end of the drain."""
        self._path = path
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._store: asyncio.Transport | None = None
        self._early = b""
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._opening = asyncio.get_running_loop().create_task(self._open())

    def data_received(self, data: bytes) -> None:
        if self._store is None:
            self._early += self._with_client(data) if not self._early else data
            return
        self._store.write(data)
        if self._store.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            self._store.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._opening is not None:
            self._opening.cancel()
        if self._store is not None:
            self._store.abort()

    def shutdown(self) -> None:
        """At the end of the drain, called by uvicorn."""
        if self._transport is not None:
            self._transport.close()

    async def _open(self) -> None:
        assert self._transport is not None
        try:
            self._store = await open_tunnel(str(self._path), self._transport)
        except OSError:
            self._transport.write(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")
            return self._transport.close()
        early, self._early = self._early, b""
        self._store.write(early)

    def _with_client(self, handshake: bytes) -> bytes:
        """The handshake with our header, and without one that the client sent."""
        assert self._transport is not None
        start, _, rest = handshake.partition(b"\r\n")
        lines = [each for each in rest.split(b"\r\n") if not each.lower().startswith(HEADER + b":")]
        host = next((each.partition(b":")[2].strip() for each in lines if each.lower().startswith(b"host:")), b"")
        peer = self._transport.get_extra_info("peername") or ("",)
        secure = self._transport.get_extra_info("ssl_object") is not None
        value = forwarded_value(host.decode("latin-1"), str(peer[0]), secure=secure)
        return b"\r\n".join([start, HEADER + b": " + value.encode("ascii"), *lines])


def websocket_tunnel(path: Path) -> Callable[..., asyncio.Protocol]:
    """What uvicorn calls for a WebSocket: a tunnel to the Unix socket `path`."""

    def connect(*, server_state: ServerState, **options: object) -> asyncio.Protocol:
        return WebSocketTunnel(path, cast("set[object]", server_state.connections))

    return connect
