"""Every route of the one port, top to bottom, as an ASGI app; knows which door a path leads to and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sizewise.errors import BodyTooLarge, UnknownPath, nearest
from sizewise.gateway import health, openai, welcome
from sizewise.gateway.exchange import Door, Headers, Knock, Out, meet
from sizewise.house import House

Live = Callable[[], House]
"""The house of the moment: settings may change between two requests, never within one."""


def app(house: Live, graphql: ASGIApp) -> Starlette:
    def at(path: str, door: Door, method: str = "POST") -> Route:
        return Route(path, Meeting(house, door), methods=[method])

    routes: list[BaseRoute] = [
        at("/v1/chat/completions", openai.chat),
        at("/v1/embeddings", openai.embeddings),
        at("/v1/models", openai.models, "GET"),
        at("/v1/models/{body:path}", openai.model, "GET"),
        Route("/graphql", graphql),
        at("/healthz", health.healthz, "GET"),
        at("/readyz", health.readyz, "GET"),
        at("/metrics", health.metrics, "GET"),
        at("/openapi.json", welcome.openapi, "GET"),
        at("/", welcome.page, "GET"),
    ]
    paths = [route.path for route in routes if isinstance(route, Route)]
    return Starlette(routes=[*routes, Mount("/", Meeting(house, nowhere(paths)))])


def nowhere(paths: list[str]) -> Door:
    async def door(house: House, seen: Knock, body: bytes, out: Out) -> None:
        path = body.decode("utf-8", "replace")[:200]
        raise UnknownPath(f"there is nothing at {path!r}", nearest(path, paths) or f"try {', '.join(paths[:3])}")

    return door


class Meeting:
    """A door as an ASGI app: reads the whole body within bounds, cancels the door when the client leaves."""

    def __init__(self, house: Live, door: Door) -> None:
        self._house = house
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        house = self._house()
        out = AsgiOut(send)
        body = await self._body(scope, receive, house.settings.server.body_bytes)
        headers: Headers = scope["headers"]
        if body is None:
            await meet(_too_large, house, headers, b"%d" % house.settings.server.body_bytes, out, started)
            return
        body = body or scope.get("path_params", {}).get("body", "").encode() or scope["path"].encode()
        await _unless_gone(meet(self._door, house, headers, body, out, started), receive)

    async def _body(self, scope: Scope, receive: Receive, limit: int) -> bytes | None:
        if scope["method"] in ("GET", "HEAD"):
            return b""
        pieces: list[bytes] = []
        total = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b""
            pieces.append(message.get("body", b""))
            total += len(pieces[-1])
            if total > limit:
                return None
            if not message.get("more_body"):
                return b"".join(pieces)


async def _too_large(house: House, seen: Knock, body: bytes, out: Out) -> None:
    raise BodyTooLarge(f"the body is larger than {body.decode()} bytes", "send less, or raise body_bytes")


async def _unless_gone(work: Awaitable[None], receive: Receive) -> None:
    """Runs `work`; when the client leaves first, the work is cancelled and with it the model."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    finally:
        leaving.cancel()
        task.cancel()
        await asyncio.gather(leaving, task, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class AsgiOut:
    """A door's `Out` on ASGI's `send`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def _start(self, status: int, headers: Headers) -> None:
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, data: bytes, more: bool) -> None:
        message: dict[str, Any] = {"type": "http.response.body", "body": data, "more_body": more}
        await self._send(message)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        await self._start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._body(body, False)

    async def begin(self, headers: Headers) -> None:
        await self._start(200, headers)

    async def write(self, data: bytes) -> None:
        await self._body(data, True)

    async def end(self) -> None:
        await self._body(b"", False)
