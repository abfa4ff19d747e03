"""Opens the way to one origin: name, proxy, tunnel, TLS; knows no requests. The only place that connects a socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from sizewise.errors import ConfigError, UpstreamDown, UpstreamGarbled
from sizewise.http.connection import HEAD_BYTES, Connection
from sizewise.http.egress import PORTS


@dataclass(frozen=True, slots=True)
class Proxy:
    host: str
    port: int
    tls: ssl.SSLContext | None  # None when it is spoken to in plain http
    authorization: str = field(default="", repr=False)  # the value of Proxy-Authorization, '' for none


@dataclass(frozen=True, slots=True)
class Way:
    """How one origin is reached. `tls` is None for plain http."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: Proxy | None

    @property
    def name(self) -> str:
        """host:port, as errors show it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Trust:
    """Whom TLS believes: the authorities in the file `ca`, or the system's. Loaded once, when first needed (10 ms)."""

    def __init__(self, ca: Path | None, only: str = "", own: str = "") -> None:
        """`only`: a certificate in PEM; the server that has this one is believed, whatever its name, and nobody else.
        `own`: a file with the certificate that we show, and its key."""
        self._ca = ca
        self._only = only
        self._own = own

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Verifies names and certificates; ConfigError when the file cannot be read."""
        try:
            if self._only:
                context = ssl.create_default_context(cadata=self._only)
                context.check_hostname = False
                # It need not be its own authority, nor be made by today's rules: it is this very one.
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            else:
                context = ssl.create_default_context(cafile=None if self._ca is None else str(self._ca))
            if self._own:
                context.load_cert_chain(self._own)
        except OSError as why:  # which ssl.SSLError is too
            raise ConfigError(f"{str(self._ca)!r} holds no certificates that can be read", "Name a PEM file.") from why
        context.set_alpn_protocols(["http/1.1"])
        return context


def route(origin: str, proxy_url: str, trust: Trust) -> Way:
    """The way to `origin` by the proxy at `proxy_url`, '' for none; its name and password become a header."""
    parts = urlsplit(origin)
    tls = trust.context if parts.scheme == "https" else None
    proxy = _proxy(proxy_url, trust) if proxy_url else None
    return Way(parts.hostname or "", parts.port or PORTS[parts.scheme], tls, proxy)


def _proxy(url: str, trust: Trust) -> Proxy:
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ConfigError("a proxy's URL is neither http nor https", "Write it as 'http://host:port'.")
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    authorization = "" if parts.username is None else f"Basic {b64encode(pair.encode()).decode()}"
    tls = trust.context if parts.scheme == "https" else None
    return Proxy(parts.hostname, parts.port or PORTS[parts.scheme], tls, authorization)


async def dial(way: Way, make: Callable[[], Connection]) -> Connection:
    """A connected one of those that `make` makes. UpstreamDown says what failed: the name, the port, or TLS."""
    to = f"{way.name} (by the proxy {way.proxy.host}:{way.proxy.port})" if way.proxy else way.name
    try:
        connection, transport = await _connect(way, make)
    except ssl.SSLCertVerificationError as why:
        raise UpstreamDown(
            f"{to} is not trusted: {why.verify_message}", "If you trust its authority, name its file in network.ca."
        ) from why
    except ssl.SSLError as why:
        raise UpstreamDown(f"{to} failed to agree on TLS: {why.reason}", "Is it https, or http?") from why
    except (socket.gaierror, UnicodeError) as why:
        raise UpstreamDown(f"no address is known for {to}", "Check the spelling of its base_url.") from why
    except OSError as why:
        raise UpstreamDown(f"{to} cannot be reached: {_reason(why)}", "Is it running, and is the port right?") from why
    bare = transport.get_extra_info("socket")
    if bare is not None:  # so that a long thought behind a forgetful router is not taken for death
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def _reason(why: OSError) -> str:
    if isinstance(why, ConnectionRefusedError):
        return "connection refused"
    return why.strerror or str(why) or type(why).__name__


async def _connect(way: Way, make: Callable[[], Connection]) -> tuple[Connection, asyncio.BaseTransport]:
    loop, proxy = asyncio.get_running_loop(), way.proxy
    if proxy is None:
        transport, connection = await loop.create_connection(make, way.host, way.port, ssl=way.tls)
        return connection, transport
    if way.tls is None:
        transport, connection = await loop.create_connection(make, proxy.host, proxy.port, ssl=proxy.tls)
        return connection, transport
    bare, tunnel = await loop.create_connection(lambda: Tunnel(way), proxy.host, proxy.port, ssl=proxy.tls)
    try:
        await tunnel.opened
        connection = make()
        secured = await loop.start_tls(bare, connection, way.tls, server_hostname=way.host)
    except BaseException:
        bare.abort()
        raise
    assert secured is not None
    connection.connection_made(secured)
    return connection, secured


class Tunnel(asyncio.Protocol):
    """Asks a proxy for a way through; `opened` is done when TLS can begin."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._head = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self._way.proxy is not None
        lines = [f"CONNECT {self._way.name} HTTP/1.1", f"host: {self._way.name}"]
        if self._way.proxy.authorization:
            lines.append(f"proxy-authorization: {self._way.proxy.authorization}")
        cast(asyncio.Transport, transport).write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.opened.done():
            return
        if b"\r\n\r\n" in self._head:
            self._answered(self._head.split(b" ", 2))
        elif len(self._head) > HEAD_BYTES:
            self.opened.set_exception(UpstreamGarbled("the proxy's answer has no end"))

    def _answered(self, words: list[bytes]) -> None:
        code = words[1].decode("latin-1") if len(words) == 3 and words[0].startswith(b"HTTP/1.") else ""
        if code.startswith("2"):
            self.opened.set_result(None)
        elif code == "407":
            self.opened.set_exception(
                UpstreamDown("the proxy asks for a password", "Write it into the proxy's URL: http://name:word@host.")
            )
        else:
            self.opened.set_exception(UpstreamDown(f"the proxy refuses the way to {self._way.name}: {code[:3]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(UpstreamDown(f"the proxy hung up on the way to {self._way.name}"))
