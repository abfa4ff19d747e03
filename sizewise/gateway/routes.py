"""Every route of the one port, top to bottom, as an ASGI app; knows which door a path leads to and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sizewise.app.application import House
from sizewise.errors import BadRequest, UnknownPath, nearest
from sizewise.gateway import (
    anthropic,
    health,
    inbound_webhooks,
    landing_page,
    mcp_server,
    model_list,
    openai,
    openapi,
    responses,
    signin,
    signin_oidc,
    signin_page,
)
from sizewise.gateway.request_context import (
    USUAL,
    Door,
    Headers,
    Knock,
    Out,
    Voice,
    meet,
    pairs,
    refuse,
    too_large,
    too_slow,
    traced,
)

Live = Callable[[], House]
"""The house of the moment: settings may change between two requests, never within one."""


ASK = ("ask",)
RULES: Mapping[str, tuple[str, ...] | None] = {
    "/v1/chat/completions": ASK,
    "/v1/responses": ASK,
    "/v1/responses/{body}": ASK,
    "/v1/responses/{body}/input_items": ASK,
    "/v1/embeddings": ASK,
    "/v1/messages": ASK,
    "/v1/messages/count_tokens": ASK,
    "/v1/models": (),
    "/v1/models/{body:path}": (),
    "/hooks/flows/{body}": ASK,
    "/graphql": (),
    "/mcp": ASK,
    "/graphql/{body}": None,
    "/auth/sign-in": None,
    "/auth/sign-out": None,
    "/auth/invitation": None,
    "/auth/session": (),
    "/auth/password": (),
    "/auth/oidc/{body}": None,
    "/auth/oidc/{body}/callback": None,
    "/sign-in": None,
    "/invitation": None,
    "/healthz": None,
    "/readyz": None,
    "/metrics": ("read_metrics",),
    "/openapi.json": None,
    "/": None,
}
"""Path -> the actions of which one opens it; none: any key or session; None: nobody needs one. The doors themselves
ask; tests/auth/test_authorization_matrix.py holds each of them against this table."""


def app(house: Live, graphql: ASGIApp) -> Starlette:
    def at(path: str, door: Door, method: str = "POST", voice: Voice = USUAL) -> Route:
        return Route(path, Meeting(house, door, method, voice))

    routes: list[BaseRoute] = [
        at("/v1/chat/completions", openai.chat),
        at("/v1/responses", responses.create, voice=responses.VOICE),
        Route("/v1/responses/{body}", Methods(house, GET=responses.retrieve, DELETE=responses.delete)),
        at("/v1/responses/{body}/input_items", responses.input_items, "GET"),
        at("/v1/embeddings", openai.embeddings),
        at("/v1/messages", anthropic.messages, voice=anthropic.VOICE),
        at("/v1/messages/count_tokens", anthropic.count_tokens, voice=anthropic.VOICE),
        at("/v1/models", model_list.models, "GET"),
        at("/v1/models/{body:path}", model_list.model, "GET"),
        Route("/hooks/flows/{body}", Named(house, inbound_webhooks.named)),
        Route("/graphql", graphql),
        WebSocketRoute("/graphql", graphql),
        Route("/graphql/{body}", graphql),
        at("/mcp", mcp_server.messages, voice=mcp_server.VOICE),
        at("/auth/sign-in", signin.sign_in),
        at("/auth/sign-out", signin.sign_out),
        at("/auth/invitation", signin.invitation),
        at("/auth/password", signin.password),
        Route("/auth/session", Methods(house, GET=signin.session, POST=signin.move)),
        at("/auth/oidc/{body}", signin_oidc.begin, "GET"),
        at("/auth/oidc/{body}/callback", signin_oidc.callback, "GET"),
        at("/sign-in", signin_page.sign_in, "GET"),
        at("/invitation", signin_page.invitation, "GET"),
        at("/healthz", health.healthz, "GET"),
        at("/readyz", health.readyz, "GET"),
        at("/metrics", health.metrics, "GET"),
        at("/openapi.json", openapi.Written(), "GET"),
        at("/", landing_page.page, "GET"),
    ]
    paths = [route.path for route in routes if isinstance(route, Route) and not route.path.startswith("/auth/")]
    lost = [
        Mount(base, Meeting(house, nowhere(paths), voice=voice))
        for base, voice in (("/v1/messages", anthropic.VOICE), ("/", USUAL))
    ]
    return Starlette(routes=[*routes, *lost])


def nowhere(paths: list[str]) -> Door:
    async def door(house: House, seen: Knock, body: bytes, out: Out) -> None:
        path = body.decode("utf-8", "replace")[:200]
        raise UnknownPath(f"there is nothing at {path!r}", nearest(path, paths) or f"try {', '.join(paths[:3])}")

    return door


def only(method: str, voice: Voice) -> Door:
    async def door(house: House, seen: Knock, body: bytes, out: Out) -> None:
        path = body.decode("utf-8", "replace")[:200]
        error = BadRequest(f"{path!r} takes {method} only", f"send it as {method}", status=405)
        house.means.metrics.refused(error.code)
        await refuse(out, error, [(b"allow", method.encode()), *traced(seen.trace)], voice, seen.trace)

    return door


class Meeting:
    """A door as an ASGI app: reads the whole body within bounds, cancels the door when the client leaves."""

    def __init__(self, house: Live, door: Door, method: str = "", voice: Voice = USUAL) -> None:
        """`method`: the only one it takes (GET: HEAD too); empty: any. `voice`: how it says no."""
        self._house = house
        self._door = door
        self._method = method
        self._voice = voice

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close"})  # before it is accepted: a 403
        started = time.perf_counter()
        house = self._house()
        client = scope.get("client")
        out = AsgiOut(send, client[0] if client else "")
        headers: Headers = scope["headers"]
        method, limit = scope["method"], house.settings.server.max_body_bytes
        door, body = self._door, scope.get("path_params", {}).get("body", scope["path"]).encode()
        if self._method and method != self._method and (method, self._method) != ("HEAD", "GET"):
            door, body = only(self._method, self._voice), scope["path"].encode()
        elif _announced(headers) > limit:
            door, out.closes = too_large, any(name == b"expect" for name, _ in headers)
        elif method not in ("GET", "HEAD", "DELETE") and self._method:
            try:
                async with asyncio.timeout(house.settings.server.body_timeout_s):
                    read = await _body(receive, limit)
            except TimeoutError:
                door, read, out.closes = too_slow, b"", True
            if read is None:
                return
            if len(read) > limit:
                door, read = too_large, b""
            body = read
        safe, secure = method in ("GET", "HEAD"), scope.get("scheme") == "https"
        query = scope.get("query_string", b"")
        met = meet(door, house, headers, body, out, started, self._voice, safe=safe, secure=secure, query=query)
        await _unless_gone(met, receive)


class Methods:
    """One path with a door for each method; whoever comes with another is told of GET."""

    def __init__(self, house: Live, **doors: Door) -> None:
        self._meetings = {method: Meeting(house, door, method) for method, door in doors.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._meetings.get(scope["method"], self._meetings["GET"])(scope, receive, send)


class Named(Meeting):
    """A door that takes what stands in the path beside the body."""

    def __init__(self, house: Live, door: Callable[[str], Door]) -> None:
        super().__init__(house, door(""), "POST")
        self._of = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Meeting(self._house, self._of(scope["path_params"]["body"]), "POST")(scope, receive, send)


def _announced(headers: Headers) -> int:
    """Bytes of the body, as far as the head tells; a client that expects "100 Continue" hears of it before it sends."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


