"""What clients of Lamatic's ask, answered by our flows: the same names and shapes; everything behind them is ours.

https://lamatic.ai/docs/api-integration: `executeWorkflow` is a query there, though its pages call it a mutation, and
`checkStatus` is asked with a selection set here and there, though it is a scalar.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

import msgspec
from graphql import (
    ArgumentNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    Visitor,
    visit,
)

from sizewise.errors import BadRequest, SizewiseError, UnknownPath
from sizewise.flows.compiled_flow import Flow, Graph
from sizewise.flows.language.types import Json
from sizewise.flows.tables import OUTPUTS, UNDERWAY, Run, Step
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told
from sizewise.graphql.quality import feedback
from sizewise.handler import Wishes

EMPTY: Mapping[str, str] = {"dummy": "empty"}
"""What their MCP client sends where there is nothing to send."""
BEST = 5
LOOK_S = 0.5
"""Between two looks whether a run has come to somebody who must decide."""
NODES = 200
"""Steps of a run that are told with what they gave."""


async def execute_workflow(context: Context, workflow_id: str, payload: Json) -> Told:
    """Raises whatever made the flow fail, with its node in front."""
    if not isinstance(payload, dict):
        raise BadRequest("`payload` is not an object", "give what the flow takes, by name", param="payload")
    runs, caller = context.house.means.keeper.runs, context.caller
    name, _, version = workflow_id.partition("@")
    inputs = {} if payload == EMPTY else payload
    wishes = Wishes(cache="no-cache" if context.fresh else None)
    run = await runs.start(caller, name, msgspec.json.encode(inputs), version=version, door="lamatic", wishes=wishes)
    try:
        run = await _settled(context, run)
    except asyncio.CancelledError:
        await asyncio.shield(runs.cancel(caller, run.id))  # who asked has left
        raise
    if run.state in UNDERWAY:
        return {"status": "success", "result": {"requestId": run.id}, "requestId": run.id}
    if run.state == "done":
        outputs = await runs.value(caller, run.id)
        return {"status": "success", "result": msgspec.json.decode(outputs or b"{}"), "requestId": run.id}
    raise await _why(context, run)


async def _settled(context: Context, run: Run) -> Run:
    """The run when it is over, waits for somebody, or has taken as long as anybody waits for it here."""
    runs, left = context.house.means.keeper.runs, context.house.settings.graphql.timeout_s
    while left > 0:
        now = await runs.ended(context.caller, run.id, min(LOOK_S, left))
        if now.state not in UNDERWAY or now.state == "waiting":
            return now
        run, left = now, left - LOOK_S
    return run


async def _why(context: Context, run: Run) -> SizewiseError:
    why = await context.house.means.keeper.runs.failed(context.caller, run.id)
    if why is None:
        return SizewiseError("the run was cancelled", "start it again", status=409)
    found = next((each for each in _family(SizewiseError) if each.code == why.code), SizewiseError)
    return found(why.message, why.hint)


def _family(kind: type[SizewiseError]) -> list[type[SizewiseError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _family(below))]


async def execute_agent(context: Context, agent_id: str, payload: Json) -> Told:
    return await execute_workflow(context, agent_id, payload)


async def check_status(context: Context, request_id: str) -> Told:
    """Raises UnknownPath, and Forbidden where what was said in it is another's."""
    runs, caller = context.house.means.keeper.runs, context.caller
    run = await runs.one(caller, request_id)
    if run.state in UNDERWAY:
        return {"status": "in-progress"}
    given = await runs.value(caller, run.id, ":inputs")
    gave = await runs.value(caller, run.id, OUTPUTS)
    status = 200 if run.state == "done" else (await _why(context, run)).status
    kinds = await _kinds(context, run)
    return {
        "status": "success" if run.state == "done" else "failed",
        "input": None if given is None else msgspec.json.decode(given),
        "output": None if gave is None else msgspec.json.decode(gave),
        "nodes": [await _node(context, run, each, kinds) for each in (await runs.steps(caller, run.id))[:NODES]],
        "statusCode": status,
        "timeTakenInSeconds": _seconds(run.began, run.ended),
    }


async def _node(context: Context, run: Run, step: Step, kinds: Mapping[str, str]) -> Told:
    """What it was given is not kept step by step: null."""
    runs = context.house.means.keeper.runs
    gave = await runs.value(context.caller, run.id, step.key) if step.state == "done" else None
    id = step.key.rpartition(".")[2]
    return {
        "nodeId": step.key,
        "nodeType": kinds.get(id, ""),
        "nodeName": id,
        "status": "success" if step.state == "done" else "failed",
        "statusCode": 200 if step.state == "done" else 500,
        "input": None,
        "output": None if gave is None else msgspec.json.decode(gave),
        "timeTakenInSeconds": _seconds(step.began, step.ended),
    }


async def _kinds(context: Context, run: Run) -> Mapping[str, str]:
    library = context.house.means.keeper.library
    try:
        flow: Flow = await library.checked(run.tenant, run.project, run.flow, run.version)
    except (BadRequest, UnknownPath):
        return {}
    return dict(_named(flow.graph))


def _named(graph: Graph) -> list[tuple[str, str]]:
    own = [(node.id, node.name) for node in graph.nodes]
    return own + [each for node in graph.nodes if node.inner is not None for each in _named(node.inner)]


def _seconds(began: int | None, ended: int | None) -> float | None:
    return None if began is None or ended is None else (ended - began) / 1000


async def submit_feedback(
    context: Context, request_id: str, rating: int | None = None, comment: str | None = None, metadata: Json = None
) -> Told:
    """On the answers of models in a run: its trace is its id."""
    if rating is None or not 0 <= rating <= BEST:
        raise BadRequest(f"{rating!r} is no rating", f"give 0 to {BEST}", param="rating")
    await context.house.means.keeper.runs.one(context.caller, request_id)
    said = {"success": True, "message": "kept" if not comment else "kept, without its comment", "error": None}
    try:
        verdicts = await feedback(context, request_id, rating / BEST, "rating")
    except UnknownPath:
        return {"success": False, "message": "no model answered in it", "data": None, "error": "not_found"}
    return {**said, "data": verdicts}


def tolerant(document: DocumentNode) -> DocumentNode:
    """The document with `checkStatus` as a scalar, and its id as a text, however it was written."""
    asked = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    roots = [each for one in asked if one.operation is OperationType.QUERY for each in one.selection_set.selections]
    if not any(isinstance(each, FieldNode) and each.name.value == "checkStatus" for each in roots):
        return document
    mended: DocumentNode = visit(document, _Mended())
    return mended


class _Mended(Visitor):
    def enter_field(self, node: FieldNode, *_: object) -> FieldNode | None:
        if node.name.value != "checkStatus":
            return None
        return dataclasses.replace(node, selection_set=None, arguments=tuple(map(_quoted, node.arguments or ())))


def _quoted(argument: ArgumentNode) -> ArgumentNode:
    value = argument.value
    if not isinstance(value, EnumValueNode):
        return argument
    return dataclasses.replace(argument, value=StringValueNode(value=value.value, loc=value.loc))
