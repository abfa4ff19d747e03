"""POST /graphql as an ASGI app: who asks, a bounded body in, a well-formed answer out; knows no GraphQL.

The GraphQL library is loaded at the first request, in a thread: a server that only serves tokens never pays for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

import msgspec
from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from sizewise.accounts.browser import far_end, meant, signed_in
from sizewise.accounts.scope import admit
from sizewise.caller import Caller
from sizewise.errors import BadBody, BadRequest, BodyTooLarge, BodyTooSlow, SizewiseError
from sizewise.graphql.context import Context, Live, Reload
from sizewise.house import House
from sizewise.settings.serving import Server

Shown = Mapping[str, object]


class Question(Struct, rename="camel"):
    """The body of a request, as GraphQL over HTTP has it; other keys are no concern of ours."""

    query: str
    variables: dict[str, object] | None = None
    operation_name: str | None = None


class Execute(Protocol):
    """execute.Execute: answers, never raises. The status is 200 where the question itself was well formed."""

    async def __call__(self, question: Question, context: Context, trace: str) -> tuple[int, Shown]: ...


class GraphQL:
    """The ASGI app. `reload` reads the settings anew and swaps the house that `house` returns."""

    def __init__(self, house: Live, reload: Reload) -> None:
        self._house = house
        self._reload = reload
        self._loading: asyncio.Task[Execute] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        trace = os.urandom(16).hex()
        house = self._house()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            peer, proxies = (scope.get("client") or ("",))[0], house.settings.server.proxies
            caller = _caller(house, headers, scope, peer)
            admit(caller, "graphql", far_end(peer, scope["headers"], proxies))
            _refuse_other_ways(scope["method"], headers)
            question = _question(await _timely(receive, house.settings.server))
            execute = await self._loaded()
            status, shown = await execute(question, Context(self._house, self._reload, house, caller), trace)
        except SizewiseError as error:
            house.means.metrics.refused(error.code)
            status, shown = error.status, {"errors": [told(error)]}
        await _answer(send, status, shown, trace)

    async def _loaded(self) -> Execute:
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(_load))
        return await asyncio.shield(self._loading)


def _load() -> Execute:
    made: Execute = import_module("sizewise.graphql.execute").Execute()
    return made


def told(error: SizewiseError) -> Shown:
    """An error in GraphQL's shape; the CLI makes the same error of it again."""
    docs = f"docs/errors/{error.code}.md"
    extensions = {"code": error.code, "status": error.status, "hint": error.hint, "docs": docs}
    return {"message": error.message, "extensions": extensions}


def _caller(house: House, headers: Mapping[bytes, str], scope: Scope, peer: str) -> Caller:
    """By a key, and only where none came by a session. Raises Forbidden or BadKey."""
    scheme, _, key = headers.get(b"authorization", "").partition(" ")
    key = (key if scheme.lower() == "bearer" else headers.get(b"x-api-key", "")).strip()
    host = headers.get(b"host", "")
    if key or b"cookie" not in headers:
        return house.caller(key, host)
    meant(host, house.hosts)
    keys, proxies, secure = house.means.keeper.accounts.keys, house.settings.server.proxies, scope["scheme"] == "https"
    caller = signed_in(keys, scope["headers"], host, peer, proxies, secure=secure, safe=False)
    return caller or house.caller("", host)


def _refuse_other_ways(method: str, headers: Mapping[bytes, str]) -> None:
    """Only what no foreign web page can send unasked: a POST of JSON."""
    if method != "POST":
        raise BadRequest(f"/graphql does not take {method[:20]!r}", 'POST {"query": "..."} as JSON', status=405)
    kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/graphql-response+json"):
        raise BadRequest(f"/graphql does not take {kind[:100]!r}", "send content-type: application/json", status=415)


async def _timely(receive: Receive, bounds: Server) -> bytes:
    try:
        async with asyncio.timeout(bounds.body_s):
            return await _body(receive, bounds.body_bytes)
    except TimeoutError as error:
        raise BodyTooSlow(f"the body had not come after {bounds.body_s:g} seconds", "send it faster") from error


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


def _question(body: bytes) -> Question:
    try:
        return msgspec.json.decode(body, type=Question)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = 'send {"query": "...", "variables": {...}}, one question a request'
        raise BadBody(f"the body is no GraphQL request: {error}", hint) from error
    except RecursionError as error:
        raise BadBody("the body is nested too deeply", "flatten it") from error


async def _answer(send: Send, status: int, shown: Shown, trace: str) -> None:
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
