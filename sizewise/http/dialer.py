"""Dialer: DNS, proxy CONNECT and TLS for one origin; the only place that opens outbound sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from sizewise.errors import Busy, ConfigError, UpstreamProtocolError, UpstreamUnreachable
from sizewise.http.connection import MAX_HEAD_BYTES, HttpConnection
from sizewise.http.egress import DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class Proxy:
    host: str
    port: int
    tls: ssl.SSLContext | None  # None: plain http to the proxy
    authorization: str = field(default="", repr=False)  # value of Proxy-Authorization; '' for none


@dataclass(frozen=True, slots=True)
class DialTarget:
    """How to reach one origin. `tls` is None for plain http. `path`: a Unix socket of this machine instead."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: Proxy | None
    path: str = ""

    @property
    def name(self) -> str:
        """host:port, as shown in errors."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TlsConfig:
    """Trusted authorities: those in `ca_file`, or the system's. Loaded once, on first use (10 ms)."""

    def __init__(self, ca_file: Path | None, pinned_certificate: str = "", client_certificate: str = "") -> None:
        """`pinned_certificate`: PEM; only a server with exactly this certificate is trusted, whatever its name.
        `client_certificate`: file with our own certificate and its key.
        """
        self._ca_file = ca_file
        self._pinned_certificate = pinned_certificate
        self._client_certificate = client_certificate

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Verifies names and certificates. Raises ConfigError if a file cannot be read."""
        try:
            if self._pinned_certificate:
                context = ssl.create_default_context(cadata=self._pinned_certificate)
                context.check_hostname = False
                # The pinned certificate may be a leaf, and need not follow today's rules.
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            else:
                context = ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
            if self._client_certificate:
                context.load_cert_chain(self._client_certificate)
        except OSError as why:  # includes ssl.SSLError
            raise ConfigError(
                f"{str(self._ca_file)!r} contains no readable certificates",
                "Use a PEM file.",
            ) from why
        context.set_alpn_protocols(["http/1.1"])
        return context


def dial_target(origin: str, proxy_url: str, tls_config: TlsConfig) -> DialTarget:
    """The target for `origin` via `proxy_url` ('' for none), whose user and password become a header."""
    parts = urlsplit(origin)
    tls = tls_config.context if parts.scheme == "https" else None
    proxy = _proxy(proxy_url, tls_config) if proxy_url else None
    return DialTarget(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme], tls, proxy)


def _proxy(url: str, tls_config: TlsConfig) -> Proxy:
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ConfigError("the proxy's URL is neither http nor https", "Write it as 'http://host:port'.")
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    authorization = "" if parts.username is None else f"Basic {b64encode(pair.encode()).decode()}"
    tls = tls_config.context if parts.scheme == "https" else None
    return Proxy(parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme], tls, authorization)


async def dial(target: DialTarget, factory: Callable[[], HttpConnection]) -> HttpConnection:
    """Connects. UpstreamUnreachable names what failed: the host name, the port, or TLS. Busy: no file descriptor."""
    to = f"{target.name} (through the proxy {target.proxy.host}:{target.proxy.port})" if target.proxy else target.name
    try:
        connection, transport = await _connect(target, factory)
    except ssl.SSLCertVerificationError as why:
        raise UpstreamUnreachable(
            f"the certificate of {to} is not trusted: {why.verify_message}",
            "If you trust its authority, set `ca` in [network] to the authority's file.",
        ) from why
    except ssl.SSLError as why:
        hint = "Check whether its URL is https or http."
        raise UpstreamUnreachable(f"the TLS handshake with {to} failed: {why.reason}", hint) from why
    except (socket.gaierror, UnicodeError) as why:
        hint = "Check the spelling of its base_url."
        raise UpstreamUnreachable(f"the host name of {to} cannot be resolved", hint) from why
    except OSError as why:
        if why.errno in (errno.EMFILE, errno.ENFILE):
            raise Busy(
                f"this server has no file descriptor left for a connection to {to}",
                "raise the limit of open files: `LimitNOFILE` in systemd, `ulimit -Hn` in a shell",
                retry_after=1,
            ) from why
        raise UpstreamUnreachable(
            f"{to} cannot be reached: {_reason(why)}",
            "Check that it is running, and the port.",
        ) from why
    bare = transport.get_extra_info("socket")
    if bare is not None and not target.path:  # so that a NAT does not drop the connection during a long computation
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def _reason(why: OSError) -> str:
    if isinstance(why, ConnectionRefusedError):
        return "connection refused"
    return why.strerror or str(why) or type(why).__name__


async def _connect(
    target: DialTarget,
    factory: Callable[[], HttpConnection],
) -> tuple[HttpConnection, asyncio.BaseTransport]:
    loop, proxy = asyncio.get_running_loop(), target.proxy
    if target.path:
        local, connection = await loop.create_unix_connection(factory, target.path)
        return connection, local
    if proxy is None:
        transport, connection = await loop.create_connection(factory, target.host, target.port, ssl=target.tls)
        return connection, transport
    if target.tls is None:
        transport, connection = await loop.create_connection(factory, proxy.host, proxy.port, ssl=proxy.tls)
        return connection, transport
    bare, tunnel = await loop.create_connection(lambda: ConnectTunnel(target), proxy.host, proxy.port, ssl=proxy.tls)
    try:
        await tunnel.opened
        connection = factory()
        secured = await loop.start_tls(bare, connection, target.tls, server_hostname=target.host)
    except BaseException:
        bare.abort()
        raise
    assert secured is not None
    connection.connection_made(secured)
    return connection, secured


class ConnectTunnel(asyncio.Protocol):
    """Opens a CONNECT tunnel through a proxy; `opened` is done when TLS can start."""

    def __init__(self, target: DialTarget) -> None:
        self._target = target
        self._head = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self._target.proxy is not None
        lines = [f"CONNECT {self._target.name} HTTP/1.1", f"host: {self._target.name}"]
        if self._target.proxy.authorization:
            lines.append(f"proxy-authorization: {self._target.proxy.authorization}")
        cast("asyncio.Transport", transport).write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.opened.done():
            return
        if b"\r\n\r\n" in self._head:
            self._handle_status(self._head.split(b" ", 2))
        elif len(self._head) > MAX_HEAD_BYTES:
            self.opened.set_exception(UpstreamProtocolError("the proxy's response headers are too long"))

    def _handle_status(self, words: list[bytes]) -> None:
        code = words[1].decode("latin-1") if len(words) == 3 and words[0].startswith(b"HTTP/1.") else ""
        if code.startswith("2"):
            self.opened.set_result(None)
        elif code == "407":
            self.opened.set_exception(
                UpstreamUnreachable(
                    "the proxy requires a password",
                    "Add it to the proxy's URL: http://name:password@host.",
                ),
            )
        else:
            self.opened.set_exception(
                UpstreamUnreachable(f"the proxy refused to connect to {self._target.name}: {code[:3]!r}"),
            )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(UpstreamUnreachable(f"the proxy closed the connection to {self._target.name}"))


class _TunnelEnd(asyncio.Protocol):
    """Writes what it receives to `other`, and closes with it."""

    def __init__(self, other: asyncio.Transport) -> None:
        self._other = other

    def data_received(self, data: bytes) -> None:
        if self._other.is_closing():
            return
        self._other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._other.close()


async def open_tunnel(path: str, other: asyncio.Transport) -> asyncio.Transport:
    """A connection to the Unix socket `path`, whose bytes are written to `other`. Raises OSError."""
    transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: _TunnelEnd(other), path)
    return transport
