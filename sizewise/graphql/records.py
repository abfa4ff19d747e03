"""Fields of request records; prompts and replies are decrypted only for callers who may read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from msgspec.structs import replace

from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, require_permission
from sizewise.errors import BadRequest
from sizewise.graphql.context import RequestContext, yielding_to_loop
from sizewise.graphql.keys import key_resource
from sizewise.graphql.model_type import FieldValues
from sizewise.messages import Usage
from sizewise.money import format_dollars
from sizewise.telemetry.spans import span_id
from sizewise.telemetry.tables import AttemptRow, RecordFilter, RecordWithAttempts, RequestRecord, split_tags
from sizewise.telemetry.trace_tree import TraceSpan, depths

MAX_TRACE_ROWS = 500
"""Rows charged for a trace."""


async def records(
    context: RequestContext,
    last: int = 20,
    model: str | None = None,
    status: int | None = None,
    since: int | None = None,
    trace: str | None = None,
    endpoint: str | None = None,
    session: str | None = None,
    end_user: str | None = None,
    tag: str | None = None,
    before: str | None = None,
) -> AsyncIterator[FieldValues]:
    """Raises BadRequest if `last` is not from 1 to 1,000, or `before` is no span id."""
    context.charge_rows(last)
    tenant, hashed = context.principal.tenant, ""
    if end_user:
        await context.services.end_users.load(tenant)
        hashed = context.services.end_users.hash(tenant, end_user)
    wanted = RecordFilter(
        tenant=tenant,
        model=model or "",
        status=status,
        since=since,
        trace=trace or "",
        project=_project(context),
        endpoint=endpoint or "",
        session=session or "",
        end_user=hashed,
        tag=tag or "",
        before=_record_id(before) if before else None,
    )
    found = await context.services.records.newest(wanted, last)
    return yielding_to_loop(_record(each) for each in found)


async def record(context: RequestContext, trace: str) -> list[FieldValues]:
    context.charge_rows(100)
    return [
        _detail_values(context, each)
        for each in await context.services.records.find_by_trace(
            trace,
            context.principal.tenant,
            _project(context),
        )
    ]


async def trace(context: RequestContext, id: str) -> FieldValues | None:
    """Null if there is none. `id`: whole."""
    context.charge_rows(MAX_TRACE_ROWS)
    found = await context.services.records.trace_spans(id, context.principal.tenant, _project(context))
    spans = [_span(each, depth) for each, depth in zip(found, depths(found), strict=True)]
    return {"id": id, "spans": spans} if spans else None


async def erase_records(context: RequestContext, key: str) -> FieldValues:
    """`key`: the id of a key that the caller can see. The id of a session or of an unknown key needs access to all
    projects. Writes to the audit log before it deletes anything, and after.
    """
    services, principal = context.services, context.principal
    found = next((each for each in await services.api_keys.list(principal.tenant) if each.id == key), None)
    require_permission(
        principal,
        "erase_records",
        key_resource(found)
        if found
        else Resource(principal.tenant if principal.all_projects else "", name=f"key:{key}"),
    )
    begun = audit_event(principal, principal.tenant, "erase_records", f"key:{key[:100]}")
    await services.audit_log.append(begun)
    gone = await services.records.delete_key_data(principal.tenant, key)
    after: dict[str, object] = {"records": gone.records, "contents": gone.payloads, "feedback": gone.feedback}
    await services.audit_log.append(replace(begun, after=after))
    return dict(after)


def _record_id(span: str) -> int:
    try:
        found = int(span, 16)
    except ValueError:
        found = -1
    if not 0 <= found < 1 << 63:
        raise BadRequest(f"`before` is {span[:32]!r}, no span id", "pass the `spanId` of a record")
    return found


def _project(context: RequestContext) -> str:
    """The only project whose records the caller may see; empty: all."""
    return "" if context.principal.all_projects else context.principal.project


def _detail_values(context: RequestContext, whole: RecordWithAttempts) -> FieldValues:
    """`contents` are decrypted only if requested."""
    found: FieldValues = {**_record(whole.record), "attempts": [_attempt(each) for each in whole.attempts]}
    return {**found, "contents": partial(_contents, context, whole.record)}


async def _contents(context: RequestContext, record: RequestRecord, info: object) -> FieldValues | None:
    """Each read is written to the audit log. Raises Forbidden without read_contents."""
    context.require("read_contents")
    services, principal = context.services, context.principal
    found = await services.records.payload(record.id, record.tenant)
    if found is None:
        return None
    await services.audit_log.append(
        audit_event(principal, principal.tenant, "read_contents", f"record:{record.trace}"),
    )
    return {"request": found.request, "response": found.response, "truncated": found.truncated}


def _span(span: TraceSpan, depth: int) -> FieldValues:
    costs = span.is_request or span.operation == "chat"
    return {
        "id": span.id,
        "parent": span.parent,
        "depth": depth,
        "operation": span.operation,
        "name": span.name,
        "kind": span.kind,
        "at": int(span.at),
        "totalMs": span.total_ms,
        "error": span.error,
        "model": span.model,
        "tokens": _tokens(span.usage) if costs else None,
        "costUsd": _cost(span.cost) if costs else None,
    }


def _record(record: RequestRecord) -> FieldValues:
    return {
        "trace": record.trace,
        "spanId": span_id(record.id),
        "at": record.at,
        "endpoint": record.door,
        "key": record.key,
        "project": record.project,
        "requestedModel": record.asked,
        "policy": record.policy,
        "model": record.model,
        "why": record.why,
        "status": record.status,
        "error": record.error,
        "stream": record.stream,
        "degraded": record.degraded,
        "freshness": record.freshness or "",
        "guardrails": record.guards,
        "dataClass": record.data_class,
        "tokens": _tokens(record),
        "costUsd": _cost(record.cost),
        "audioSeconds": None if record.audio_ms is None else record.audio_ms / 1000,
        "characters": record.characters,
        "images": record.images,
        "firstTokenMs": record.first_ms,
        "totalMs": record.total_ms,
        "attemptCount": record.attempts,
        "session": record.session,
        "endUser": record.end_user,
        "tags": split_tags(record.tags),
        "prompts": [] if record.prompt is None else [_prompt_use(record.prompt)],
        "parentSpan": record.parent_span,
        "attempts": None,
        "contents": None,
    }


def _prompt_use(prompt: str) -> FieldValues:
    id, _, version = prompt.partition("@")
    return {"id": id, "version": version}


def _attempt(attempt: AttemptRow) -> FieldValues:
    return {
        "number": attempt.number,
        "model": attempt.model,
        "place": attempt.place,
        "result": attempt.result,
        "why": attempt.why,
        "score": attempt.score,
        "error": attempt.error,
        "tokens": _tokens(attempt),
        "costUsd": _cost(attempt.cost),
        "startedMs": attempt.began_ms,
        "firstTokenMs": attempt.first_ms,
        "endedMs": attempt.ended_ms,
    }


def _tokens(row: RequestRecord | AttemptRow | Usage) -> FieldValues:
    return {
        "input": row.input,
        "output": row.output,
        "cached": row.cached,
        "cacheWrite": row.cache_write,
        "reasoning": row.reasoning,
        "estimated": row.estimated,
    }


def _cost(pico: int | None) -> str | None:
    return None if pico is None else format_dollars(pico)
