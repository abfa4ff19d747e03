"""A stream of a flow run as its steps change; ends with the run, and starts or stops none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from sizewise.flows.tables import FlowRun
from sizewise.graphql.context import RequestContext
from sizewise.graphql.flows import run_fields
from sizewise.graphql.model_type import FieldValues

POLL_S = 0.25
"""Between two looks for a change: the run may be on another server."""
ENDED = ("done", "failed", "cancelled")


async def run_events(context: RequestContext, id: str) -> AsyncGenerator[FieldValues, None]:
    """Raises PathNotFound, Forbidden."""
    return _changes(context, await context.services.runs.queries.get(context.principal, id))


async def _changes(context: RequestContext, run: FlowRun) -> AsyncGenerator[FieldValues, None]:
    queries, seen = context.services.runs.queries, None
    while True:
        steps = await queries.list_steps(context.principal, run.id)
        now = (run.state, run.attempt, [(each.key, each.state, each.attempt, each.ended) for each in steps])
        if now != seen:
            seen = now
            yield {"runEvents": run_fields(context, run)}
        if run.state in ENDED:
            return
        await asyncio.sleep(POLL_S)
        run = await queries.get(context.principal, run.id)
