"""Records as the server shows them, turned back into the rows that they were: for encoders that know only rows."""

from __future__ import annotations

from sizewise.cli import operations
from sizewise.energy import ESTIMATES, MEASURED, MICROJOULES_PER_WH
from sizewise.money import parse_pico_dollars
from sizewise.telemetry.span_tables import SpanRow
from sizewise.telemetry.tables import AttemptRow, RecordScore, RecordWithAttempts, RequestRecord, join_tags


def record_rows(shown: operations.RecordDetails) -> RecordWithAttempts:
    """Without the tenant, which no caller sees."""
    record = RequestRecord(
        id=int(shown.span_id, 16),
        tenant="",
        project=shown.project,
        key=shown.key,
        trace=shown.trace,
        at=shown.at,
        door=shown.endpoint,
        asked=shown.requested_model,
        policy=shown.policy,
        model=shown.model,
        why=shown.why,
        status=shown.status,
        error=shown.error,
        attempts=shown.attempt_count,
        input=shown.tokens.input,
        output=shown.tokens.output,
        cached=shown.tokens.cached,
        cache_write=shown.tokens.cache_write,
        reasoning=shown.tokens.reasoning,
        estimated=shown.tokens.estimated,
        cost=_pico(shown.cost_usd),
        first_ms=shown.first_token_ms,
        total_ms=shown.total_ms,
        stream=shown.stream,
        degraded=shown.degraded,
        data_class=shown.data_class,
        guards=shown.guardrails,
        freshness=shown.freshness or None,
        audio_ms=None if shown.audio_seconds is None else round(shown.audio_seconds * 1000),
        characters=shown.characters,
        images=shown.images,
        session=shown.session,
        end_user=shown.end_user,
        tags=join_tags(shown.tags) if shown.tags else None,
        parent_span=shown.parent_span,
        flow=shown.flow,
        node=shown.node,
        agent=shown.agent,
        energy=None if shown.energy is None else round(shown.energy.wh * MICROJOULES_PER_WH),
        energy_source=None if shown.energy is None else ESTIMATES if shown.energy.estimated else MEASURED,
    )
    attempts = tuple(_attempt(record, each) for each in shown.attempts)
    return RecordWithAttempts(record, attempts, tuple(map(_score, shown.scores)))


def step_row(span: operations.Span, record: RequestRecord) -> SpanRow:
    """A step of the trace of `record`."""
    return SpanRow(
        id=int(span.id, 16),
        span=span.id,
        tenant="",
        project=record.project,
        key=record.key,
        trace=record.trace,
        parent_span=span.parent or None,
        operation=span.operation,
        name=span.name,
        kind=span.kind,
        at=span.at,
        total_ms=span.total_ms,
        error=span.error,
        result_bytes=None,
        session=record.session,
    )


def _attempt(record: RequestRecord, shown: operations.Attempt) -> AttemptRow:
    return AttemptRow(
        record=record.id,
        number=shown.number,
        tenant="",
        trace=record.trace,
        model=shown.model,
        place=shown.place,
        result=shown.result,  # type: ignore[arg-type]  # one of ours
        why=shown.why,
        began_ms=shown.started_ms,
        first_ms=shown.first_token_ms,
        ended_ms=shown.ended_ms,
        input=shown.tokens.input,
        output=shown.tokens.output,
        cached=shown.tokens.cached,
        cache_write=shown.tokens.cache_write,
        reasoning=shown.tokens.reasoning,
        estimated=shown.tokens.estimated,
        cost=_pico(shown.cost_usd),
        error=shown.error,
        score=shown.score,
        threshold=shown.threshold,
    )


def _score(shown: operations.Score) -> RecordScore:
    return RecordScore(
        id=shown.id,
        name=shown.name,
        value=shown.value,
        label=shown.label,
        source=shown.source,
        at=shown.at,
        of_record=shown.target == "record",
    )


def _pico(dollars: str | None) -> int | None:
    return None if dollars is None else parse_pico_dollars(dollars)