async def _body(receive: Receive, limit: int) -> bytes | None:
    """All of it, or the first bytes beyond `limit`; None when the client leaves before the end."""
    pieces: list[bytes] = []
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        total += len(pieces[-1])
        if total > limit or not message.get("more_body"):
            return b"".join(pieces)


async def _unless_gone(work: Awaitable[None], receive: Receive) -> None:
    """Runs `work`; when the client leaves first, the work is cancelled and with it the model."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    except asyncio.CancelledError:
        pass  # the server ends and could not wait; uvicorn would log this as a fault of ours, traceback and all
    finally:
        leaving.cancel()
        task.cancel()
        await asyncio.gather(leaving, task, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


AS_IT_IS = (b"x-content-type-options", b"nosniff")
"""No browser shall take an answer for a page."""


class AsgiOut:
    """A door's `Out` on ASGI's `send`."""

    def __init__(self, send: Send, address: str) -> None:
        self._send = send
        self.address = address
        self.begun = False
        self.closes = False  # the connection, because what comes next on it may be the body that was refused, or not

    async def _start(self, status: int, headers: Headers) -> None:
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, AS_IT_IS]})

    async def _body(self, data: bytes, more: bool) -> None:
        message: dict[str, Any] = {"type": "http.response.body", "body": data, "more_body": more}
        await self._send(message)

    async def whole(self, status: int, headers: Headers, body: bytes, lines: bytes = b"") -> None:
        close = [(b"connection", b"close")] if self.closes else []
        await self._start(status, [*headers, *pairs(lines), *close, (b"content-length", b"%d" % len(body))])
        await self._body(body, False)

    async def begin(self, headers: Headers) -> None:
        await self._start(200, headers)

    async def write(self, data: bytes) -> None:
        await self._body(data, True)

    async def end(self) -> None:
        await self._body(b"", False)
