"""A stream of a job's progress: runs of evals, of /v1/evals, and the embedding of a knowledge base; starts none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from sizewise.app.eval_jobs import JobState
from sizewise.auth.authorization import is_allowed
from sizewise.errors import PathNotFound
from sizewise.graphql.context import RequestContext
from sizewise.graphql.eval_fields import find_suite_run
from sizewise.graphql.evals import job_fields, run_status
from sizewise.graphql.model_type import FieldValues
from sizewise.money import format_dollars

POLL_S = 0.5
"""Between two looks for a change."""
KNOWLEDGE, API_RUN = "knowledge/", "evalrun_"
ENDED = ("done", "failed", "cancelled")
API_STATES: Mapping[str, JobState] = {
    "queued": "running",
    "in_progress": "running",
    "completed": "done",
    "failed": "failed",
    "canceled": "cancelled",
}


async def job_changed(context: RequestContext, id: str) -> AsyncGenerator[FieldValues, None]:
    """Raises PathNotFound, also for a job that the caller may not read; Forbidden."""
    return _changes(context, id, await _read(context, id))


async def _changes(context: RequestContext, id: str, now: FieldValues) -> AsyncGenerator[FieldValues, None]:
    """An `interrupted` job may go on, elsewhere or later."""
    yield {"jobChanged": now}
    while now["state"] not in ENDED:
        await asyncio.sleep(POLL_S)
        before, now = now, await _read(context, id, now)
        if now != before:
            yield {"jobChanged": now}


async def _read(context: RequestContext, id: str, before: FieldValues | None = None) -> FieldValues:
    """`before`: as it was; what cannot change is not read again."""
    if id.startswith(KNOWLEDGE):
        return await _embedding(context, id)
    if not is_allowed(context.principal, "read_evals"):
        raise PathNotFound(f"there is no job {id[:100]!r} that you may read", "runs of evals need read_evals")
    if id.startswith(API_RUN):
        return await _api_run(context, id, before)
    found, run = await find_suite_run(context, id)
    return {"__typename": "EvalJob", "id": id, "suite": found.name, **job_fields(run_status(context, found, run))}


async def _api_run(context: RequestContext, id: str, before: FieldValues | None) -> FieldValues:
    store, principal = context.services.eval_runs.store, context.principal
    found = await store.find_run(principal.tenant, principal.project, id)
    if found is None:
        raise PathNotFound(f"there is no eval run {id[:100]!r} in your project", "GET /v1/evals/ID/runs lists them")
    state, error = API_STATES[found.row.status], found.content.error
    return {
        "__typename": "ApiEvalRun",
        "id": id,
        "eval": found.row.eval,
        "state": state,
        "total": before["total"] if before else len(await store.rows(found.row)),
        "done": found.summary.total,
        "failed": found.summary.errored,
        "spentUsd": format_dollars(found.summary.cost),
        "error": None if error is None else error[1],
    }


async def _embedding(context: RequestContext, id: str) -> FieldValues:
    context.require("ask", "manage_knowledge")
    name = id.removeprefix(KNOWLEDGE)
    bases = await context.get_app().knowledge_base.bases(context.principal)
    found = next((each for each in bases if each.name == name), None)
    if found is None:
        raise PathNotFound(f"there is no knowledge base {name[:100]!r}", "`knowledge` lists them")
    total = found.counts.passages - found.counts.held_back
    return {
        "__typename": "EmbeddingJob",
        "id": id,
        "base": name,
        "state": "running" if found.counts.waiting else "done",
        "total": total,
        "done": total - found.counts.waiting,
        "failed": 0,
        "spentUsd": None,
        "error": None,
    }
