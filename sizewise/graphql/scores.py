"""Fields of scores: listing and adding them; comments are decrypted only for callers who may read contents."""

from __future__ import annotations

import msgspec

from sizewise.auth.api_keys import audit_event
from sizewise.evals.scores.score_draft import ScoreDraft
from sizewise.evals.scores.score_store import score_position
from sizewise.evals.scores.tables import ScoreFilter, ScoreRow
from sizewise.graphql.context import RequestContext, only_project
from sizewise.graphql.model_type import FieldValues


async def scores(
    context: RequestContext, filter: dict[str, object] | None = None, last: int = 20, before: str | None = None
) -> FieldValues:
    """Raises BadRequest if `last` is not from 1 to 1,000, or for a `before` that no page had."""
    context.charge_rows(last)
    wanted = {name: value for name, value in (filter or {}).items() if value is not None}
    only, project = only_project(context), wanted.pop("project", "")
    if only and project not in ("", only):
        return {"rows": [], "before": None}
    own = {"tenant": context.principal.tenant, "project": only or project}
    criteria = msgspec.convert({**wanted, **own}, ScoreFilter)
    if criteria.trace:
        await context.services.annotation.saw(context.principal, criteria.trace)
    page = await context.services.scores.page(criteria, last, score_position(before))
    return {
        "rows": [score_fields(context, each) for each in page.rows],
        "before": None if page.before is None else str(page.before),
    }


async def score(context: RequestContext, **said: object) -> FieldValues:
    """Raises BadRequest, Forbidden, and PathNotFound if there is no answer that the caller may score."""
    draft = msgspec.convert({name: value for name, value in said.items() if value is not None}, ScoreDraft)
    row, _ = await context.services.scores.add(context.principal, draft)
    return score_fields(context, row)


def score_fields(context: RequestContext, row: ScoreRow) -> FieldValues:
    async def comment(info: object) -> str | None:
        """Each read is written to the audit log. Raises Forbidden without read_contents."""
        if not row.commented:
            return None
        context.require("read_contents")
        services, principal = context.services, context.principal
        await services.audit_log.append(
            audit_event(principal, principal.tenant, "read_contents", f"score:{row.trace or row.kind}")
        )
        return await services.scores.comment(row.tenant, row.id)

    named = ("id", "name", "value", "label", "source", "scorer", "author", "weight", "blind", "project", "trace")
    more = ("session", "model", "policy", "flow", "commented")
    return {
        **{name: getattr(row, name) for name in (*named, *more)},
        "target": row.kind,
        "targetId": row.target,
        "at": row.created,
        "comment": comment,
    }
