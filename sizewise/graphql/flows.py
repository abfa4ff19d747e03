"""Fields that publish, run and inspect flows within the caller's project and permissions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from sizewise.auth.authorization import Resource, require_permission
from sizewise.errors import BadRequest, Conflict, Forbidden, PathNotFound, UpstreamTimeout
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.executor import FlowOutline
from sizewise.flows.language.types import Json, format_type
from sizewise.flows.node import FlowSignature
from sizewise.flows.tables import INPUTS, OUTPUTS, FlowRun, RunState, RunStep
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.flows.versions.tables import FlowPublication, FlowVersion, require_version
from sizewise.graphql.context import RequestContext
from sizewise.graphql.event_iterator import StreamResult, iterate_events
from sizewise.graphql.flow_fields import has_side_effects
from sizewise.graphql.flow_findings import flow_findings
from sizewise.graphql.keys import validate_project_name
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.naming import to_graphql_name
from sizewise.graphql.published_commit import commit_fields, require_short_note
from sizewise.handler import Event, TextDelta
from sizewise.money import format_dollars
from sizewise.principal import Principal
from sizewise.releases.publication import Publication

PAGE_ARGUMENTS = ("before", "limit")
MAX_PUBLICATIONS = 10
"""Of a version that are listed."""


def may_use_flow(principal: Principal, published: PublishedFlow) -> bool:
    """Whether the key's scope allows this flow."""
    return principal.scope is None or not principal.scope.flows or published.name in principal.scope.flows


def live_flows(context: RequestContext) -> list[PublishedFlow]:
    principal, shelf = context.principal, context.services.flow_versions
    return [each for each in shelf.list_published(principal.tenant, principal.project) if may_use_flow(principal, each)]


# ---- flows


async def flows(context: RequestContext) -> list[FieldValues]:
    return [_flow(context, each) for each in live_flows(context)]


async def flow(context: RequestContext, name: str) -> FieldValues | None:
    return next((_flow(context, each) for each in live_flows(context) if each.name == name), None)


def _flow(context: RequestContext, published: PublishedFlow) -> FieldValues:
    """The flow's file is loaded only if a field needs it."""

    async def outline() -> FlowOutline:
        library = context.services.compiled_flows
        return await library.describe(published.tenant, published.project, published.name, published.version)

    async def description(info: object) -> str:
        return (await outline()).description

    async def error(info: object) -> str | None:
        return (await outline()).error or None

    async def inputs(info: object) -> list[FieldValues]:
        return _values((await outline()).signature, "inputs")

    async def outputs(info: object) -> list[FieldValues]:
        return _values((await outline()).signature, "outputs")

    async def text(info: object) -> str:
        context.require("manage_flows", "read_contents")
        shelf = context.services.flow_versions
        return (
            await shelf.read_source(published.tenant, published.project, published.name, published.version)
        ).decode()

    def file(info: object) -> str | None:
        folder = context.app.resources.flow_files
        found = None if folder is None else folder.file_of(published.tenant, published.project, published.name)
        return None if found is None else found.name

    async def effects(info: object) -> bool:
        flow = (await outline()).flow
        return flow is None or has_side_effects(flow.graph)

    return {
        "name": published.name,
        "version": published.version,
        "project": published.project,
        "published": published.at,
        "publishedBy": published.user or published.key,
        "description": description,
        "error": error,
        "inputs": inputs,
        "outputs": outputs,
        "sideEffects": effects,
        "text": text,
        "file": file,
    }


def _values(signature: FlowSignature, which: str) -> list[FieldValues]:
    types = signature.inputs if which == "inputs" else signature.outputs
    return [
        {"name": name, "type": format_type(kind), "required": which == "outputs" or name in signature.required}
        for name, kind in types.items()
    ]


async def flow_versions(context: RequestContext, name: str, limit: int = 20) -> list[FieldValues]:
    context.charge_rows(limit)
    principal, shelf = context.principal, context.services.flow_versions
    found = await shelf.list_versions(principal.tenant, principal.project, name, limit)
    lives = {each.version for each in live_flows(context) if each.name == name}
    published = await shelf.list_publications(principal.tenant, principal.project, name)
    return [
        _version(context, each, each.version in lives, [its for its in published if its.version == each.version])
        for each in found
    ]


def _version(
    context: RequestContext, version: FlowVersion, lives: bool, published: Sequence[FlowPublication]
) -> FieldValues:
    async def text(info: object) -> str:
        context.require("manage_flows", "read_contents")
        principal, versions = context.principal, context.services.flow_versions
        return (await versions.read_source(principal.tenant, principal.project, version.name, version.version)).decode()

    return {
        "version": version.version,
        "created": version.created,
        "createdBy": version.by,
        "live": lives,
        "publications": [{"at": each.at, "by": each.by, "note": each.note} for each in published[:MAX_PUBLICATIONS]],
        "text": text,
    }


