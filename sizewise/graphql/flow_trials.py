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
from sizewise.handler import NO_OPTIONS, Request, RequestOptions
from sizewise.money import format_dollars
from sizewise.principal import Principal


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
    options = NO_OPTIONS
    if from_run:
        earlier = await _results(context, from_run, kinds.keys() - set(nodes))
        given = {**await _inputs(context, from_run), **given}
        options = await _limits(context, from_run)
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
    request = _request(context, principal, options)
    return _events(services.runs.trials.run(found.flow, trial, request, time.time))


def _request(context: RequestContext, principal: Principal, options: RequestOptions) -> Request:
    return Request(
        payload=EMPTY_CHAT,
        principal=principal,
        trace_id=context.trace,
        started_at=time.perf_counter(),
        options=options,
        endpoint="graphql",
    )


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


async def _limits(context: RequestContext, run: str) -> RequestOptions:
    """What holds for a trial with the data of an earlier run: the data class and `online` of that run, with those of
    the key that started it, also if it was revoked, and of its project. Raises PathNotFound.
    """
    queries = context.services.runs.queries
    its = await queries.get(context.principal, run)
    keys = await context.services.api_keys.list(its.tenant)
    key_class = next((key.data_class for key in keys if key.id == its.key), None)
    starter = Principal(tenant=its.tenant, project=its.project, key_id=its.key, data_class=key_class)
    earlier = _request(context, starter, await queries.get_data_limits(context.principal, run))
    decision = context.app.explain.data_policy.decide(earlier)
    return RequestOptions(
        data_class=decision.data_class,
        online="deny" if decision.offline_source else None,
        constraint_source=f"the run {its.id}",
    )
