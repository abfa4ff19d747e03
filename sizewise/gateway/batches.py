"""/v1/batches: creates, lists, shows and cancels batches of the caller's project, in OpenAI's format; runs none."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from sizewise.app.application import Application
from sizewise.auth.browser_security import client_address
from sizewise.auth.key_scope import check_scope
from sizewise.batches.batch_store import BatchContent, BatchStore, StoredBatch, now_ms
from sizewise.batches.tables import BatchRow
from sizewise.errors import BadBody, BadRequest, Conflict, PathNotFound, did_you_mean
from sizewise.gateway.batch_request import BATCH_ENDPOINTS
from sizewise.gateway.body_reading import read_known_body
from sizewise.gateway.eval_bodies import body_digest, check_same, new_id
from sizewise.gateway.file_search_bodies import check_metadata
from sizewise.gateway.file_upload import BATCH_DAYS
from sizewise.gateway.list_page import read_list_query
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.vector_stores import send_json, send_page
from sizewise.money import format_dollars
from sizewise.principal import Principal
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage

Json = dict[str, Any]
ENDPOINT = "batches"
PREFIX = "batch_"
MAX_LIMIT, DEFAULT_LIMIT = 100, 20
PURPOSE = "batch"
WINDOW = re.compile(r"(\d{1,3})h")
WINDOW_HOURS = (1, 168)
TIMES = ("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")
OWN_OPTIONS = ("idempotency-key", "max-cost-usd")
"""Of the batch, and not of each of its requests."""
Ids = Mapping[str, str]


class OutputExpiry(Struct):
    """Seconds from the creation of the result files."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3_600, le=2_592_000)]


class BatchCreation(Struct, kw_only=True):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: OutputExpiry | None = None
    sizewise: Any = None


_decoder = msgspec.json.Decoder(BatchCreation)