async def publish_flow(
    context: RequestContext,
    text: str,
    project: str | None = None,
    expected_version: str | None = None,
    note: str = "",
) -> FieldValues:
    """Raises BadRequest with the first error, Conflict if another flow has the same field name, or if the flow or its
    file was changed meanwhile.
    """
    require_short_note(note)
    principal, services = context.principal, context.services
    where = principal.project if project is None else validate_project_name(project)
    require_permission(principal, "manage_flows", Resource(principal.tenant, where))
    checked = await services.compiled_flows.validate(principal.tenant, where, text, context.app.settings.agents)
    if checked.flow is None:
        mistakes = [each for each in checked.diagnostics if each.kind == "mistake"]
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        hint = mistakes[0].hint or "run checkFlow for all errors"
        raise BadRequest(f"the flow has an error{more}: {mistakes[0]}", hint, param="text")
    name, version, shelf = checked.flow.name, checked.flow.version, services.flow_versions
    alike = [
        each.name
        for each in shelf.list_published(principal.tenant, where)
        if to_graphql_name(each.name) == to_graphql_name(name)
    ]
    if other := next((each for each in alike if each != name), ""):
        raise Conflict(f"the flow {other!r} has the same field in GraphQL as {name!r}", "choose another name")
    findings = flow_findings(text, checked.diagnostics)
    if services.git_publisher.takes(principal.tenant, where):
        made = await services.git_publisher.publish(
            principal, Publication("flow", name, text, expected=expected_version, note=note)
        )
        return {"flow": None, "new": False, "findings": findings, "commit": commit_fields(made)}
    live = next((each.version for each in shelf.list_published(principal.tenant, where) if each.name == name), "")
    folder = context.app.resources.flow_files
    file = None if folder is None else folder.file_of(principal.tenant, where, name)
    if file is not None and folder is not None:
        require_version(name, live, live if expected_version is None else expected_version)
        await folder.require_replaceable(file, live)
        expected_version = live
    new = await shelf.save(principal, where, name, version, text.encode())
    published = await shelf.publish(principal, where, name, version, expected_version, note)
    if file is not None and folder is not None:
        try:
            await folder.replace(file, text, live)
        except Conflict:  # the folder owns the flow: what is live is what the file says
            await shelf.publish(principal, where, name, live, version)
            raise
    return {"flow": _flow(context, published), "new": new, "findings": findings, "commit": None}


async def withdraw_flow(context: RequestContext, name: str, project: str | None = None) -> FieldValues:
    principal = context.principal
    where = principal.project if project is None else validate_project_name(project)
    require_permission(principal, "manage_flows", Resource(principal.tenant, where))
    publisher = context.services.git_publisher
    if publisher.takes(principal.tenant, where):
        made = await publisher.publish(principal, Publication("flow", name, None))
        if made is not None:
            return {"name": name, "commit": commit_fields(made)}
    await context.services.flow_versions.unpublish(principal, where, name)
    return {"name": name, "commit": None}


# ---- runs


async def flow_runs(
    context: RequestContext,
    flow: str = "",
    state: RunState | None = None,
    before: int = 0,
    last: int = 20,
) -> list[FieldValues]:
    context.charge_rows(last)
    found = await context.services.runs.queries.list_runs(
        context.principal,
        flow=flow,
        state=state,
        before=before,
        limit=last,
    )
    return [run_fields(context, run, number) for number, run in found]


async def flow_run(context: RequestContext, id: str) -> FieldValues:
    return run_fields(context, await context.services.runs.queries.get(context.principal, id))


async def waiting(context: RequestContext, last: int = 100) -> list[FieldValues]:
    context.charge_rows(last)
    return await waiting_fields(context, last)


async def waiting_fields(context: RequestContext, last: int) -> list[FieldValues]:
    found = await context.services.runs.approval.list_waiting(context.principal, last)
    return [
        {
            "run": run_fields(context, each.run),
            "key": each.key,
            "request": msgspec.json.decode(each.question),
            "approvers": each.approvers,
            "mayDecide": each.may_decide,
        }
        for each in found
    ]


async def start_flow_run(
    context: RequestContext,
    flow: str,
    inputs: Json = None,
    version: str = "",
    id: str | None = None,
) -> FieldValues:
    if not isinstance(inputs, dict | None):
        raise BadRequest("`inputs` is not an object", 'pass inputs by name, as {"question": "..."}', param="inputs")
    if id is not None and not (id.isascii() and id.isalnum() and 16 <= len(id) <= 64):
        raise BadRequest(f"{id[:64]!r} is not a valid run id", "use 16 to 64 letters and digits", param="id")
    begun = await context.services.runs.starter.start(
        context.principal,
        flow,
        msgspec.json.encode(inputs or {}),
        version=version,
        trace=context.trace,
        id=id or "",
    )
    return run_fields(context, begun)


