"""Spans in OTLP/HTTP's JSON, with the attribute names of OpenTelemetry's conventions for generative AI.

Source of the format: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding; of the names: otlp_names.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from sizewise import __version__
from sizewise.money import format_dollars
from sizewise.telemetry.otlp_names import VERSIONS, GenAiNames
from sizewise.telemetry.span_tables import SpanRow
from sizewise.telemetry.tables import AttemptRow, RecordScore, RecordWithAttempts, RequestRecord, split_tags
from sizewise.telemetry.trace_tree import TraceSpan, record_spans, step_span

INTERNAL, SERVER, CLIENT = 1, 2, 3
ERROR_STATUS = 2
NAME_ATTRIBUTES: Mapping[str, str] = {
    "invoke_workflow": "gen_ai.workflow.name",
    "invoke_agent": "gen_ai.agent.name",
    "execute_tool": "gen_ai.tool.name",
    "retrieval": "gen_ai.data_source.id",
}
OPERATIONS: Mapping[str, str] = {"embeddings": "embeddings", "rerank": "rerank", "completions": "text_completion"}
"""`gen_ai.operation.name` by endpoint; `chat` otherwise."""

Attributes = dict[str, str | int | float | bool | list[str]]
NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})
NAMES = VERSIONS["2026-04"]


def encode_spans(
    spans: Iterable[dict[str, object]], service_name: str, resource_attributes: Mapping[str, str] = NO_ATTRIBUTES
) -> bytes:
    """An ExportTraceServiceRequest of spans as `record_to_otlp` and `step_to_otlp` make them."""
    own: Attributes = {"service.version": __version__, **resource_attributes, "service.name": service_name}
    resource = {"attributes": _attributes(own)}
    scope = {"scope": {"name": "sizewise", "version": __version__}, "spans": list(spans)}
    return msgspec.json.encode({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})


def record_to_otlp(whole: RecordWithAttempts, names: GenAiNames = NAMES) -> list[dict[str, object]]:
    """A request, and below it each attempt at a model, which alone has tokens: a backend adds none of them twice."""
    record = whole.record
    request, *attempts = record_spans(whole)
    operation = OPERATIONS.get(record.door, "chat")
    found = [_span(record.trace, request, f"{operation} {record.asked}", SERVER, _request_attributes(record))]
    if whole.scores:
        found[0]["events"] = [_evaluation(each) for each in whole.scores]
    for span, attempt in zip(attempts, whole.attempts, strict=True):
        attributes = _attempt_attributes(record, attempt, operation, names)
        found.append(_span(record.trace, span, f"{operation} {attempt.model}", CLIENT, attributes))
    return found


def step_to_otlp(row: SpanRow) -> dict[str, object]:
    own: Attributes = {"sizewise.project": row.project}
    if row.operation in NAME_ATTRIBUTES:
        own |= {"gen_ai.operation.name": row.operation, NAME_ATTRIBUTES[row.operation]: row.name}
    if row.kind:
        own["sizewise.kind"] = row.kind
    if row.session:
        own["gen_ai.conversation.id"] = row.session
    return _span(row.trace, step_span(row), f"{row.operation} {row.name}", INTERNAL, own)


def _evaluation(score: RecordScore) -> dict[str, object]:
    """An event of the request's span."""
    own: Attributes = {"gen_ai.evaluation.name": score.name, "sizewise.score.source": score.source}
    if score.value is not None:
        own["gen_ai.evaluation.score.value"] = float(score.value)
    if score.label is not None:
        own["gen_ai.evaluation.score.label"] = score.label
    at = str(score.at * 1_000_000)
    return {"name": "gen_ai.evaluation.result", "timeUnixNano": at, "attributes": _attributes(own)}


def _request_attributes(record: RequestRecord) -> Attributes:
    own: Attributes = {
        "sizewise.endpoint": record.door,
        "sizewise.project": record.project,
        "sizewise.key": record.key,
        "sizewise.policy": record.policy,
        "sizewise.model": record.model,
        "sizewise.why": record.why,
        "http.response.status_code": record.status,
    }
    labels = {
        "gen_ai.conversation.id": record.session,
        "user.hash": record.end_user,
        "sizewise.flow": record.flow,
        "sizewise.node": record.node,
        "gen_ai.agent.name": record.agent,
        "sizewise.data_class": record.data_class,
        "sizewise.guardrails": record.guards,
    }
    own |= {name: value for name, value in labels.items() if value}
    if tags := split_tags(record.tags):
        own["sizewise.tags"] = tags
    if record.cost is not None:
        own["sizewise.cost.usd"] = float(format_dollars(record.cost))
    return own


def _attempt_attributes(record: RequestRecord, attempt: AttemptRow, operation: str, names: GenAiNames) -> Attributes:
    provider, _, model = attempt.model.partition("/")
    own: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": attempt.input,
        "gen_ai.usage.output_tokens": attempt.output,
        "sizewise.attempt.result": attempt.result,
        "sizewise.place": attempt.place,
    }
    if attempt.cached:
        own["gen_ai.usage.cache_read.input_tokens"] = attempt.cached
    if attempt.cache_write:
        own[names.cache_write] = attempt.cache_write
    if attempt.reasoning:
        own["gen_ai.usage.reasoning.output_tokens"] = attempt.reasoning
    if attempt.first_ms is not None and record.stream:
        own["gen_ai.response.time_to_first_chunk"] = (attempt.first_ms - attempt.began_ms) / 1000
    if record.session:
        own["gen_ai.conversation.id"] = record.session
    if attempt.cost is not None:
        own["sizewise.cost.usd"] = float(format_dollars(attempt.cost))
    if attempt.score is not None:
        own["sizewise.score"] = attempt.score
    if attempt.threshold is not None:
        own["sizewise.threshold"] = attempt.threshold
    return own


def _span(trace: str, span: TraceSpan, name: str, kind: int, attributes: Attributes) -> dict[str, object]:
    if span.error:
        attributes["error.type"] = span.error
    shown: dict[str, object] = {
        "traceId": trace,
        "spanId": span.id,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(int(span.at * 1e6)),
        "endTimeUnixNano": str(int((span.at + span.total_ms) * 1e6)),
        "attributes": _attributes(attributes),
    }
    if span.parent:
        shown["parentSpanId"] = span.parent
    if span.error:
        shown["status"] = {"code": ERROR_STATUS, "message": span.error}
    return shown


def _attributes(values: Attributes) -> list[dict[str, object]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: str | int | float | bool | list[str]) -> dict[str, object]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [{"stringValue": each} for each in value]}}
