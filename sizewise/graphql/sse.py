"""Subscriptions over server-sent events, as in the graphql-sse protocol (one connection per operation).

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md, "distinct connections mode".
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.types import Receive, Send

from sizewise.auth.revocable_stream import RevocableStream
from sizewise.graphql.request import OperationResult, ResponseStream, format_error, format_exception
from sizewise.providers.wires import sse

EVENT_STREAM = "text/event-stream"
"""In the `accept` header of a client that can read a stream."""
KEEP_ALIVE_S = 15.0
COMPLETE_EVENT = b"event: complete\ndata: \n\n"
KEEP_ALIVE_COMMENT = b":\n\n"


async def send_event_stream(
    stream: ResponseStream,
    revocable: RevocableStream,
    trace: str,
    receive: Receive,
    send: Send,
) -> None:
    """Writes as fast as the client reads. A disconnect stops the work; so does a revoked key, which is reported."""
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache, no-transform, no-store"),
        (b"x-accel-buffering", b"no"),  # for proxies that would buffer
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    writing = asyncio.ensure_future(_written(stream, send))
    leaving, cut = asyncio.ensure_future(wait_for_disconnect(receive)), asyncio.ensure_future(revocable.revoked.wait())
    try:
        while not writing.done():
            wanted: set[asyncio.Future[Any]] = {writing, leaving, cut}
            done, _ = await asyncio.wait(wanted, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await _write(send, KEEP_ALIVE_COMMENT)
            elif writing not in done:
                writing.cancel()
                await asyncio.wait({writing})
        if leaving.done():
            return
        if cut.done():
            await _write(send, encode_event({"errors": [format_error(revocable.error)]}))
        elif (error := writing.exception()) is not None:
            await _write(send, encode_event({"errors": [format_exception(error, trace)]}))
        await _write(send, COMPLETE_EVENT, more=False)
    finally:
        for each in (writing, leaving, cut):
            each.cancel()
        await asyncio.wait({writing, leaving, cut})


async def _written(stream: ResponseStream, send: Send) -> None:
    async with aclosing(stream.events) as events:
        async for shown in events:
            await _write(send, encode_event(shown))


def encode_event(shown: OperationResult) -> bytes:
    return sse.encode_event(msgspec.json.encode(shown), "next")


async def _write(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
