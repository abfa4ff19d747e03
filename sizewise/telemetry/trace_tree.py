"""A trace as one list of spans: of flows, agents, tools and retrieval, of model requests, and of their attempts.

Records and attempts are spans already, so nothing is stored twice: the ids of attempts are made from their record's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b

from msgspec import Struct

from sizewise.messages import Usage
from sizewise.telemetry.span_tables import SpanRow
from sizewise.telemetry.spans import span_id
from sizewise.telemetry.tables import AttemptRow, RecordWithAttempts, RequestRecord


class TraceSpan(Struct, frozen=True):
    """`id`, `parent`: 16 hex digits. `parent`: empty, or a span that the trace does not have: it is the client's.

    `operation`: as of OpenTelemetry's conventions; `request`: a request to this server, whose attempts are `chat` or
    the like. `at`: unix ms. `cost`: pico-dollars, None if unknown or none.
    """

    id: str
    parent: str
    operation: str
    name: str
    kind: str
    at: float
    total_ms: float
    error: str = ""
    model: str = ""
    usage: Usage = Usage()
    cost: int | None = None
    is_request: bool = False


def trace_spans(records: Sequence[RecordWithAttempts], spans: Sequence[SpanRow]) -> list[TraceSpan]:
    """In the order of their begin, and each behind its parent."""
    found = [*map(step_span, spans), *(span for whole in records for span in record_spans(whole))]
    below: dict[str, list[TraceSpan]] = {}
    ids = {each.id for each in found}
    for each in sorted(found, key=lambda span: (span.at, span.id)):
        below.setdefault(each.parent if each.parent in ids else "", []).append(each)
    return list(_walk(below))


def depths(spans: Sequence[TraceSpan]) -> Iterator[int]:
    """The depth of each span in its tree, 0 at the root."""
    known: dict[str, int] = {}
    for span in spans:
        known[span.id] = known.get(span.parent, -1) + 1
        yield known[span.id]


def _walk(below: dict[str, list[TraceSpan]]) -> Iterator[TraceSpan]:
    """Without recursion: a chain can be long. Clients choose parents; spans of a circle come last."""
    waiting = below.pop("", [])[::-1]
    while waiting or below:
        span = waiting.pop() if waiting else below[next(iter(below))].pop()
        yield span
        waiting += below.pop(span.id, [])[::-1]
        below = below if waiting else {parent: left for parent, left in below.items() if left}


def step_span(row: SpanRow) -> TraceSpan:
    return TraceSpan(
        id=row.span,
        parent=row.parent_span or "",
        operation=row.operation,
        name=row.name,
        kind=row.kind,
        at=row.at,
        total_ms=row.total_ms,
        error=row.error,
    )


def record_spans(whole: RecordWithAttempts) -> Iterator[TraceSpan]:
    record = whole.record
    yield TraceSpan(
        id=span_id(record.id),
        parent=record.parent_span or "",
        operation="request",
        name=record.asked,
        kind=record.door,
        at=record.at,
        total_ms=record.total_ms,
        error=record.error,
        model=record.model,
        usage=_usage(record),
        cost=record.cost,
        is_request=True,
    )
    for attempt in whole.attempts:
        yield TraceSpan(
            id=attempt_span_id(record.id, attempt.number),
            parent=span_id(record.id),
            operation="chat",
            name=attempt.model,
            kind=attempt.result,
            at=record.at + attempt.began_ms,
            total_ms=attempt.ended_ms - attempt.began_ms,
            error=attempt.error,
            model=attempt.model,
            usage=_usage(attempt),
            cost=attempt.cost,
        )


def attempt_span_id(record: int, number: int) -> str:
    return blake2b(b"%d/%d" % (record, number), digest_size=8).hexdigest()


def _usage(row: RequestRecord | AttemptRow) -> Usage:
    return Usage(
        input=row.input,
        output=row.output,
        cached=row.cached,
        cache_write=row.cache_write,
        reasoning=row.reasoning,
        estimated=row.estimated,
    )
