"""The `sessions` field: conversations, each with its requests' count, times, cost and end user."""

from __future__ import annotations

from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.records import criteria_of, record_id
from sizewise.money import format_dollars
from sizewise.telemetry.conversation_queries import SessionFilter, SessionSummary
from sizewise.telemetry.spans import span_id


async def sessions(
    context: RequestContext, filter: dict[str, object] | None = None, last: int = 20, before: str | None = None
) -> FieldValues:
    """Raises BadRequest if `last` is not from 1 to 1,000, or for a `before` that no page had."""
    context.charge_rows(last)
    criteria = await criteria_of(context, filter, SessionFilter)
    if criteria is None:
        return {"rows": [], "before": None, "scannedTo": None}
    page = await context.services.records.sessions(criteria, last, record_id(before))
    return {
        "rows": [_session(each) for each in page.rows],
        "before": None if page.before is None else span_id(page.before),
        "scannedTo": page.scanned_to,
    }


def _session(found: SessionSummary) -> FieldValues:
    names = ("id", "requests", "traces", "errors", "first", "last", "unpriced")
    return {
        **{name: getattr(found, name) for name in names},
        "costUsd": format_dollars(found.cost),
        "inputTokens": found.input,
        "outputTokens": found.output,
        "endUser": found.end_user,
    }
