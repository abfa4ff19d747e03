"""Streams of flow runs as they change: the steps of one, and what waits for a decision; starts and stops none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from sizewise.flows.tables import FlowRun
from sizewise.graphql.context import RequestContext
from sizewise.graphql.flows import run_fields, waiting_fields
from sizewise.graphql.model_type import FieldValues

POLL_S = 0.25
"""Between two looks for a change: the run may be on another server."""
INBOX_POLL_S = 1.0
MAX_WAITING = 100
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


async def approvals_changed(context: RequestContext) -> AsyncGenerator[FieldValues, None]:
    return _approvals(context)


async def _approvals(context: RequestContext) -> AsyncGenerator[FieldValues, None]:
    approval, seen = context.services.runs.approval, None
    while True:
        now = await approval.list_waiting_keys(context.principal)
        if now != seen:
            seen = now
            yield {"approvalsChanged": await waiting_fields(context, MAX_WAITING)}
        await asyncio.sleep(INBOX_POLL_S)
