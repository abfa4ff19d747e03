"""/graphql as an ASGI app: a bounded body in, a well-formed answer or a stream of them out; knows no GraphQL.

The GraphQL library is loaded at the first request, in a thread: a server that only serves tokens never pays for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from sizewise.auth.browser_security import meant
from sizewise.auth.revocable_stream import Attached
from sizewise.errors import BadBody, BadRequest, BodyTooLarge, BodyTooSlow, SizewiseError, UnknownPath
from sizewise.graphql import graphiql
from sizewise.graphql.authentication import enter
from sizewise.graphql.context import Context, Live, Reload
from sizewise.graphql.request import Answer, Execute, Shown, Stream, new_trace, read, told
from sizewise.graphql.sse import ASKED, gone, streamed
from sizewise.graphql.websocket import Socket
from sizewise.settings.server import Server


class GraphQL:
    """The ASGI app. `reload` reads the settings anew and swaps the house that `house` returns."""

    def __init__(self, house: Live, reload: Reload) -> None:
        self._house = house
        self._reload = reload
        self._pages = graphiql.Pages()
        self._loading: asyncio.Task[Execute] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "websocket":
                await Socket(self._house, self._reload, self.loaded, scope, receive, send).serve()
            elif scope["type"] == "http":
                await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            pass  # the server ends and could not wait; uvicorn would log this as a fault of ours, traceback and all

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        trace = new_trace()
        house = self._house()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if house.settings.graphql.graphiql and graphiql.wanted(scope["method"], scope["path"], headers):
                meant(headers.get(b"host", ""), house.hosts)
                if await self._pages.serve(scope["path"], headers, send):
                    return
            if scope["path"] != "/graphql":
                raise UnknownPath(f"there is nothing at {scope['path'][:200]!r}", "the GraphQL endpoint is /graphql")
            caller = enter(house, scope)
            _refuse_other_ways(scope["method"], headers)
            question = read(await _timely(receive, house.settings.server))
            fresh = headers.get(b"x-bypass-cache", "").lower() == "true"
            context = Context(self._house, self._reload, house, caller, trace, fresh)
            with Attached(house.means.keeper.accounts.keys, caller) as attached:
                streams = ASKED in headers.get(b"accept", "")
                answering = asyncio.ensure_future((await self.loaded())(question, context, streams=streams))
                if not await _unless_gone(answering, receive):
                    return
                answer = answering.result()
                if isinstance(answer, Stream):
                    return await streamed(answer, attached, trace, receive, send)
            status, shown = answer
        except SizewiseError as error:
            house.means.metrics.refused(error.code)
            status, shown = error.status, {"errors": [told(error)]}
        await _whole(send, status, shown, trace)

    async def loaded(self) -> Execute:
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(_load))
        return await asyncio.shield(self._loading)


def _load() -> Execute:
    made: Execute = import_module("sizewise.graphql.execute").Execute()
    return made


async def _unless_gone(work: asyncio.Future[Answer], receive: Receive) -> bool:
    """Waits for `work`; when the client leaves first it is cancelled, and with it the model."""
    leaving = asyncio.ensure_future(gone(receive))
    both: set[asyncio.Future[Any]] = {work, leaving}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return work.done()
    finally:
        for each in both:
            each.cancel()
        await asyncio.wait(both)


def _refuse_other_ways(method: str, headers: Mapping[bytes, str]) -> None:
    """Only what no foreign web page can send unasked: a POST of JSON."""
    if method != "POST":
        raise BadRequest(f"/graphql does not take {method[:20]!r}", 'POST {"query": "..."} as JSON', status=405)
    kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/graphql-response+json"):
        raise BadRequest(f"/graphql does not take {kind[:100]!r}", "send content-type: application/json", status=415)


async def _timely(receive: Receive, bounds: Server) -> bytes:
    try:
        async with asyncio.timeout(bounds.body_timeout_s):
            return await _body(receive, bounds.max_body_bytes)
    except TimeoutError as error:
        raise BodyTooSlow(f"the body had not come after {bounds.body_timeout_s:g} seconds", "send it faster") from error


async def _body(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadBody("the client left in mid-body", "send it whole")  # nobody will read this
        pieces.append(message.get("body", b""))
        total += len(pieces[-1])
        if total > limit:
            raise BodyTooLarge(f"the body is larger than {limit} bytes", "send less, or raise body_bytes")
        if not message.get("more_body"):
            return b"".join(pieces)


async def _whole(send: Send, status: int, shown: Shown, trace: str) -> None:
    body = msgspec.json.encode(shown)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),  # a new key is told here
        (b"x-content-type-options", b"nosniff"),
        (b"x-sizewise-trace", trace.encode()),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="sizewise"'))
    if status == 408:  # the rest of that body may come yet
        headers.append((b"connection", b"close"))
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def graphql(house: Live, reload: Reload) -> ASGIApp:
    """The app for `Route("/graphql", ...)`."""
    return GraphQL(house, reload)
