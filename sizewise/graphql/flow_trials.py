"""The subscription `testFlow`: runs the text of a flow without publishing it, with pinned outputs; stores no run."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping

import msgspec

from sizewise.errors import BadRequest
from sizewise.flows.executor import EMPTY_CHAT
from sizewise.flows.graph_outline import outline_graph
from sizewise.flows.language.types import Json
from sizewise.flows.tables import INPUTS
from sizewise.flows.trial_run import TrialEvent, TrialRequest
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.handler import Request
from sizewise.money import format_dollars


async def test_flow(
    context: RequestContext,
    text: str,
    inputs: Json = None,
    pins: Json = None,
    from_run: str = "",
    nodes: tuple[str, ...] | list[str] = (),
    allow_side_effects: bool = False,
) -> AsyncGenerator[FieldValues, None]:
    """Raises BadRequest for a flow with errors, and for pins that do not fit."""
    principal, services = context.principal, context.services
    found = await services.compiled_flows.validate(
        principal.tenant, principal.project, text, context.app.settings.agents
    )
    if found.flow is None:
        wrong = [each for each in found.diagnostics if each.kind == "mistake"]
        raise BadRequest(f"the flow has an error: {wrong[0]}", "run checkFlow for all errors", param="text")
    kinds = {each.id: each.outputs for each in outline_graph(found).nodes if not each.parent}
    given = _object(inputs, "inputs")
    earlier: dict[str, Json] = {}
    if from_run:
        earlier = await _results(context, from_run, kinds.keys() - set(nodes))
        given = {**await _inputs(context, from_run), **given}
    trial = TrialRequest(
        inputs=given,
        pins={**earlier, **_object(pins, "pins")},
        nodes=tuple(nodes),
        output_types=kinds,
        allows_effects=allow_side_effects,
    )
    waits = services.limiter.count_request(principal)
    if waits is not None:
        await waits
    request = Request(
        payload=EMPTY_CHAT,
        principal=principal,
        trace_id=context.trace,
        started_at=time.perf_counter(),
        endpoint="graphql",
    )
    return _events(services.runs.trials.run(found.flow, trial, request, time.time))


async def _events(events: AsyncGenerator[TrialEvent, None]) -> AsyncGenerator[FieldValues, None]:
    try:
        async for event in events:
            yield {"testFlow": _event(event)}
    finally:
        await events.aclose()


def _event(event: TrialEvent) -> FieldValues:
    shown = msgspec.structs.asdict(event)
    cost = shown.pop("cost")
    return {**shown, "costUsd": None if cost is None else format_dollars(cost)}


def _object(said: Json, name: str) -> dict[str, Json]:
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise BadRequest(f"`{name}` is not an object", 'pass them by name, as {"question": "..."}', param=name)
    return dict(said)


async def _inputs(context: RequestContext, run: str) -> dict[str, Json]:
    found = await context.services.runs.queries.get_value(context.principal, run, INPUTS)
    return {} if found is None else msgspec.json.decode(found, type=dict)


async def _results(context: RequestContext, run: str, names: set[str]) -> dict[str, Json]:
    """What the nodes of an earlier run returned. Raises PathNotFound, Forbidden."""
    queries, principal = context.services.runs.queries, context.principal
    made: dict[str, Json] = {}
    for step in await queries.list_steps(principal, run):
        if step.key in names and step.state == "done":
            found = await queries.get_value(principal, run, step.key)
            if found is not None:
                made[step.key] = msgspec.json.decode(found)
    return made
