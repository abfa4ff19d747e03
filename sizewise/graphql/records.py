"""Fields of request records; prompts and replies are decrypted only for callers who may read them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, require_permission
from sizewise.energy import ESTIMATES, energy_words, watt_hours
from sizewise.errors import BadRequest
from sizewise.evals.scores.tables import ScoreRow
from sizewise.graphql.context import RequestContext, only_project, yielding_to_loop
from sizewise.graphql.keys import key_resource
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.scores import score_fields
from sizewise.messages import Usage
from sizewise.money import format_dollars
from sizewise.telemetry.record_queries import RecordFilter, id_at
from sizewise.telemetry.spans import span_id
from sizewise.telemetry.tables import AttemptRow, RequestRecord, split_tags
from sizewise.telemetry.trace_tree import TraceSpan, depths

T = TypeVar("T")

MAX_TRACE_ROWS = 500
"""Rows charged for a trace."""
TAIL_S = 0.5
"""Between two looks for new records."""
TAIL_ROWS = 50
TAIL_OVERLAP_MS = 10_000


async def records(
    context: RequestContext, filter: dict[str, object] | None = None, last: int = 20, before: str | None = None
) -> FieldValues:
    """Raises BadRequest if `last` is not from 1 to 1,000, or for a `before` that no page had."""
    context.charge_rows(last)
    criteria = await criteria_of(context, filter, RecordFilter)
    if criteria is None:
        return {"rows": [], "before": None, "scannedTo": None}
    page = await context.services.records.page(criteria, last, record_id(before))
    details = _Details(context, page.rows, with_contents=bool(criteria.trace))
    return {
        "rows": yielding_to_loop(details.record(each) for each in page.rows),
        "before": None if page.before is None else span_id(page.before),
        "scannedTo": page.scanned_to,
    }


async def record_added(
    context: RequestContext, filter: dict[str, object] | None = None
) -> AsyncGenerator[FieldValues, None]:
    """Those of the last TAIL_OVERLAP_MS, so that a reader misses none between a page and this, and each that comes."""
    context.charge_rows(TAIL_ROWS)
    return _added(context, await criteria_of(context, filter, RecordFilter))


async def _added(context: RequestContext, criteria: RecordFilter | None) -> AsyncGenerator[FieldValues, None]:
    """Looks back each time: another process may write a record later than a newer one of ours."""
    shown = set[int]()
    while True:
        since = time.time_ns() // 1_000_000 - TAIL_OVERLAP_MS
        found = list[RequestRecord]()
        if criteria is not None:
            looked = replace(criteria, since=max(since, criteria.since or 0))
            found = await context.services.records.newest(looked, TAIL_ROWS)
        fresh = [each for each in reversed(found) if each.id not in shown]
        shown = {each for each in shown if each >= id_at(since)} | {each.id for each in fresh}
        details = _Details(context, fresh, with_contents=False)
        for each in fresh:
            yield {"recordAdded": details.record(each)}
        await asyncio.sleep(TAIL_S)


async def trace(context: RequestContext, id: str) -> FieldValues | None:
    """Null if there is none. `id`: whole."""
    context.charge_rows(MAX_TRACE_ROWS)
    found = await context.services.records.trace_spans(id, context.principal.tenant, only_project(context))
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


class _Details:
    """Attempts, scores and contents of the records of a page, read only if requested; the former by one query each."""

    def __init__(self, context: RequestContext, records: Sequence[RequestRecord], with_contents: bool) -> None:
        self._context = context
        self._ids = [each.id for each in records]
        self._traces = sorted({each.trace for each in records})
        self._with_contents = with_contents
        self._attempts: asyncio.Future[dict[int, list[AttemptRow]]] | None = None
        self._scores: asyncio.Future[dict[str, list[ScoreRow]]] | None = None

    def record(self, record: RequestRecord) -> FieldValues:
        contents = partial(_contents, self._context, record) if self._with_contents else None
        lazily = {"attempts": partial(self._attempts_of, record.id), "scores": partial(self._scores_of, record)}
        return {**_record(record), **lazily, "contents": contents}

    async def _attempts_of(self, id: int, info: object) -> list[FieldValues]:
        if self._attempts is None:
            self._attempts = asyncio.ensure_future(self._context.services.records.attempts(self._ids))
        return [_attempt(each) for each in (await self._attempts).get(id, ())]

    async def _scores_of(self, record: RequestRecord, info: object) -> list[FieldValues]:
        """Those of the record's project."""
        if self._with_contents:
            await self._context.services.annotation.saw(self._context.principal, record.trace)
        if self._scores is None:
            of_traces = self._context.services.scores.of_traces
            self._scores = asyncio.ensure_future(of_traces(record.tenant, self._traces))
        span = span_id(record.id)
        return [
            score_fields(self._context, each)
            for each in (await self._scores).get(record.trace, ())
            if each.project == record.project and (each.kind == "trace" or each.target == span)
        ]


async def criteria_of(context: RequestContext, filter: dict[str, object] | None, kind: type[T]) -> T | None:
    """A filter of what the caller may see; None: nothing."""
    wanted = {name: value for name, value in (filter or {}).items() if value is not None}
    tenant, hashed = context.principal.tenant, ""
    if user := wanted.pop("end_user", ""):
        await context.services.end_users.load(tenant)
        hashed = context.services.end_users.hash(tenant, str(user))
    only, project = only_project(context), wanted.pop("project", "")
    if only and project not in ("", only):
        return None
    own = {"tenant": tenant, "project": only or project, "end_user": hashed}
    return msgspec.convert({**wanted, **own}, kind)


def record_id(before: str | None) -> int | None:
    """Raises BadRequest."""
    if before is None:
        return None
    if re.fullmatch(r"[0-9a-f]{16}", before) is None or before > "7fffffffffffffff":
        raise BadRequest(f"no page of records goes on at {before!r}", "pass `before` of the last page", param="before")
    return int(before, 16)


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
    await services.annotation.saw(principal, record.trace)
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
        "energy": _energy(record),
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
        "environment": record.environment,
        "release": record.release,
        "arm": record.arm,
        "parentSpan": record.parent_span,
        "flow": record.flow,
        "node": record.node,
        "agent": record.agent,
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
        "threshold": attempt.threshold,
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


def _energy(record: RequestRecord) -> FieldValues | None:
    if record.energy is None:
        return None
    sources = record.energy_source or 0
    return {
        "wh": watt_hours(record.energy),
        "estimated": bool(sources & ESTIMATES),
        "how": energy_words(sources),
    }


def _cost(pico: int | None) -> str | None:
    return None if pico is None else format_dollars(pico)
