"""The ASGI application of /graphql: reads a bounded body, writes a response or a stream; knows no GraphQL.

The GraphQL library is loaded at the first request, in a thread: a server that only serves models never loads it.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope, Send

from sizewise.app.application import Application
from sizewise.app.services import Services
from sizewise.auth.browser_security import check_host
from sizewise.auth.revocable_stream import RevocableStream
from sizewise.errors import PathNotFound, SizewiseError
from sizewise.graphql import graphiql, http_request
from sizewise.graphql.authentication import authenticate
from sizewise.graphql.context import GetApplication, Reload, RequestContext
from sizewise.graphql.request import (
    ExecuteQuery,
    OperationRequest,
    OperationResponse,
    OperationResult,
    ResponseStream,
    format_error,
    new_trace_id,
    parse_request,
)
from sizewise.graphql.sse import EVENT_STREAM, send_event_stream, wait_for_disconnect
from sizewise.graphql.websocket import WebSocketConnection
from sizewise.limits.request_body import BodyReader
from sizewise.offload.offload import LONG_BYTES


class GraphQLApp:
    """The ASGI app. `reload` reads the settings again and replaces the application that `get_app` returns; `services`
    stay the same.
    """

    def __init__(self, get_app: GetApplication, reload: Reload, services: Services) -> None:
        self._get_app = get_app
        self._reload = reload
        self._services = services
        self._graphiql = graphiql.GraphiQLAssets()
        self._loading: asyncio.Task[ExecuteQuery] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "websocket":
                await WebSocketConnection(
                    get_app=self._get_app,
                    reload=self._reload,
                    services=self._services,
                    load_executor=self.load_executor,
                    scope=scope,
                    receive=receive,
                    send=send,
                ).serve()
            elif scope["type"] == "http":
                trace = new_trace_id()
                await self._answer(scope, receive, _with_trace(send, trace), trace)
        except asyncio.CancelledError:
            pass  # the server is shutting down; uvicorn would log this as an error, with a traceback

    async def _answer(self, scope: Scope, receive: Receive, send: Send, trace: str) -> None:
        app = self._get_app()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if app.settings.graphql.graphiql and graphiql.is_page_request(scope["method"], scope["path"], headers):
                check_host(headers.get(b"host", ""), app.allowed_hosts)
                if await self._graphiql.serve(scope["path"], headers, send):
                    return None
            if scope["path"] != "/graphql":
                raise PathNotFound(f"there is nothing at {scope['path'][:200]!r}", "the GraphQL endpoint is /graphql")
            principal = authenticate(app, self._services.api_keys.authenticator, scope)
            reads_only = http_request.is_get(scope["method"], headers)
            question = await self._question(app, scope, receive, reads_only)
            if question is None:
                return None
            fresh = headers.get(b"x-bypass-cache", "").lower() == "true"
            context = RequestContext(
                get_app=self._get_app,
                reload=self._reload,
                app=app,
                services=self._services,
                principal=principal,
                trace=trace,
                bypass_cache=fresh,
            )
            with RevocableStream(self._services.api_keys.authenticator, principal) as attached:
                streams = EVENT_STREAM in headers.get(b"accept", "")
                execute = await self.load_executor()
                answering = asyncio.ensure_future(execute(question, context, streams=streams, reads_only=reads_only))
                if not await _unless_gone(answering, receive):
                    return None
                answer = answering.result()
                if isinstance(answer, ResponseStream):
                    return await send_event_stream(answer, attached, trace, receive, send)
            status, shown = answer
        except SizewiseError as error:
            app.resources.metrics.count_rejection(error.code)
            status, shown = error.status, {"errors": [format_error(error)]}
        await _whole(send, status, shown, http_request.response_type(headers.get(b"accept", "")))

    async def _question(
        self,
        app: Application,
        scope: Scope,
        receive: Receive,
        reads_only: bool,
    ) -> OperationRequest | None:
        """The request; None if the client disconnected. Raises BadBody and what BodyReader raises."""
        if reads_only:
            return http_request.parse_query_string(scope["query_string"])
        with BodyReader(app.resources.body_memory, app.settings.server) as reader:
            body = await reader.read(receive)
            if body is None:
                return None
            if len(body) < LONG_BYTES:
                return parse_request(body)
            return await app.resources.offload.in_thread(parse_request, body)

    async def load_executor(self) -> ExecuteQuery:
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(_load))
        return await asyncio.shield(self._loading)


def _load() -> ExecuteQuery:
    made: ExecuteQuery = import_module("sizewise.graphql.execute").QueryExecutor()
    return made


async def _unless_gone(work: asyncio.Future[OperationResponse], receive: Receive) -> bool:
    """Waits for `work`; False if the client disconnects first, which cancels it and its model call."""
    leaving = asyncio.ensure_future(wait_for_disconnect(receive))
    both: set[asyncio.Future[Any]] = {work, leaving}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return work.done()
    finally:
        for each in both:
            each.cancel()
        await asyncio.wait(both)


def _with_trace(send: Send, trace: str) -> Send:
    """`send`, with the trace in the headers of each answer."""
    traced = [(b"x-sizewise-trace", trace.encode()), (b"x-request-id", trace.encode())]

    async def with_trace(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *traced]}
        await send(message)

    return with_trace


async def _whole(send: Send, status: int, shown: OperationResult, media_type: str) -> None:
    body = msgspec.json.encode(shown)
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),  # the response may hold a new key
        (b"x-content-type-options", b"nosniff"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="sizewise"'))
    if status == 408:  # the rest of the body may still arrive
        headers.append((b"connection", b"close"))
    if status == 405:
        headers.append((b"allow", http_request.METHODS.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
