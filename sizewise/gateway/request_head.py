"""Request head: HTTP headers -> credentials, trace and options, and the caller they belong to; reads no body.

Knows nothing of the server underneath: the fast path and ASGI both pass headers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from random import getrandbits

from msgspec import Struct

from sizewise.app.application import Application
from sizewise.auth.authenticator import digest
from sizewise.auth.browser_security import CSRF_HEADER, authenticate_browser, check_host, client_address, strip_port
from sizewise.auth.key_scope import check_scope
from sizewise.errors import Forbidden
from sizewise.gateway.response_writer import Headers, ResponseWriter
from sizewise.gateway.trace_context import parse_traceparent
from sizewise.handler import Request, RequestOptions
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.principal import Principal
from sizewise.request_origin import RequestOrigin


class RequestHead(Struct):
    """The parsed headers: key, trace and options; `started` is time.perf_counter() at arrival.

    `has_cookie`: any cookie, of any site. `safe`: the method changes nothing. `secure`: our own TLS.
    """

    started: float
    api_key: str = ""
    trace: str = ""
    host: str = ""
    options: dict[str, str] = {}
    headers: Headers = []  # all of them, for route handlers that read others

    peer_address: str = ""  # the client's address on this connection
    has_cookie: bool = False
    safe: bool = False
    secure: bool = False
    query_string: bytes = b""
    principal: Principal | None = None  # set by `authorize`
    key_digest: bytes = b""  # of the key
    hostname: str = ""  # `host` without its port
    origin: RequestOrigin | None = None  # the span of the client's `traceparent`
    content_encoding: str = ""  # of the body; empty if it is not compressed

    def restarted_at(self, started: float) -> RequestHead:
        """A copy with another start and, if it had none, a new trace."""
        seen: RequestHead = self.__copy__()  # type: ignore[attr-defined]  # every Struct has it
        seen.started = started
        if not seen.trace:
            seen.trace = new_trace_id()
        return seen

    def without_option(self, name: str) -> RequestHead:
        """A copy: heads of one connection may be shared."""
        seen: RequestHead = self.__copy__()  # type: ignore[attr-defined]  # every Struct has it
        seen.options = {each: value for each, value in self.options.items() if each != name}
        return seen

    def authorize(self, app: Application, endpoint: str, action: str = "ask") -> Principal:
        """Authenticates the caller of `endpoint` for `action`, by key, or by session cookie if there is no key. Raises
        InvalidApiKey or Forbidden.
        """
        principal = self.authenticate(app)
        if principal.scope is not None:
            check_scope(
                principal,
                endpoint,
                client_address(self.peer_address, self.headers, app.settings.server.trusted_proxies),
            )
        if action and action not in principal.permissions:
            raise Forbidden(f"this key lacks the permission `{action}`", f"use a key with the permission `{action}`")
        self.principal = principal
        return principal

    def authenticate(self, app: Application) -> Principal:
        """The caller, whatever it is allowed to do. Raises InvalidApiKey or Forbidden."""
        if self.hostname not in app.allowed_hosts:
            check_host(self.host, app.allowed_hosts)
        keys = app.resources.services.api_keys.authenticator
        if self.has_cookie and not self.api_key:
            return self.session_principal(app) or keys.authenticate("")
        return keys.authenticate_digest(self.key_digest, self.api_key)

    def request(self, payload: ChatRequest | EmbeddingRequest, options: RequestOptions, endpoint: str) -> Request:
        """The request of the caller, whom `authorize` found."""
        assert self.principal is not None
        return Request(
            payload=payload,
            principal=self.principal,
            trace_id=self.trace,
            started_at=self.started,
            options=options,
            endpoint=endpoint,
            origin=self.origin,
        )

    def session_principal(self, app: Application) -> Principal | None:
        """None without a session cookie of ours. Raises InvalidApiKey or Forbidden."""
        check_host(self.host, app.allowed_hosts)
        proxies, keys = app.settings.server.trusted_proxies, app.resources.services.api_keys.authenticator
        return authenticate_browser(
            keys,
            self.headers,
            self.host,
            self.peer_address,
            proxies,
            secure=self.secure,
            safe=self.safe,
        )


_READ_HEADERS = frozenset(
    {
        b"authorization",
        b"host",
        b"x-api-key",
        b"traceparent",
        b"idempotency-key",
        b"cache-control",
        b"cookie",
        b"content-encoding",
    },
)


_TRACE = re.compile(r"[0-9a-f]{32}")
_CACHE = re.compile(r"no-store|no-cache(?!.*no-store)")  # the stricter of the two; other directives are ignored


def read_head(headers: Headers, started: float) -> RequestHead:
    """The parsed headers of a request that arrived at time.perf_counter() `started`."""
    seen = parse_headers(headers)
    seen.started = started
    if not seen.trace:
        seen.trace = new_trace_id()
    return seen


def parse_headers(headers: Headers) -> RequestHead:
    """One pass over the headers; adds no trace if they have none. Names are lower-case bytes."""
    seen = RequestHead(0.0, headers=headers)
    for name, value in headers:
        if name not in _READ_HEADERS and name[:11] != b"x-sizewise-":
            continue
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            seen.api_key = key.strip() if scheme.lower() == "bearer" else ""
        elif name == b"host":
            seen.host = value.decode("latin-1")
        elif name == b"x-api-key":
            seen.api_key = seen.api_key or value.decode("latin-1").strip()
        elif name == b"traceparent":
            caused = parse_traceparent(value.decode("latin-1").strip())
            if caused is not None:
                seen.trace, seen.origin = caused
        elif name == b"idempotency-key":
            seen.options["idempotency-key"] = value.decode("latin-1")
        elif name == b"cache-control":
            said = _CACHE.search(value.decode("latin-1").lower())
            if said:
                seen.options["cache"] = said.group()
        elif name == b"x-sizewise-trace":
            match = _TRACE.fullmatch(value.decode("latin-1").strip())
            if match and match.group() != seen.trace:
                seen.trace, seen.origin = match.group(), None
        elif name == b"cookie":
            seen.has_cookie = True
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip()
            seen.content_encoding = seen.content_encoding or (encoding if encoding.lower() != "identity" else "")
        elif name != CSRF_HEADER:
            _add_option(seen.options, name[11:].decode("latin-1"), value.decode("latin-1"))
    seen.key_digest = digest(seen.api_key)
    seen.hostname = strip_port(seen.host)
    return seen


def _add_option(options: dict[str, str], name: str, value: str) -> None:
    """A repeated header becomes a list, as in HTTP, which no option accepts: a second one cannot loosen the first."""
    options[name] = f"{options[name]}, {value}" if name in options else value


def new_trace_id() -> str:
    """A W3C trace id. It starts with the time, so that the index of the records grows in order.

    Not a secret: random bits, not os.urandom, which releases the GIL and cost 10 us a request under load.
    """
    return (int(time.time()) << 96 | getrandbits(96)).to_bytes(16, "big").hex()


RouteHandler = Callable[[Application, RequestHead, bytes, ResponseWriter], Awaitable[None]]


def declared_length(headers: Headers) -> int:
    """Content-Length in bytes, else 0."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
