"""/graphql over a WebSocket, as graphql-transport-ws has it: many questions on one connection; knows no GraphQL.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md; the codes of closing are those of its server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from starlette.types import Receive, Scope, Send

from sizewise.auth.browser_security import meant
from sizewise.auth.revocable_stream import Attached
from sizewise.errors import Busy, SizewiseError
from sizewise.graphql.authentication import enter, said
from sizewise.graphql.context import Context, Live, Reload
from sizewise.graphql.request import Execute, Shown, Stream, fault, new_trace, read, told

PROTOCOL = "graphql-transport-ws"
INIT_S = 10.0
"""Seconds that a client may take to say who it is."""


class Message(Struct):
    type: str
    id: str = ""
    payload: Raw | UnsetType = UNSET


class Closed(Exception):
    """The connection ends, with a code and why; code 0: the client has left."""

    def __init__(self, code: int, why: str = "") -> None:
        super().__init__(why)
        self.code, self.why = code, why


LEFT = 0


class Socket:
    """One connection. `loaded` gives the room that answers, as soon as it is there."""

    def __init__(
        self,
        house: Live,
        reload: Reload,
        loaded: Callable[[], Awaitable[Execute]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._house, self._reload, self._loaded = house, reload, loaded
        self._scope, self._receive, self._send = scope, receive, send
        self._said: dict[str, str] = {}  # by the first message
        self._running: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        await self._receive()  # websocket.connect
        try:
            host = next((value.decode("latin-1") for name, value in self._scope["headers"] if name == b"host"), "")
            meant(host, self._house().hosts)
        except SizewiseError:
            return await self._send({"type": "websocket.close"})  # before it is accepted: a 403
        known = PROTOCOL in self._scope["subprotocols"]
        await self._send({"type": "websocket.accept", "subprotocol": PROTOCOL if known else None})
        try:
            if not known:
                raise Closed(4406, "Subprotocol not acceptable")
            await self._greeted()
        except Closed as end:
            if end.code != LEFT:
                with suppress(OSError):  # it left by itself
                    await self._send({"type": "websocket.close", "code": end.code, "reason": end.why})

    async def _greeted(self) -> None:
        try:
            async with asyncio.timeout(INIT_S):
                first = await self._heard()
        except TimeoutError:
            raise Closed(4408, "Connection initialisation timeout") from None
        if first.type != "connection_init":
            raise Closed(4401 if first.type == "subscribe" else 4400, "Unauthorized")
        payload = _payload(first)
        self._said = dict(said(payload))
        house = self._house()
        try:
            caller = enter(house, self._scope, self._said)
        except SizewiseError as error:
            house.means.metrics.refused(error.code)
            raise Closed(4403, "Forbidden") from None
        with Attached(house.means.keeper.accounts.keys, caller) as attached:
            await self._tell("connection_ack")
            await self._attending(attached)

    async def _attending(self, attached: Attached) -> None:
        """Takes message after message until the client leaves, or its key ends."""
        cut = asyncio.ensure_future(attached.gone.wait())
        try:
            while True:
                hearing = asyncio.ensure_future(self._heard())
                try:
                    await asyncio.wait({hearing, cut}, return_when=asyncio.FIRST_COMPLETED)
                    if cut.done():
                        await self._cut(attached)
                    message = hearing.result()
                finally:
                    hearing.cancel()
                    await asyncio.wait({hearing})
                await self._taken(message)
        finally:
            cut.cancel()
            await self._stopped()

    async def _cut(self, attached: Attached) -> None:
        for id in await self._stopped():
            await self._tell("error", id, [told(attached.refusal)])
        raise Closed(4403, "Forbidden")

    async def _stopped(self) -> list[str]:
        """Stops what is under way, and waits until it has; the ids."""
        running = dict(self._running)
        for task in running.values():
            task.cancel()
        if running:
            await asyncio.wait(running.values())
        return list(running)

    async def _taken(self, message: Message) -> None:
        if message.type == "ping":
            await self._tell("pong")
        elif message.type == "subscribe":
            if not message.id or len(message.id) > 200:
                raise Closed(4400, "An id is missing, or too long")
            if message.id in self._running:
                raise Closed(4409, f"Subscriber for {message.id[:60]} already exists")
            task = asyncio.ensure_future(self._answered(message))
            self._running[message.id] = task
            task.add_done_callback(lambda _, id=message.id: self._running.pop(id, None))  # type: ignore[misc]  # id
        elif message.type == "complete":
            if (stopped := self._running.get(message.id)) is not None:
                stopped.cancel()
                await asyncio.wait({stopped})
        elif message.type == "connection_init":
            raise Closed(4429, "Too many initialisation requests")
        elif message.type != "pong":
            raise Closed(4400, "Unknown message")

    async def _answered(self, message: Message) -> None:
        """One question to its end, in a task of its own; nobody looks at what it raises, so that is told here."""
        trace = new_trace()
        work = asyncio.ensure_future(self._answering(message, trace))
        try:
            await asyncio.wait({work})
        finally:
            work.cancel()
            await asyncio.wait({work})
        error = None if work.cancelled() else work.exception()
        if error is not None and not isinstance(error, Closed):
            with suppress(Closed):
                await self._tell("error", message.id, [fault(error, trace)])

    async def _answering(self, message: Message, trace: str) -> None:
        house = self._house()
        if len(self._running) > house.settings.graphql.max_subscriptions:
            most = house.settings.graphql.max_subscriptions
            raise Busy(f"{most} operations are in progress on this connection", "wait for one of them to end")
        caller = enter(house, self._scope, self._said)
        question = read(b"{}" if message.payload is UNSET else message.payload)
        execute = await self._loaded()
        answer = await execute(question, Context(self._house, self._reload, house, caller, trace), streams=True)
        if isinstance(answer, Stream):
            async with aclosing(answer.events) as events:
                async for shown in events:
                    await self._tell("next", message.id, shown)
        elif answer[0] != 200 and "data" not in answer[1]:  # not well formed: nothing was answered
            return await self._tell("error", message.id, answer[1]["errors"])
        else:
            await self._tell("next", message.id, answer[1])
        await self._tell("complete", message.id)

    async def _heard(self) -> Message:
        """Raises Closed for what is no message of this protocol, and where the client has left."""
        came = await self._receive()
        if came["type"] == "websocket.disconnect":
            raise Closed(LEFT)
        try:
            return msgspec.json.decode(came.get("text") or came.get("bytes") or b"", type=Message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Closed(4400, "Invalid message") from None

    async def _tell(self, type: str, id: str = "", payload: object = None) -> None:
        """Waits while the client reads slowly. Raises Closed where it has left."""
        message: dict[str, object] = {"type": type}
        if id:
            message["id"] = id
        if payload is not None:
            message["payload"] = payload
        try:
            await self._send({"type": "websocket.send", "text": msgspec.json.encode(message).decode()})
        except OSError as error:
            raise Closed(LEFT) from error


def _payload(message: Message) -> Shown | None:
    if message.payload is UNSET:
        return None
    try:
        return msgspec.json.decode(message.payload, type=dict[str, object] | None)
    except (msgspec.DecodeError, RecursionError):
        raise Closed(4400, "Invalid message") from None
