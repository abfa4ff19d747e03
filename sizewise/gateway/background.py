"""`background: true` of /v1/responses: accepts, cancels and follows background responses; runs none itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw

from sizewise.app.application import Application
from sizewise.auth.revocation import stopped_with_server
from sizewise.cache.background_responses import ActiveResponse, follow
from sizewise.cache.background_store import BackgroundRequest, now_ms
from sizewise.cache.background_tables import BackgroundRow
from sizewise.errors import BadRequest, SizewiseError
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import RequestOptions
from sizewise.principal import Principal
from sizewise.providers.wires.responses.request_in import ResponsesRequest
from sizewise.providers.wires.responses.response_object import ResponseEnvelope
from sizewise.providers.wires.responses.stream_out import ResponsesStreamWriter, error_event
from sizewise.providers.wires.sse import KEEP_ALIVE_COMMENT
from sizewise.storage.erasure import Caller

Json = dict[str, Any]
ELSEWHERE_POLL_S = 0.5

_encode = msgspec.json.Encoder().encode


def check_storable(asked: ResponsesRequest) -> None:
    """Raises BadRequest for `background` without `store`."""
    if not asked.should_store:
        raise BadRequest(
            "a response with `background: true` is stored, and `store` is false",
            "leave `store` out, or leave `background` out",
            param="background",
        )


async def submit(
    app: Application,
    head: RequestHead,
    principal: Principal,
    asked: ResponsesRequest,
    before: list[Raw],
    envelope: ResponseEnvelope,
    options: RequestOptions,
) -> ActiveResponse:
    """Accepted and durable when this returns. Raises Busy, EncryptionKeyUnavailable, StorageError."""
    row = BackgroundRow(
        tenant=principal.tenant,
        project=principal.project,
        id=envelope.id,
        created=now_ms(),
        caller=Caller(principal.key_id, principal.user_id),
    )
    request = BackgroundRequest(
        body=_encode(asked.raw_fields),
        context=_encode(before),
        options=options,
        created_at=envelope.created_at,
        trace=head.trace,
        previous_response_id=envelope.previous_response_id,
    )
    first = ResponsesStreamWriter(envelope).queued(asked.body.model)
    return await app.resources.services.background.submit(row, request, first)


async def stream_events(
    app: Application, active: ActiveResponse, after: int, head: RequestHead, writer: ResponseWriter
) -> None:
    """Writes the events after number `after` as they come. The response goes on if the client leaves, or may no longer
    read it.
    """
    keys, key_id = app.resources.services.api_keys.authenticator, head.principal.key_id if head.principal else ""
    await writer.start_stream([*SSE_HEADERS, *trace_headers(head.trace)])
    keep_alive = KeepAlive(writer, KEEP_ALIVE_COMMENT)
    keep_alive.start()
    try:
        with stopped_with_server(keys, key_id):
            async for data in follow(active, after):
                keep_alive.has_written = True
                await writer.write(data)
    except SizewiseError as error:
        await writer.write(error_event(error, len(active.log.events)))
    finally:
        keep_alive.stop()
    await writer.end_stream()


async def await_elsewhere(
    find: Callable[[], Awaitable[object | None]], head: RequestHead, writer: ResponseWriter
) -> None:
    """Starts a stream, and returns when a response that another server runs has ended: `find` finds it no more."""
    await writer.start_stream([*SSE_HEADERS, *trace_headers(head.trace)])
    keep_alive = KeepAlive(writer, KEEP_ALIVE_COMMENT)
    keep_alive.start()
    try:
        while await find() is not None:  # noqa: ASYNC110 - no event comes from another server
            await asyncio.sleep(ELSEWHERE_POLL_S)
    finally:
        keep_alive.stop()


async def write_queued(envelope: ResponseEnvelope, model: str, head: RequestHead, writer: ResponseWriter) -> None:
    shown = envelope.in_progress(model) | {"status": "queued"}
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], _encode(shown))
