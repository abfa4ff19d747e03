"""Records as events of Langfuse's ingestion API: a trace, a span per request, generations, scores; sends nothing.

Source: https://api.reference.langfuse.com/#tag/ingestion. Ids are those of our spans, so that what is sent twice is
there once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sizewise.money import format_dollars
from sizewise.telemetry.spans import span_id
from sizewise.telemetry.tables import AttemptRow, RecordScore, RecordWithAttempts, RequestRecord, split_tags
from sizewise.telemetry.trace_tree import attempt_span_id

Event = dict[str, object]


def record_to_langfuse(whole: RecordWithAttempts) -> Iterator[Event]:
    record = whole.record
    yield _event("trace-create", f"{record.trace}-{span_id(record.id)}", record, _trace(record))
    yield _event("span-create", span_id(record.id), record, _request(record))
    for attempt in whole.attempts:
        id = attempt_span_id(record.id, attempt.number)
        yield _event("generation-create", id, record, _generation(record, attempt, id))
    for score in whole.scores:
        yield {
            **_event("score-create", f"{score.id}-{score.at}", record, _score(record, score)),
            "timestamp": _time(score.at),
        }


def _event(kind: str, id: str, record: RequestRecord, body: dict[str, object]) -> Event:
    """`id`: events with the same one are taken once."""
    return {
        "id": id,
        "type": kind,
        "timestamp": _time(record.at + record.total_ms),
        "body": {name: value for name, value in body.items() if value not in (None, "", [], {})},
    }


def _trace(record: RequestRecord) -> dict[str, object]:
    """A trace of several records is written again by each, with the same labels."""
    return {
        "id": record.trace,
        "timestamp": _time(record.at),
        "name": record.flow or record.agent or record.door,
        "userId": record.end_user,
        "sessionId": record.session,
        "tags": split_tags(record.tags),
        "metadata": {"project": record.project, "key": record.key},
    }


def _request(record: RequestRecord) -> dict[str, object]:
    return {
        "id": span_id(record.id),
        "traceId": record.trace,
        "parentObservationId": record.parent_span if record.flow or record.agent else None,  # else it is the client's
        "name": f"{record.door} {record.asked}",
        "startTime": _time(record.at),
        "endTime": _time(record.at + record.total_ms),
        **_level(record.error),
        "metadata": {
            "status": record.status,
            "policy": record.policy,
            "model": record.model,
            "why": record.why,
            "flow": record.flow,
            "node": record.node,
            "agent": record.agent,
        },
    }


def _generation(record: RequestRecord, attempt: AttemptRow, id: str) -> dict[str, object]:
    """Token classes that are parts of others are taken out of them: Langfuse adds all classes."""
    tokens = {
        "input": attempt.input - attempt.cached - attempt.cache_write,
        "input_cached_tokens": attempt.cached,
        "input_cache_creation": attempt.cache_write,
        "output": attempt.output - attempt.reasoning,
        "output_reasoning_tokens": attempt.reasoning,
    }
    return {
        "id": id,
        "traceId": record.trace,
        "parentObservationId": span_id(record.id),
        "name": attempt.result,
        "model": attempt.model.partition("/")[2] or attempt.model,
        "startTime": _time(record.at + attempt.began_ms),
        "completionStartTime": None if attempt.first_ms is None else _time(record.at + attempt.first_ms),
        "endTime": _time(record.at + attempt.ended_ms),
        "usageDetails": {name: count for name, count in tokens.items() if count},
        "costDetails": None if attempt.cost is None else {"total": float(format_dollars(attempt.cost))},
        **_level(attempt.error),
        "metadata": {"provider": attempt.model.partition("/")[0], "place": attempt.place, "why": attempt.why},
    }


def _score(record: RequestRecord, score: RecordScore) -> dict[str, object]:
    """A label beside a value is in the metadata: a score of Langfuse has one of them."""
    return {
        "id": score.id,
        "traceId": record.trace,
        "observationId": span_id(record.id) if score.of_record else None,
        "name": score.name,
        "value": score.label if score.value is None else score.value,
        "dataType": "CATEGORICAL" if score.value is None else "NUMERIC",
        "metadata": {"source": score.source, **({"label": score.label} if score.label else {})},
    }


def _level(error: str) -> dict[str, object]:
    return {"level": "ERROR" if error else "DEFAULT", "statusMessage": error}


def _time(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
