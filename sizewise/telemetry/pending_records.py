"""Pending records: the row that stands for a call with an idempotency key until its own record; counts no cost.

It is on disk before the call. Its deletion and the call's own record are one transaction, so at each moment there is
one or the other, and a crash during the call leaves the pending row: the error of a repeated request points to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from msgspec.structs import replace
from sqlalchemy import Connection, insert

from sizewise.errors import OutcomeUnknown
from sizewise.handler import Handler, Request, Send
from sizewise.messages import ChatRequest, Reply
from sizewise.storage.rows import RowGroup
from sizewise.telemetry.recorder import MAX_NAME_CHARS, request_data_class, requested_policy
from sizewise.telemetry.tables import ENDED_CALLS, PENDING_STATUS, RECORDS

PENDING_REASON = "the call was started and its end is not recorded: it is running, or the server stopped"


def insert_pending_record(connection: Connection, request: Request) -> None:
    """The row of `request`, with the id `request.pending_record`."""
    principal, payload = request.principal, request.payload
    row = {
        "id": request.pending_record,
        "tenant": principal.tenant,
        "project": principal.project,
        "key": principal.key_id,
        "trace": request.trace_id,
        "at": time.time_ns() // 1_000_000,
        "door": request.endpoint,
        "asked": payload.model[:MAX_NAME_CHARS],
        "policy": requested_policy(request)[:MAX_NAME_CHARS],
        "model": "",
        "why": PENDING_REASON,
        "status": PENDING_STATUS,
        "error": OutcomeUnknown.code,
        **dict.fromkeys(("attempts", "input", "output", "cached", "cache_write", "reasoning"), 0),
        "estimated": True,
        "total_ms": 0.0,
        "stream": isinstance(payload, ChatRequest) and payload.stream,
        "degraded": "",
        "data_class": request_data_class(request),
    }
    connection.execute(insert(RECORDS).values(row))


class PendingRecordMiddleware:
    """Middleware for handlers that are not recorded themselves, such as flows: only calls that were lost leave a row.

    RecordingMiddleware does the same for the requests that it records.
    """

    def __init__(self, handler: Handler, *, write: Callable[[RowGroup], None], record_ids: Iterator[int]) -> None:
        """`write` accepts rows without waiting. `record_ids`: the ids of this process."""
        self._handler = handler
        self._write = write
        self._record_ids = record_ids

    async def __call__(self, request: Request, send: Send) -> Reply:
        if request.options.idempotency_key is None:
            return await self._handler(request, send)
        pending = next(self._record_ids)
        try:
            return await self._handler(replace(request, pending_record=pending), send)
        finally:
            self._write(((ENDED_CALLS, ((pending,),)),))