async def create(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/batches. Durable when this answers; its file is checked afterwards. Raises BadBody, PathNotFound for
    the file, Busy, and Conflict for an idempotency key of another request.
    """
    principal, queue = head.authorize(app, ENDPOINT), app.resources.services.batches
    asked, fields = read_known_body(_decoder, body)
    if asked.endpoint not in BATCH_ENDPOINTS:
        hint = f"{did_you_mean(asked.endpoint, list(BATCH_ENDPOINTS))} Possible are: {', '.join(BATCH_ENDPOINTS)}"
        raise BadBody(f"a batch cannot ask {asked.endpoint[:100]!r}", hint.strip(), param="endpoint")
    hours = _hours(asked.completion_window)
    options = parse_options(head.options, fields.get("sizewise"))
    address = client_address(head.peer_address, head.headers, app.settings.server.trusted_proxies)
    check_scope(principal, BATCH_ENDPOINTS[asked.endpoint].name, address)
    id, digest = new_id(PREFIX, principal, options.idempotency_key, secrets.token_hex(16)), body_digest(body)
    again = await queue.store.find(principal.tenant, principal.project, id)
    if again is None:
        await _check_file(app, principal, asked.input_file_id)
        now, kept = now_ms(), head.options | _own_options(fields.get("sizewise"))
        row = BatchRow(
            tenant=principal.tenant,
            project=principal.project,
            id=id,
            created=now,
            expires=now + hours * 3_600_000,
            caller=Caller(principal.key_id, principal.user_id),
        )
        content = BatchContent(
            endpoint=asked.endpoint,
            input_file=asked.input_file_id,
            window=asked.completion_window,
            metadata=check_metadata(asked.metadata),
            options={name: value for name, value in kept.items() if name not in OWN_OPTIONS},
            max_cost=options.max_cost,
            files_expire_s=asked.output_expires_after.seconds if asked.output_expires_after else BATCH_DAYS * 86_400,
            digest=digest,
            address=address,
        )
        try:
            await queue.submit(row, content)
        except Conflict:  # the same request at the same time
            again = await _find(queue.store, principal, id)
    if again is not None:
        check_same(again.content.digest, digest)
    await send_json(writer, head, batch_object(await _find(queue.store, principal, id)))


async def list_batches(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/batches, newest first. Raises BadRequest."""
    principal, store = head.authorize(app, ENDPOINT), app.resources.services.batches.store
    query = read_list_query(head.query_string, most=MAX_LIMIT, default=DEFAULT_LIMIT, cursors=("after",))
    after = (await _find(store, principal, query.after, "after")).row.number if query.after else None
    page = RowPage(query.newest_first, after, limit=query.limit + 1)
    found = await store.list_batches(principal.tenant, principal.project, page)
    await send_page(writer, head, query, [batch_object(each) for each in found])


async def get(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, store = head.authorize(app, ENDPOINT), app.resources.services.batches.store
    await send_json(writer, head, batch_object(await _find(store, principal, ids["body"])))


async def cancel(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/batches/{id}/cancel. Raises Conflict for one that has ended."""
    principal, queue = head.authorize(app, ENDPOINT), app.resources.services.batches
    stored = await _find(queue.store, principal, ids["body"])
    if not await queue.cancel(stored):
        stored = await _find(queue.store, principal, ids["body"])
        if stored.row.status not in ("cancelling", "cancelled"):
            message = f"the batch {stored.row.id!r} is {stored.row.status} and cannot be canceled"
            raise Conflict(message, f"its results: GET /v1/batches/{stored.row.id}")
    await send_json(writer, head, batch_object(await _find(queue.store, principal, ids["body"])))


def batch_object(stored: StoredBatch) -> Json:
    row, its = stored.row, stored.content
    counts = row.counts
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": its.endpoint,
        "errors": {"object": "list", "data": [_error(each) for each in its.errors]} if its.errors else None,
        "input_file_id": its.input_file,
        "completion_window": its.window,
        "status": row.status,
        "output_file_id": its.output_file or None,
        "error_file_id": its.error_file or None,
        "created_at": row.created // 1_000,
        "expires_at": row.expires // 1_000,
        **{name: its.times.get(name) for name in TIMES},
        "request_counts": {"total": row.total, "completed": counts.done - counts.failed, "failed": counts.failed},
        "usage": {
            "input_tokens": counts.input_tokens,
            "input_tokens_details": {"cached_tokens": counts.cached_tokens},
            "output_tokens": counts.output_tokens,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
            "total_tokens": counts.input_tokens + counts.output_tokens,
        },
        "metadata": its.metadata,
        "sizewise": {
            "cost_usd": format_dollars(row.cost),
            "max_cost_usd": None if its.max_cost is None else format_dollars(its.max_cost),
            "cut": None if its.cut is None else {"code": its.cut[0], "message": its.cut[1]},
        },
    }


def _error(error: Any) -> Json:
    return {"code": error.code, "message": error.message, "param": error.param, "line": error.line}


def _own_options(raw: msgspec.Raw | None) -> dict[str, str]:
    """The `sizewise` object of the body, as headers have it; its types are checked already."""
    said = (msgspec.json.decode(raw, type=dict[str, Any] | None) if raw is not None else None) or {}
    return {
        name.replace("_", "-"): ",".join(value) if isinstance(value, list) else str(value)
        for name, value in said.items()
        if value is not None and not isinstance(value, dict)
    }


def _hours(window: str) -> int:
    found = WINDOW.fullmatch(window)
    least, most = WINDOW_HOURS
    if found is None or not least <= int(found.group(1)) <= most:
        hint = f"use 24h, or another number of hours from {least} to {most}"
        raise BadBody(f"`completion_window` is {window[:50]!r}", hint, param="completion_window")
    return int(found.group(1))


async def _check_file(app: Application, principal: Principal, id: str) -> None:
    """Raises PathNotFound, BadRequest."""
    found = await app.resources.services.files.find(id, principal.tenant, principal.project)
    if found is None:
        hint = "upload it with POST /v1/files and `purpose` = batch"
        raise PathNotFound(f"there is no file {id[:100]!r}", hint, param="input_file_id")
    if found.purpose != PURPOSE:
        hint = "upload it again with `purpose` = batch"
        raise BadRequest(f"the purpose of the file {id[:100]!r} is {found.purpose!r}", hint, param="input_file_id")


async def _find(store: BatchStore, principal: Principal, id: str, param: str | None = None) -> StoredBatch:
    """Raises PathNotFound."""
    found = await store.find(principal.tenant, principal.project, id)
    if found is None:
        hint = "it was deleted or is another project's: list the batches with GET /v1/batches"
        raise PathNotFound(f"there is no batch {id[:100]!r}", hint, param=param)
    return found