async def cancel_flow_run(context: RequestContext, id: str) -> FieldValues:
    return run_fields(context, await context.services.runs.control.cancel(context.principal, id))


async def resume_flow_run(context: RequestContext, id: str) -> FieldValues:
    return run_fields(context, await context.services.runs.control.resume(context.principal, id))


async def decide(
    context: RequestContext,
    id: str,
    key: str,
    approved: bool,
    note: str = "",
    value: Json = None,
) -> FieldValues:
    said = msgspec.json.encode(value)
    await context.services.runs.approval.decide(context.principal, id, key, approved, note, said)
    return run_fields(context, await context.services.runs.queries.get(context.principal, id))


def run_fields(context: RequestContext, run: FlowRun, number: int = 0) -> FieldValues:
    """Steps, inputs, outputs and failure are read and decrypted only if requested."""
    return {
        "id": run.id,
        "number": number or None,
        "flow": run.flow,
        "version": run.version,
        "environment": run.environment,
        "release": run.release,
        "project": run.project,
        "endpoint": run.door,
        "key": run.key,
        "user": run.user,
        "state": run.state,
        "attempt": run.attempt,
        "error": run.error,
        "created": run.created,
        "started": run.began,
        "ended": run.ended,
        "steps": partial(_steps, context, run),
        "agents": partial(_agents, context, run),
        "inputs": partial(_value, context, run, INPUTS),
        "outputs": partial(_value, context, run, OUTPUTS),
        "failure": partial(_failure, context, run),
    }


async def _steps(context: RequestContext, run: FlowRun, info: object) -> list[FieldValues]:
    return [
        _step(context, run, each) for each in await context.services.runs.queries.list_steps(context.principal, run.id)
    ]


def _step(context: RequestContext, run: FlowRun, step: RunStep) -> FieldValues:
    return {
        "key": step.key,
        "state": step.state,
        "attempt": step.attempt,
        "started": step.began,
        "ended": step.ended,
        "decidedBy": step.by,
        "model": step.model,
        "costUsd": format_dollars(step.cost),
        "error": step.error,
        "output": partial(_value, context, run, step.key),
    }


async def _agents(context: RequestContext, run: FlowRun, info: object) -> list[FieldValues] | None:
    try:
        found = await context.services.runs.queries.list_agents(context.principal, run.id)
        return [msgspec.to_builtins(each) for each in found]
    except Forbidden:
        return None


async def _value(context: RequestContext, run: FlowRun, key: str, info: object) -> Json:
    found = await context.services.runs.queries.get_value(context.principal, run.id, key)
    return None if found is None else msgspec.json.decode(found)


async def _failure(context: RequestContext, run: FlowRun, info: object) -> FieldValues | None:
    why = await context.services.runs.queries.get_error(context.principal, run.id)
    return None if why is None else {"code": why.code, "message": why.message, "hint": why.hint}


# ---- flows as fields


async def execute_flow(context: RequestContext, flow: CompiledFlow, inputs: Mapping[str, Json]) -> Json:
    """Runs the flow and returns its outputs; a client that disconnects cancels it. Raises UpstreamTimeout."""
    limit = context.app.settings.graphql.timeout_s
    try:
        async with asyncio.timeout(limit):
            return await _run_flow(context, flow, inputs, _discard_event)
    except TimeoutError:
        hint = "subscribe to the flow, or start it with startFlowRun and poll flowRun"
        raise UpstreamTimeout(f"the flow {flow.name!r} took longer than {limit:g} s and was cancelled", hint) from None


async def stream_flow(
    context: RequestContext,
    flow: CompiledFlow,
    inputs: Mapping[str, Json],
) -> AsyncGenerator[Json, None]:
    events = iterate_events(partial(_run_flow, context, flow, inputs))
    try:
        async for event in events:
            if isinstance(event, TextDelta):
                yield {"text": event.text, "result": None}
            elif isinstance(event, StreamResult):
                yield {"text": "", "result": event.result}
    finally:
        await events.aclose()


async def _run_flow(
    context: RequestContext,
    flow: CompiledFlow,
    inputs: Mapping[str, Json],
    send: Callable[[Event], Awaitable[None]],
) -> Json:
    runs = context.services.runs
    given, principal = msgspec.json.encode(inputs), context.principal
    outputs = await runs.starter.run_to_completion(
        principal,
        flow.name,
        given,
        version=flow.version,
        trace=context.trace,
        send=send,
    )
    return msgspec.json.decode(outputs)


async def _discard_event(event: Event) -> None:
    """For a query or mutation, which streams nothing."""


async def load_flow(context: RequestContext, published: PublishedFlow) -> CompiledFlow | None:
    """The compiled flow; None if it can no longer run."""
    library = context.services.compiled_flows
    try:
        return await library.load(published.tenant, published.project, published.name, published.version)
    except (BadRequest, PathNotFound):
        return None
