"""/v1/responses/{id}: reads, streams, cancels and deletes a stored or unfinished response; asks no model."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from sizewise.app.application import Application
from sizewise.cache.background_responses import ActiveResponse, BackgroundResponses
from sizewise.cache.background_store import BackgroundRequest
from sizewise.cache.background_tables import BackgroundRow
from sizewise.cache.event_log import decompress_events
from sizewise.cache.stored_responses import StoredResponse
from sizewise.errors import BadRequest
from sizewise.gateway.background import await_elsewhere, stream_events
from sizewise.gateway.background_runner import BackgroundJob
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.request_head import RequestHead, RouteHandler
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.gateway.responses_query import ItemQuery, StreamQuery, read_query
from sizewise.gateway.responses_storage import PrincipalResponses, input_item_page
from sizewise.offload.offload import LONG_BYTES
from sizewise.principal import Principal
from sizewise.providers.wires.responses.replay import response_events

Unfinished = tuple[BackgroundRow, BackgroundRequest]


class PrincipalResponse:
    """One response that this principal can access, finished or not."""

    def __init__(self, app: Application, head: RequestHead, id: str) -> None:
        """Raises InvalidApiKey or Forbidden."""
        services = app.resources.services
        self.principal: Principal = head.authorize(app, "responses")
        self.background: BackgroundResponses = services.background
        self.responses = PrincipalResponses(services.stored_responses, self.principal, self.background)
        self.id = id

    @property
    def active(self) -> ActiveResponse | None:
        return self.background.find_active(self.id, self.principal.tenant, self.principal.project)

    async def find(self) -> StoredResponse | Unfinished:
        """Raises PathNotFound."""
        found = await self.responses.find(self.id)
        if found is None:
            row = await self.unfinished()
            return row if row is not None else await self.responses.get(self.id)  # it may have ended in between
        return found

    async def unfinished(self) -> Unfinished | None:
        return await self.background.store.find(self.id, self.principal.tenant, self.principal.project)

    async def exists(self) -> bool:
        found = self.active or await self.unfinished() or await self.responses.find(self.id)
        return found is not None

    async def get(self) -> StoredResponse:
        """The response as it is now. Raises PathNotFound."""
        found = await self.find()
        return found if isinstance(found, StoredResponse) else _as_stored(*found)


def _as_stored(row: BackgroundRow, request: BackgroundRequest) -> StoredResponse:
    return BackgroundJob(ActiveResponse(row), request).shown(row.status)


async def retrieve(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/responses/{id}: `body` is the id from the path. With `stream=true` its events. Raises PathNotFound."""
    mine = PrincipalResponse(app, head, body.decode("utf-8", "replace"))
    await show(app, head, mine, read_query(head.query_string, StreamQuery), writer)


async def show(
    app: Application, head: RequestHead, mine: PrincipalResponse, query: StreamQuery, writer: ResponseWriter
) -> None:
    """The response as it is now, or its events. Raises PathNotFound."""
    if not query.stream:
        return await writer.send_response(200, [JSON, *trace_headers(head.trace)], (await mine.get()).body)
    active = mine.active
    if active is not None:
        return await stream_events(app, active, query.starting_after, head, writer)
    found = await mine.find()
    if isinstance(found, StoredResponse):
        return await _replay(app, found, query.starting_after, head, writer)
    await await_elsewhere(mine.unfinished, head, writer)
    stored = await mine.get()
    await _replay(app, stored, query.starting_after, head, writer)


async def _replay(
    app: Application, stored: StoredResponse, after: int, head: RequestHead, writer: ResponseWriter
) -> None:
    size = len(stored.body) + LONG_BYTES * bool(stored.events)
    events = await app.resources.offload.run(size, _events_of, stored)
    if not writer.has_started:
        await writer.start_stream([*SSE_HEADERS, *trace_headers(head.trace)])
    rest = b"".join(events[after + 1 :])
    if rest:
        await writer.write(rest)
    await writer.end_stream()


def _events_of(stored: StoredResponse) -> list[bytes]:
    if stored.events:
        return decompress_events(stored.events)
    return response_events(msgspec.json.decode(stored.body, type=dict[str, Any]))


async def delete(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """DELETE /v1/responses/{id}; an unfinished one stops. Raises PathNotFound."""
    mine = PrincipalResponse(app, head, body.decode("utf-8", "replace"))
    found = await mine.find()
    if isinstance(found, StoredResponse) or not await mine.background.delete(found[0]):
        await mine.responses.delete(mine.id)
    gone = {"id": mine.id, "object": "response", "deleted": True}
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], msgspec.json.encode(gone))


async def input_items(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/responses/{id}/input_items: a page of the items before the response. Raises PathNotFound, BadRequest."""
    mine = PrincipalResponse(app, head, body.decode("utf-8", "replace"))
    query = read_query(head.query_string, ItemQuery)
    stored = await mine.get()
    shown = input_item_page(stored, query)
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], msgspec.json.encode(shown))


def cancel(id: str) -> RouteHandler:
    """The handler of POST /v1/responses/{id}/cancel."""
    return partial(_cancel, id)


async def _cancel(id: str, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """Idempotent: one that has ended is returned as it is. Raises PathNotFound, BadRequest (not in the background)."""
    mine = PrincipalResponse(app, head, id)
    found = await mine.find()
    if not isinstance(found, StoredResponse):
        await mine.background.cancel(*found)
        found = await mine.get()
    elif not _is_background(found):
        raise BadRequest(
            f"the response {id!r} was not created with `background: true`",
            "only those can be cancelled; close the connection of any other",
        )
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], found.body)


class _Shown(msgspec.Struct):
    background: bool | None = None


def _is_background(stored: StoredResponse) -> bool:
    return msgspec.json.decode(stored.body, type=_Shown).background is True
