"""GraphQL over WebSocket, as in the graphql-transport-ws protocol; executes nothing itself.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md; close codes are those of the reference server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from starlette.types import Receive, Scope, Send

from sizewise.app.services import Services
from sizewise.auth.browser_security import check_host
from sizewise.auth.revocable_stream import RevocableStream
from sizewise.errors import Busy, SizewiseError
from sizewise.graphql.authentication import authenticate, init_headers
from sizewise.graphql.context import GetApplication, Reload, RequestContext
from sizewise.graphql.request import (
    ExecuteQuery,
    OperationResult,
    ResponseStream,
    format_error,
    format_exception,
    new_trace_id,
    parse_request,
)

PROTOCOL = "graphql-transport-ws"
INIT_TIMEOUT_S = 10.0
"""Timeout for the client's connection_init."""


class SocketMessage(Struct):
    type: str
    id: str = ""
    payload: Raw | UnsetType = UNSET


class ConnectionClosed(Exception):
    """The connection ends, with a close code and a reason; code 0: the client has left."""

    def __init__(self, code: int, why: str = "") -> None:
        super().__init__(why)
        self.code, self.reason = code, why


CLIENT_LEFT = 0


class WebSocketConnection:
    """One connection. `load_executor` returns the query executor, loading it if needed."""

    def __init__(
        self,
        *,
        get_app: GetApplication,
        reload: Reload,
        services: Services,
        load_executor: Callable[[], Awaitable[ExecuteQuery]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._get_app, self._reload, self._services, self._load_executor = get_app, reload, services, load_executor
        self._keys = services.api_keys.authenticator
        self._scope, self._receive, self._send = scope, receive, send
        self._init_headers: dict[str, str] = {}  # from the first message
        self._operations: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        await self._receive()  # websocket.connect
        try:
            host = next((value.decode("latin-1") for name, value in self._scope["headers"] if name == b"host"), "")
            check_host(host, self._get_app().allowed_hosts)
        except SizewiseError:
            return await self._send({"type": "websocket.close"})  # closing before accept answers 403
        known = PROTOCOL in self._scope["subprotocols"]
        traced = [(b"x-request-id", new_trace_id().encode())]
        await self._send({"type": "websocket.accept", "subprotocol": PROTOCOL if known else None, "headers": traced})
        try:
            if not known:
                raise ConnectionClosed(4406, "Subprotocol not acceptable")
            await self._accept()
        except ConnectionClosed as end:
            if end.code != CLIENT_LEFT:
                with suppress(OSError):  # the client has left already
                    await self._send({"type": "websocket.close", "code": end.code, "reason": end.reason})

    async def _accept(self) -> None:
        try:
            async with asyncio.timeout(INIT_TIMEOUT_S):
                first = await self._next_message()
        except TimeoutError:
            raise ConnectionClosed(4408, "Connection initialisation timeout") from None
        if first.type != "connection_init":
            raise ConnectionClosed(4401 if first.type == "subscribe" else 4400, "Unauthorized")
        payload = _payload(first)
        self._init_headers = dict(init_headers(payload))
        app = self._get_app()
        try:
            principal = authenticate(app, self._keys, self._scope, self._init_headers)
        except SizewiseError as error:
            app.resources.metrics.count_rejection(error.code)
            raise ConnectionClosed(4403, "Forbidden") from None
        with RevocableStream(self._keys, principal) as attached:
            await self._send_message("connection_ack")
            await self._receive_messages(attached)

    async def _receive_messages(self, attached: RevocableStream) -> None:
        """Handles messages until the client leaves or its key is revoked or expires."""
        cut = asyncio.ensure_future(attached.revoked.wait())
        try:
            while True:
                hearing = asyncio.ensure_future(self._next_message())
                try:
                    await asyncio.wait({hearing, cut}, return_when=asyncio.FIRST_COMPLETED)
                    if cut.done():
                        await self._close_revoked(attached)
                    message = hearing.result()
                finally:
                    hearing.cancel()
                    await asyncio.wait({hearing})
                await self._handle(message)
        finally:
            cut.cancel()
            await self._cancel_operations()

    async def _close_revoked(self, attached: RevocableStream) -> None:
        for id in await self._cancel_operations():
            await self._send_message("error", id, [format_error(attached.error)])
        raise ConnectionClosed(4403, "Forbidden")

    async def _cancel_operations(self) -> list[str]:
        """Cancels all operations, waits until they have ended, and returns their ids."""
        running = dict(self._operations)
        for task in running.values():
            task.cancel()
        if running:
            await asyncio.wait(running.values())
        return list(running)

    async def _handle(self, message: SocketMessage) -> None:
        if message.type == "ping":
            await self._send_message("pong")
        elif message.type == "subscribe":
            if not message.id or len(message.id) > 200:
                raise ConnectionClosed(4400, "An id is missing, or too long")
            if message.id in self._operations:
                raise ConnectionClosed(4409, f"Subscriber for {message.id[:60]} already exists")
            task = asyncio.ensure_future(self._run_operation(message))
            self._operations[message.id] = task
            task.add_done_callback(lambda _, id=message.id: self._operations.pop(id, None))  # type: ignore[misc]  # id
        elif message.type == "complete":
            if (stopped := self._operations.get(message.id)) is not None:
                stopped.cancel()
                await asyncio.wait({stopped})
        elif message.type == "connection_init":
            raise ConnectionClosed(4429, "Too many initialisation requests")
        elif message.type != "pong":
            raise ConnectionClosed(4400, "Unknown message")

    async def _run_operation(self, message: SocketMessage) -> None:
        """Runs one operation to its end, as a task that is never awaited for its error; so it reports the error."""
        trace = new_trace_id()
        work = asyncio.ensure_future(self._execute(message, trace))
        try:
            await asyncio.wait({work})
        finally:
            work.cancel()
            await asyncio.wait({work})
        error = None if work.cancelled() else work.exception()
        if error is not None and not isinstance(error, ConnectionClosed):
            with suppress(ConnectionClosed):
                await self._send_message("error", message.id, [format_exception(error, trace)])

    async def _execute(self, message: SocketMessage, trace: str) -> None:
        app = self._get_app()
        if len(self._operations) > app.settings.graphql.max_subscriptions:
            most = app.settings.graphql.max_subscriptions
            raise Busy(f"{most} operations are in progress on this connection", "wait until an operation ends")
        principal = authenticate(app, self._keys, self._scope, self._init_headers)
        question = parse_request(b"{}" if message.payload is UNSET else message.payload)
        execute = await self._load_executor()
        answer = await execute(
            question,
            RequestContext(
                get_app=self._get_app,
                reload=self._reload,
                app=app,
                services=self._services,
                principal=principal,
                trace=trace,
            ),
            streams=True,
        )
        if isinstance(answer, ResponseStream):
            async with aclosing(answer.events) as events:
                async for shown in events:
                    await self._send_message("next", message.id, shown)
        elif answer[0] != 200 and "data" not in answer[1]:  # invalid request: nothing was executed
            return await self._send_message("error", message.id, answer[1]["errors"])
        else:
            await self._send_message("next", message.id, answer[1])
        await self._send_message("complete", message.id)

    async def _next_message(self) -> SocketMessage:
        """Raises ConnectionClosed for an invalid message, or if the client has left."""
        came = await self._receive()
        if came["type"] == "websocket.disconnect":
            raise ConnectionClosed(CLIENT_LEFT)
        try:
            return msgspec.json.decode(came.get("text") or came.get("bytes") or b"", type=SocketMessage)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ConnectionClosed(4400, "Invalid message") from None

    async def _send_message(self, type: str, id: str = "", payload: object = None) -> None:
        """Waits while the client reads slowly. Raises ConnectionClosed if it has left."""
        message: dict[str, object] = {"type": type}
        if id:
            message["id"] = id
        if payload is not None:
            message["payload"] = payload
        try:
            await self._send({"type": "websocket.send", "text": msgspec.json.encode(message).decode()})
        except OSError as error:
            raise ConnectionClosed(CLIENT_LEFT) from error


def _payload(message: SocketMessage) -> OperationResult | None:
    if message.payload is UNSET:
        return None
    try:
        return msgspec.json.decode(message.payload, type=dict[str, object] | None)
    except (msgspec.DecodeError, RecursionError):
        raise ConnectionClosed(4400, "Invalid message") from None
