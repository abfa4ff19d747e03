"""Middleware that cancels an in-flight request when its key or session is revoked or expires, or the server stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sizewise.auth.authenticator import NEVER, Authenticator, InFlightRequest, server_stopping
from sizewise.handler import Handler, Request, Send
from sizewise.messages import Reply

AWAITED_ENDPOINTS = frozenset(
    {
        "chat",
        "messages",
        "responses",
        "completions",
        "moderations",
        "embeddings",
        "rerank",
        "decisions",
        "audio",
        "images",
    },
)
"""Endpoints whose clients are told when the server stops. Calls of runs and of documents are made again after it."""


class RevocationMiddleware:
    """Cancels the client's task: the model stops, and the attempt so far is recorded.

    A call with an idempotency key continues, as when a client disconnects: other clients may be waiting for it. A call
    of stored work that a session started continues when the session ends, as long as its user may ask.
    """

    def __init__(self, handler: Handler, authenticator: Authenticator) -> None:
        self._handler = handler
        self._authenticator = authenticator

    async def __call__(self, request: Request, send: Send) -> Reply:
        task = asyncio.current_task()
        assert task is not None
        keys = self._authenticator
        is_awaited = request.endpoint in AWAITED_ENDPOINTS
        if is_awaited and keys.is_stopping:
            raise server_stopping()
        caller = request.principal
        lasting = caller if caller.outlives_session else None
        mine = InFlightRequest(caller.key_id, task, lasting_caller=lasting, is_awaited=is_awaited)
        keys.in_flight.add(mine)
        until = NEVER if lasting else keys.expires_at(mine.id)
        alarm = None
        if until != NEVER:
            alarm = asyncio.get_running_loop().call_later(max(0.0, until - time.time()), mine.revoke)
        try:
            return await self._handler(request, send)
        except asyncio.CancelledError:
            if mine.stop_error is None or task.uncancel() > 0:
                raise
            raise mine.stop_error from None
        finally:
            if alarm is not None:
                alarm.cancel()
            keys.in_flight.discard(mine)
            del task, mine  # break the cycle of task and traceback


@contextmanager
def stopped_with_server(authenticator: Authenticator, key_id: str) -> Iterator[None]:
    """Around what a client waits for outside of the middleware. Raises ServerStopping at the end of the drain."""
    task = asyncio.current_task()
    assert task is not None
    mine = InFlightRequest(key_id, task)
    authenticator.in_flight.add(mine)
    try:
        yield
    except asyncio.CancelledError:
        if mine.stop_error is None or task.uncancel() > 0:
            raise
        raise mine.stop_error from None
    finally:
        authenticator.in_flight.discard(mine)
        del task, mine
