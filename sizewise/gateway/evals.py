"""/v1/evals: creates, lists, shows, changes and deletes evals of the caller's project, in OpenAI's format."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from msgspec import UnsetType
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import BadRequest, Conflict, PathNotFound
from sizewise.evals.hosted.eval_store import EvalDefinition, HostedEvalStore, StoredEval, now_ms
from sizewise.evals.hosted.tables import EvalRow
from sizewise.gateway.eval_bodies import (
    EVAL_PREFIX,
    EvalChange,
    EvalCreation,
    body_digest,
    check_same,
    eval_object,
    new_id,
    read_eval_body,
)
from sizewise.gateway.file_search_bodies import check_metadata
from sizewise.gateway.list_page import read_list_query
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.vector_stores import send_json, send_page
from sizewise.principal import Principal
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage

Json = dict[str, Any]
ENDPOINT = "evals"
Ids = Mapping[str, str]
"""The ids in a path: `body` is the eval's, `run` and `item` those below it."""
MAX_LIMIT, DEFAULT_LIMIT = 100, 20


async def create(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/evals. Raises BadBody; Conflict for an idempotency key of another request."""
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    asked, fields = read_eval_body(EvalCreation, body)
    key, digest, now = parse_options(head.options, fields.get("sizewise")).idempotency_key, body_digest(body), now_ms()
    id = new_id(EVAL_PREFIX, principal, key, secrets.token_hex(16))
    metadata = check_metadata(asked.metadata)
    made = EvalDefinition(
        name=asked.name or "", metadata=metadata, config=asked.config(), criteria=asked.criteria(), digest=digest
    )
    row = EvalRow(
        number=0, tenant=principal.tenant, project=principal.project, id=id, created=now, updated=now, sealed=b""
    )
    try:
        await store.insert_eval(row, made, Caller(principal.key_id, principal.user_id))
    except Conflict:
        check_same((await find_eval(store, principal, id)).definition.digest, digest)
    await send_json(writer, head, eval_object(await find_eval(store, principal, id)))


async def list_evals(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/evals. Raises BadRequest."""
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    query = read_list_query(
        head.query_string, "order_by", most=MAX_LIMIT, default=DEFAULT_LIMIT, cursors=("after",), order="asc"
    )
    if query.filters.get("order_by", "created_at") != "created_at":
        raise BadRequest("evals are ordered by `created_at` alone", "leave `order_by` out", param="order_by")
    after = (await find_eval(store, principal, query.after, "after")).row.number if query.after else None
    page = RowPage(query.newest_first, after, limit=query.limit + 1)
    found = await store.list_evals(principal.tenant, principal.project, page)
    await send_page(writer, head, query, [eval_object(each) for each in found])


async def get(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal = head.authorize(app, ENDPOINT)
    await send_json(writer, head, eval_object(await find_eval(store_of(app), principal, ids["body"])))


async def modify(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/evals/{id}: its name and metadata; fields that are missing keep their value."""
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    change, _ = read_eval_body(EvalChange, body)
    stored = await find_eval(store, principal, ids["body"])
    was = stored.definition
    metadata = was.metadata if isinstance(change.metadata, UnsetType) else check_metadata(change.metadata)
    name = was.name if change.name is None else change.name
    await store.update_eval(replace(stored, definition=replace(was, name=name, metadata=metadata)))
    await send_json(writer, head, eval_object(await find_eval(store, principal, ids["body"])))


async def delete(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """DELETE /v1/evals/{id}, with its runs; those that run are stopped."""
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    stored = await find_eval(store, principal, ids["body"])
    queue, row = app.resources.services.eval_runs, stored.row
    page = RowPage(limit=MAX_LIMIT)
    while runs := await store.list_runs(row.tenant, row.project, row.id, page):
        for each in runs:
            await queue.delete(each.row)
    await store.delete_eval(stored)
    await send_json(writer, head, {"object": "eval.deleted", "deleted": True, "eval_id": row.id})


def store_of(app: Application) -> HostedEvalStore:
    return app.resources.services.eval_runs.store


async def find_eval(store: HostedEvalStore, principal: Principal, id: str, param: str | None = None) -> StoredEval:
    """Raises PathNotFound."""
    found = await store.find_eval(principal.tenant, principal.project, id)
    if found is None:
        hint = "it was deleted or is another project's: list the evals with GET /v1/evals"
        raise PathNotFound(f"there is no eval {id[:100]!r}", hint, param=param)
    return found
