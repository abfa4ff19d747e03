"""/v1/evals/{id}/runs: starts, lists, shows, cancels and deletes runs, and shows their output items; runs none."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import Conflict, PathNotFound
from sizewise.evals.hosted.data_sources import read_source, shown_source
from sizewise.evals.hosted.eval_store import HostedEvalStore, RunContent, StoredRun, now_ms
from sizewise.evals.hosted.tables import RunRow
from sizewise.gateway.eval_bodies import (
    RUN_PREFIX,
    EvalRunCreation,
    body_digest,
    check_same,
    item_object,
    item_position,
    new_id,
    read_eval_body,
    run_object,
)
from sizewise.gateway.eval_data import load_rows
from sizewise.gateway.evals import DEFAULT_LIMIT, ENDPOINT, MAX_LIMIT, Ids, find_eval, store_of
from sizewise.gateway.file_search_bodies import check_metadata
from sizewise.gateway.list_page import read_list_query
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.vector_stores import send_json, send_page
from sizewise.principal import Principal
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage

ITEM_STATUSES: Mapping[str, str] = {"pass": "pass", "fail": "fail", "failed": "fail", "error": "error"}
"""What a list of output items may be filtered by -> what is stored."""


async def create(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/evals/{id}/runs. Queued and durable when this answers. Raises BadBody, BadRequest with the row that is
    wrong, Busy, and Conflict for an idempotency key of another request.
    """
    principal, queue = head.authorize(app, ENDPOINT), app.resources.services.eval_runs
    stored = await find_eval(queue.store, principal, ids["body"])
    asked, fields = read_eval_body(EvalRunCreation, body)
    options = parse_options(head.options, fields.get("sizewise"))
    id = new_id(RUN_PREFIX, principal, options.idempotency_key, secrets.token_hex(16))
    digest = body_digest(stored.row.id.encode() + body)
    again = await queue.store.find_run(principal.tenant, principal.project, id)
    if again is None:
        source = read_source(fields["data_source"])
        rows, options = await load_rows(app, principal, source, stored.definition.config, options)
        row = RunRow(
            tenant=principal.tenant,
            project=principal.project,
            eval=stored.row.id,
            id=id,
            created=now_ms(),
            caller=Caller(principal.key_id, principal.user_id),
        )
        content = RunContent(
            name=asked.name or "",
            metadata=check_metadata(asked.metadata),
            source=msgspec.json.encode(shown_source(fields["data_source"])),
            criteria=stored.definition.criteria,
            model=source.model,
            options=replace(options, idempotency_key=None),
            trace=head.trace,
            digest=digest,
        )
        try:
            await queue.submit(row, content, rows)
        except Conflict:  # the same request at the same time
            again = await _find(queue.store, principal, stored.row.id, id)
    if again is not None:
        check_same(again.content.digest, digest)
    await _show(app, head, await _find(queue.store, principal, stored.row.id, id), writer)


async def list_runs(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/evals/{id}/runs. Raises BadRequest, PathNotFound."""
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    eval = (await find_eval(store, principal, ids["body"])).row.id
    query = read_list_query(
        head.query_string, "status", most=MAX_LIMIT, default=DEFAULT_LIMIT, cursors=("after",), order="asc"
    )
    after = (await _find(store, principal, eval, query.after, "after")).row.number if query.after else None
    page = RowPage(query.newest_first, after, limit=query.limit + 1)
    status = query.filters.get("status", "")
    found = await store.list_runs(principal.tenant, principal.project, eval, page, status=status)
    await send_page(writer, head, query, [run_object(each, app.settings.server.url) for each in found])


async def get(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    await _show(app, head, await _find(store, principal, ids["body"], ids["run"]), writer)


async def cancel(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/evals/{id}/runs/{run}, or its /cancel. One that has ended stays as it is."""
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    stored = await _find(store, principal, ids["body"], ids["run"])
    await app.resources.services.eval_runs.cancel(stored.row)
    await _show(app, head, await _find(store, principal, ids["body"], ids["run"]), writer)


async def delete(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    stored = await _find(store, principal, ids["body"], ids["run"])
    await app.resources.services.eval_runs.delete(stored.row)
    await send_json(writer, head, {"object": "eval.run.deleted", "deleted": True, "run_id": stored.row.id})


async def list_items(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/evals/{id}/runs/{run}/output_items, in the order of the data. Raises BadRequest, PathNotFound."""
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    run = await _find(store, principal, ids["body"], ids["run"])
    query = read_list_query(
        head.query_string, "status", most=MAX_LIMIT, default=DEFAULT_LIMIT, cursors=("after",), order="asc"
    )
    after = item_position(run.row, query.after) if query.after else None
    said = query.filters.get("status", "")
    page = RowPage(query.newest_first, after, limit=query.limit + 1)
    found = await store.list_items(run.row, page, status=ITEM_STATUSES.get(said, said))
    await send_page(writer, head, query, [item_object(run, each) for each in found])


async def get_item(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, store = head.authorize(app, ENDPOINT), store_of(app)
    run = await _find(store, principal, ids["body"], ids["run"])
    found = await store.find_item(run.row, item_position(run.row, ids["item"]))
    if found is None:
        hint = f"list them with GET /v1/evals/{run.row.eval}/runs/{run.row.id}/output_items"
        raise PathNotFound(f"the run has no output item {ids['item'][:100]!r}", hint)
    await send_json(writer, head, item_object(run, found))


async def _find(
    store: HostedEvalStore, principal: Principal, eval: str, id: str, param: str | None = None
) -> StoredRun:
    """Raises PathNotFound."""
    found = await store.find_run(principal.tenant, principal.project, id)
    if found is None or found.row.eval != eval:
        hint = f"it was deleted, or is another eval's: list them with GET /v1/evals/{eval[:100]}/runs"
        raise PathNotFound(f"there is no eval run {id[:100]!r}", hint, param=param)
    return found


async def _show(app: Application, head: RequestHead, run: StoredRun, writer: ResponseWriter) -> None:
    await send_json(writer, head, run_object(run, app.settings.server.url))
