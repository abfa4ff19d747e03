"""Fields of batches, the rows of `/v1/batches`: what is done, failed and left, at what cost; returns no content."""

from __future__ import annotations

from sizewise.auth.authorization import Resource, require_permission
from sizewise.batches.batch_store import BatchStore, StoredBatch
from sizewise.batches.sentence import batch_sentence
from sizewise.batches.tables import UNFINISHED
from sizewise.errors import BadRequest, Conflict, PathNotFound
from sizewise.graphql.context import RequestContext, only_project
from sizewise.graphql.model_type import FieldValues
from sizewise.money import format_dollars
from sizewise.storage.row_pages import RowPage

MOST = 100


async def batches(
    context: RequestContext, first: int = 20, before: str = "", unfinished: bool | None = None
) -> list[FieldValues]:
    """Newest first. Raises BadRequest, PathNotFound for `before`."""
    if not 1 <= first <= MOST:
        raise BadRequest(f"`first` is {first}", f"use a number from 1 to {MOST}", param="first")
    context.charge_rows(first)
    after = (await _own(context, before)).row.number if before else None
    page = RowPage(after=after, limit=first)
    store = context.services.batches.store
    found = await store.list_batches(context.principal.tenant, _project(context), page, unfinished)
    return [await _batch(store, each) for each in found]


async def batch(context: RequestContext, id: str) -> FieldValues | None:
    store = context.services.batches.store
    found = await store.find(context.principal.tenant, _project(context), id)
    return None if found is None else await _batch(store, found)


async def cancel_batch(context: RequestContext, id: str) -> FieldValues:
    """Raises PathNotFound, Forbidden; Conflict for one that has ended."""
    stored = await _own(context, id)
    require_permission(context.principal, "ask", Resource(stored.row.tenant, stored.row.project))
    changed = await context.services.batches.cancel(stored)
    again = await _own(context, id)
    if not changed and again.row.status not in ("cancelling", "cancelled"):
        raise Conflict(f"the batch {id[:100]!r} is {again.row.status}", "only an unfinished batch can be canceled")
    return await _batch(context.services.batches.store, again)


def _project(context: RequestContext) -> str:
    """Empty: all. Who may only ask sees their own project's, as at `/v1/batches`."""
    return only_project(context) if "read_records" in context.principal.permissions else context.principal.project


async def _own(context: RequestContext, id: str) -> StoredBatch:
    """Raises PathNotFound."""
    found = await context.services.batches.store.find(context.principal.tenant, _project(context), id)
    if found is None:
        raise PathNotFound(f"there is no batch {id[:100]!r}", "list them: sizewise batches")
    return found


async def _batch(store: BatchStore, stored: StoredBatch) -> FieldValues:
    row, its = stored.row, stored.content
    by_code = await store.count_errors(row.id) if row.status in UNFINISHED else its.request_errors
    ended = [
        its.times[name] for name in ("completed_at", "failed_at", "expired_at", "cancelled_at") if name in its.times
    ]
    return {
        "id": row.id,
        "project": row.project,
        "status": row.status,
        "sentence": batch_sentence(stored),
        "endpoint": its.endpoint,
        "created": row.created,
        "expires": row.expires,
        "ended": ended[0] * 1_000 if ended else None,
        "total": row.total,
        "done": row.counts.done,
        "failed": row.counts.failed,
        "costUsd": format_dollars(row.cost),
        "maxCostUsd": None if its.max_cost is None else format_dollars(its.max_cost),
        "inputFile": its.input_file,
        "outputFile": its.output_file or None,
        "errorFile": its.error_file or None,
        "errors": [{"code": each.code, "message": each.message, "line": each.line} for each in its.errors],
        "requestErrors": [
            {"code": code, "count": by_code[code]} for code in sorted(by_code, key=lambda c: -by_code[c])
        ],
        "cut": None if its.cut is None else its.cut[1],
    }
