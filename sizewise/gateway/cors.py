"""Cross-origin resource sharing (CORS): web pages of which origins may read answers; never allows credentials.

Without credentials a browser sends no cookie to another origin, so a page needs an API key of its own. Source: the
Fetch standard, section 3.3, CORS protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sizewise.app.application import Application
from sizewise.errors import Forbidden
from sizewise.gateway.request_head import new_trace_id
from sizewise.gateway.response_writer import JSON, Headers, trace_headers
from sizewise.providers.wires.openai.request_response import write_error

ALL = "*"
METHODS = b"GET, POST, DELETE"
PREFLIGHT_S = b"600"  # seconds for which a browser may remember a preflight; a shorter list of origins applies then
EXPOSED = (
    b"x-request-id, request-id, retry-after, x-sizewise-trace, x-sizewise-model, x-sizewise-why, x-sizewise-cost-usd, "
    b"x-sizewise-attempts, x-sizewise-guards, x-sizewise-degraded, x-sizewise-freshness, x-sizewise-compacted, "
    b"x-sizewise-release, x-sizewise-arm, x-ratelimit-limit-requests, "
    b"x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "
    b"x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
"""Headers of answers that a page's script may read; browsers hide all others."""
HEADER_NAMES = re.compile(rb"[A-Za-z0-9-]+(?:[ \t]*,[ \t]*[A-Za-z0-9-]+)*")
MAX_HEADER_NAMES_BYTES = 2048


def cors_headers(headers: Headers, origins: tuple[str, ...]) -> Headers:
    """The headers of an answer to a request with `headers`, where `origins` are allowed."""
    if ALL in origins:
        return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
    origin, vary = _origin(headers), (b"vary", b"origin")  # also without an origin: caches must not mix them up
    if origin.decode("latin-1") not in origins:
        return [vary]
    return [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED), vary]


def is_allowed(headers: Headers, origins: tuple[str, ...]) -> bool:
    """Whether the request comes from a page of an allowed origin."""
    return ALL in origins or _origin(headers).decode("latin-1") in origins


def _origin(headers: Headers) -> bytes:
    """Empty if the request has none, or several."""
    found = [value for name, value in headers if name == b"origin"]
    return found[0] if len(found) == 1 else b""


class CorsApp:
    """An ASGI app that answers preflights itself and adds the headers to the answers of `app`."""

    def __init__(self, app: ASGIApp, get_app: Callable[[], Application]) -> None:
        self._app = app
        self._get_app = get_app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        origins, headers = self._get_app().settings.server.cors_origins, scope["headers"]
        if scope["method"] == "OPTIONS" and _is_preflight(headers):
            return await _answer_preflight(headers, origins, send)
        if not origins:
            return await self._app(scope, receive, send)
        added = cors_headers(headers, origins)

        async def with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, with_cors)


def _is_preflight(headers: Headers) -> bool:
    return {b"origin", b"access-control-request-method"} <= {name for name, _ in headers}


async def _answer_preflight(headers: Headers, origins: tuple[str, ...], send: Send) -> None:
    answer: Headers = [*trace_headers(new_trace_id()), (b"x-content-type-options", b"nosniff")]
    status, body = 204, b""
    if is_allowed(headers, origins):
        answer += cors_headers(headers, origins)
        answer += [(b"access-control-allow-methods", METHODS), (b"access-control-max-age", PREFLIGHT_S)]
        wanted = b", ".join(value for name, value in headers if name == b"access-control-request-headers")
        if len(wanted) <= MAX_HEADER_NAMES_BYTES and HEADER_NAMES.fullmatch(wanted):
            answer.append((b"access-control-allow-headers", wanted))  # `*` would not cover authorization
    else:
        page = _origin(headers).decode("latin-1")[:100]
        hint = f"to allow them, add {page!r} to `cors_origins` in [server] of sizewise.toml"
        status, body = 403, write_error(Forbidden(f"pages of {page!r} may not call this server", hint))
        answer += [JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": answer})
    await send({"type": "http.response.body", "body": body})
