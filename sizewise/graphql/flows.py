"""Flows published, run, looked at and decided, each within the caller's own project and rights; walks through none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial

import msgspec

from sizewise.auth.authorization import Thing, demand
from sizewise.errors import BadRequest, Conflict, UnknownPath, UpstreamSlow
from sizewise.flows.compiled_flow import Flow
from sizewise.flows.language.diagnostics import Finding
from sizewise.flows.language.types import Json, told
from sizewise.flows.node import Signature
from sizewise.flows.tables import INPUTS, OUTPUTS, Run, State, Step
from sizewise.flows.validator import Checked
from sizewise.flows.versions.tables import Published, Version
from sizewise.graphql.context import Context
from sizewise.graphql.event_iterator import Done, following
from sizewise.graphql.flow_fields import acts
from sizewise.graphql.keys import project_named
from sizewise.graphql.model_type import Told
from sizewise.graphql.naming import mangled
from sizewise.handler import Event, Text
from sizewise.money import dollars
from sizewise.principal import Caller

LIST = ("before", "limit")
SEVERITIES: Mapping[str, str] = {"mistake": "error", "warning": "warning"}


def mine(caller: Caller, published: Published) -> bool:
    """Whether a key that is confined to some flows may use this one."""
    return caller.scope is None or not caller.scope.flows or published.name in caller.scope.flows


def live(context: Context) -> list[Published]:
    caller, shelf = context.caller, context.house.means.keeper.runs.shelf
    return [each for each in shelf.every(caller.tenant, caller.project) if mine(caller, each)]


# ---- flows


async def flows(context: Context) -> list[Told]:
    return [_flow(context, each) for each in live(context)]


async def flow(context: Context, name: str) -> Told | None:
    return next((_flow(context, each) for each in live(context) if each.name == name), None)


def _flow(context: Context, published: Published) -> Told:
    """What it takes and gives is read only where it was asked for."""

    async def checked(info: object) -> Flow:
        library = context.house.means.keeper.library
        return await library.checked(published.tenant, published.project, published.name, published.version)

    async def description(info: object) -> str:
        return (await checked(info)).spec.description

    async def inputs(info: object) -> list[Told]:
        return _values((await checked(info)).signature, "inputs")

    async def outputs(info: object) -> list[Told]:
        return _values((await checked(info)).signature, "outputs")

    async def text(info: object) -> str:
        context.may("manage_flows", "read_contents")
        shelf = context.house.means.keeper.runs.shelf
        return (await shelf.text(published.tenant, published.project, published.name, published.version)).decode()

    async def effects(info: object) -> bool:
        return acts((await checked(info)).graph)

    return {
        "name": published.name,
        "version": published.version,
        "project": published.project,
        "published": published.at,
        "publishedBy": published.user or published.key,
        "description": description,
        "inputs": inputs,
        "outputs": outputs,
        "sideEffects": effects,
        "text": text,
    }


def _values(signature: Signature, which: str) -> list[Told]:
    types = signature.inputs if which == "inputs" else signature.outputs
    return [
        {"name": name, "type": told(kind), "required": which == "outputs" or name in signature.required}
        for name, kind in types.items()
    ]


async def flow_versions(context: Context, name: str, limit: int = 20) -> list[Told]:
    context.take(limit)
    caller, shelf = context.caller, context.house.means.keeper.runs.shelf
    found = await shelf.versions(caller.tenant, caller.project, name, limit)
    lives = {each.version for each in live(context) if each.name == name}
    return [_version(each, each.version in lives) for each in found]


def _version(version: Version, lives: bool) -> Told:
    return {"version": version.version, "created": version.created, "createdBy": version.by, "live": lives}


async def check_flow(context: Context, text: str) -> Told:
    caller = context.caller
    return _checked(await context.house.means.keeper.library.looked(caller.tenant, caller.project, text))


def _checked(checked: Checked) -> Told:
    return {
        "name": checked.spec.name if checked.spec else "",
        "version": checked.spec.version if checked.spec else "",
        "valid": checked.flow is not None,
        "findings": [_finding(each) for each in checked.findings],
    }


def _finding(found: Finding) -> Told:
    place = {"node": found.node, "line": found.line, "column": found.column}
    return {**place, "message": found.message, "hint": found.hint, "severity": SEVERITIES[found.kind]}


async def publish_flow(context: Context, text: str, project: str | None = None) -> Told:
    """Raises BadRequest with the first mistake, Conflict where another flow has its field."""
    caller, keeper = context.caller, context.house.means.keeper
    where = caller.project if project is None else project_named(project)
    demand(caller, "manage_flows", Thing(caller.tenant, where))
    checked = await keeper.library.looked(caller.tenant, where, text)
    if checked.flow is None:
        mistakes = [each for each in checked.findings if each.kind == "mistake"]
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        hint = mistakes[0].hint or "run checkFlow for all errors"
        raise BadRequest(f"the flow has a mistake{more}: {mistakes[0]}", hint, param="text")
    name, version, shelf = checked.flow.name, checked.flow.version, keeper.runs.shelf
    alike = [each.name for each in shelf.every(caller.tenant, where) if mangled(each.name) == mangled(name)]
    if other := next((each for each in alike if each != name), ""):
        raise Conflict(f"the flow {other!r} has the same field in GraphQL as {name!r}", "choose another name")
    new = await shelf.keep(caller, where, name, version, text.encode())
    published = await shelf.publish(caller, where, name, version)
    return {"flow": _flow(context, published), "new": new, "findings": [_finding(each) for each in checked.findings]}


async def withdraw_flow(context: Context, name: str, project: str | None = None) -> Told:
    caller = context.caller
    where = caller.project if project is None else project_named(project)
    demand(caller, "manage_flows", Thing(caller.tenant, where))
    await context.house.means.keeper.runs.shelf.withdraw(caller, where, name)
    return {"name": name}


# ---- runs


async def flow_runs(
    context: Context, flow: str = "", state: State | None = None, before: int = 0, last: int = 20
) -> list[Told]:
    context.take(last)
    found = await context.house.means.keeper.runs.page(
        context.caller, flow=flow, state=state, before=before, limit=last
    )
    return [_run(context, run, number) for number, run in found]


async def flow_run(context: Context, id: str) -> Told:
    return _run(context, await context.house.means.keeper.runs.one(context.caller, id))


async def waiting(context: Context, last: int = 100) -> list[Told]:
    context.take(last)
    found = await context.house.means.keeper.runs.waiting(context.caller, last)
    return [{"run": _run(context, run), "key": key, "request": msgspec.json.decode(asked)} for run, key, asked in found]


async def start_flow_run(
    context: Context, flow: str, inputs: Json = None, version: str = "", id: str | None = None
) -> Told:
    if not isinstance(inputs, dict | None):
        raise BadRequest("`inputs` is not an object", 'give them by name, as {"question": "..."}', param="inputs")
    if id is not None and not (id.isascii() and id.isalnum() and 16 <= len(id) <= 64):
        raise BadRequest(f"{id[:64]!r} is no id for a run", "give 16 to 64 letters and digits", param="id")
    begun = await context.house.means.keeper.runs.start(
        context.caller, flow, msgspec.json.encode(inputs or {}), version=version, trace=context.trace, id=id or ""
    )
    return _run(context, begun)


async def cancel_flow_run(context: Context, id: str) -> Told:
    return _run(context, await context.house.means.keeper.runs.cancel(context.caller, id))


async def resume_flow_run(context: Context, id: str) -> Told:
    return _run(context, await context.house.means.keeper.runs.resume(context.caller, id))


async def decide(context: Context, id: str, key: str, approved: bool, note: str = "", value: Json = None) -> Told:
    said = msgspec.json.encode(value)
    await context.house.means.keeper.runs.decide(context.caller, id, key, approved, note, said)
    return _run(context, await context.house.means.keeper.runs.one(context.caller, id))


def _run(context: Context, run: Run, number: int = 0) -> Told:
    """What was said in it is opened only where it was asked for."""
    return {
        "id": run.id,
        "number": number or None,
        "flow": run.flow,
        "version": run.version,
        "project": run.project,
        "door": run.door,
        "key": run.key,
        "user": run.user,
        "state": run.state,
        "attempt": run.attempt,
        "error": run.error,
        "created": run.created,
        "started": run.began,
        "ended": run.ended,
        "steps": partial(_steps, context, run),
        "inputs": partial(_value, context, run, INPUTS),
        "outputs": partial(_value, context, run, OUTPUTS),
        "failure": partial(_failure, context, run),
    }


async def _steps(context: Context, run: Run, info: object) -> list[Told]:
    return [_step(context, run, each) for each in await context.house.means.keeper.runs.steps(context.caller, run.id)]


def _step(context: Context, run: Run, step: Step) -> Told:
    return {
        "key": step.key,
        "state": step.state,
        "attempt": step.attempt,
        "started": step.began,
        "ended": step.ended,
        "decidedBy": step.by,
        "model": step.model,
        "costUsd": dollars(step.cost),
        "error": step.error,
        "output": partial(_value, context, run, step.key),
    }


async def _value(context: Context, run: Run, key: str, info: object) -> Json:
    found = await context.house.means.keeper.runs.value(context.caller, run.id, key)
    return None if found is None else msgspec.json.decode(found)


async def _failure(context: Context, run: Run, info: object) -> Told | None:
    why = await context.house.means.keeper.runs.failed(context.caller, run.id)
    return None if why is None else {"code": why.code, "message": why.message, "hint": why.hint}


# ---- flows as fields


async def ran(context: Context, flow: Flow, inputs: Mapping[str, Json]) -> Json:
    """What came of it. Who leaves cancels it. Raises UpstreamSlow where that takes too long."""
    limit = context.house.settings.graphql.timeout_s
    try:
        async with asyncio.timeout(limit):
            return await _asked(context, flow, inputs, _unheard)
    except TimeoutError:
        hint = "subscribe to the flow, or start it with startFlowRun and poll flowRun"
        raise UpstreamSlow(f"the flow {flow.name!r} took longer than {limit:g} s, and was cancelled", hint) from None


async def streamed(context: Context, flow: Flow, inputs: Mapping[str, Json]) -> AsyncGenerator[Json, None]:
    events = following(partial(_asked, context, flow, inputs))
    try:
        async for event in events:
            if isinstance(event, Text):
                yield {"text": event.text, "result": None}
            elif isinstance(event, Done):
                yield {"text": "", "result": event.result}
    finally:
        await events.aclose()


async def _asked(
    context: Context, flow: Flow, inputs: Mapping[str, Json], send: Callable[[Event], Awaitable[None]]
) -> Json:
    runs = context.house.means.keeper.runs
    given, caller = msgspec.json.encode(inputs), context.caller
    how = {"version": flow.version, "door": "graphql", "trace": context.trace, "send": send}
    return msgspec.json.decode(await runs.ask(caller, flow.name, given, **how))


async def _unheard(event: Event) -> None:
    """Nobody listens."""


async def found(context: Context, published: Published) -> Flow | None:
    """The flow as it can run; None where it cannot any more."""
    library = context.house.means.keeper.library
    try:
        return await library.checked(published.tenant, published.project, published.name, published.version)
    except (BadRequest, UnknownPath):
        return None
