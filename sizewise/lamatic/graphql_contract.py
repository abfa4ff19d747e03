"""Resolvers of Lamatic's GraphQL contract (`executeWorkflow`, `checkStatus` and others), served by our flows.

https://lamatic.ai/docs/api-integration. `executeWorkflow` is a query, though Lamatic's docs call it a mutation.
`checkStatus` is a scalar, but some clients send a selection set with it.
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

from sizewise.errors import BadRequest, PathNotFound, SizewiseError
from sizewise.flows.compiled_flow import CompiledFlow, Graph
from sizewise.flows.language.types import Json
from sizewise.flows.tables import ACTIVE_STATES, OUTPUTS, FlowRun, RunStep
from sizewise.graphql.context import RequestContext
from sizewise.graphql.extension import GraphQLExtension
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.quality import feedback
from sizewise.handler import RequestOptions
from sizewise.lamatic.canvas import LamaticFileError
from sizewise.lamatic.importer import ImportedFlow
from sizewise.lamatic.uploaded_files import import_upload

EMPTY_PAYLOAD: Mapping[str, str] = {"dummy": "empty"}
"""Sent by Lamatic's MCP client for an empty payload."""
MAX_RATING = 5
MAX_NODES = 200
"""Steps of a run that `checkStatus` returns."""


async def execute_workflow(context: RequestContext, workflow_id: str, payload: Json) -> FieldValues:
    """Raises the error that made the flow fail, prefixed with its node."""
    if not isinstance(payload, dict):
        raise BadRequest("`payload` is not an object", "pass the flow's inputs by name", param="payload")
    runs, principal = context.services.runs, context.principal
    name, _, version = workflow_id.partition("@")
    inputs = {} if payload == EMPTY_PAYLOAD else payload
    options = RequestOptions(cache="no-cache" if context.bypass_cache else None)
    run = await runs.starter.start(
        principal,
        name,
        msgspec.json.encode(inputs),
        version=version,
        endpoint="lamatic",
        options=options,
    )
    try:
        run = await _wait_for_run(context, run)
    except asyncio.CancelledError:
        await asyncio.shield(runs.control.cancel(principal, run.id))  # the client has disconnected
        raise
    if run.state in ACTIVE_STATES:
        return {"status": "success", "result": {"requestId": run.id}, "requestId": run.id}
    if run.state == "done":
        outputs = await runs.queries.get_value(principal, run.id)
        return {"status": "success", "result": msgspec.json.decode(outputs or b"{}"), "requestId": run.id}
    raise await _run_error(context, run)


async def _wait_for_run(context: RequestContext, run: FlowRun) -> FlowRun:
    """The run once it has ended, waits for an approval, or exceeds `[graphql] timeout_s`."""
    try:
        async with asyncio.timeout(context.app.settings.graphql.timeout_s):
            now, _ = await context.services.runs.completion.wait_until_ended_or_waiting(context.principal, run.id)
            return now
    except TimeoutError:
        return run


async def _run_error(context: RequestContext, run: FlowRun) -> SizewiseError:
    why = await context.services.runs.queries.get_error(context.principal, run.id)
    if why is None:
        return SizewiseError("the run was cancelled", "start the flow again", status=409)
    found = next((each for each in _subclasses(SizewiseError) if each.code == why.code), SizewiseError)
    return found(why.message, why.hint)


def _subclasses(kind: type[SizewiseError]) -> list[type[SizewiseError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _subclasses(below))]


async def execute_agent(context: RequestContext, agent_id: str, payload: Json) -> FieldValues:
    return await execute_workflow(context, agent_id, payload)


async def check_status(context: RequestContext, request_id: str) -> FieldValues:
    """Raises PathNotFound, and Forbidden if the caller may not read the run's contents."""
    runs, principal = context.services.runs, context.principal
    run = await runs.queries.get(principal, request_id)
    if run.state in ACTIVE_STATES:
        return {"status": "in-progress"}
    given = await runs.queries.get_value(principal, run.id, ":inputs")
    gave = await runs.queries.get_value(principal, run.id, OUTPUTS)
    error = None if run.state == "done" else await _run_error(context, run)
    output = None if gave is None else msgspec.json.decode(gave)
    kinds = await _node_kinds(context, run)
    return {
        "status": "success" if error is None else "failed",
        "input": None if given is None else msgspec.json.decode(given),
        "output": output,
        "result": output,  # what Lamatic's client for Python reads
        "message": None if error is None else error.message,
        "nodes": [
            await _node(context, run, each, kinds)
            for each in (await runs.queries.list_steps(principal, run.id))[:MAX_NODES]
        ],
        "statusCode": 200 if error is None else error.status,
        "timeTakenInSeconds": _seconds(run.began, run.ended),
    }


async def _node(context: RequestContext, run: FlowRun, step: RunStep, kinds: Mapping[str, str]) -> FieldValues:
    """`input` is null, because inputs of steps are not stored."""
    runs = context.services.runs
    gave = await runs.queries.get_value(context.principal, run.id, step.key) if step.state == "done" else None
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


async def _node_kinds(context: RequestContext, run: FlowRun) -> Mapping[str, str]:
    library = context.services.compiled_flows
    try:
        flow: CompiledFlow = await library.load(run.tenant, run.project, run.flow, run.version)
    except (BadRequest, PathNotFound):
        return {}
    return dict(_nodes_in(flow.graph))


def _nodes_in(graph: Graph) -> list[tuple[str, str]]:
    own = [(node.id, node.kind_name) for node in graph.nodes]
    return own + [each for node in graph.nodes if node.body is not None for each in _nodes_in(node.body)]


def _seconds(began: int | None, ended: int | None) -> float | None:
    return None if began is None or ended is None else (ended - began) / 1000


async def submit_feedback(
    context: RequestContext,
    request_id: str,
    rating: int | None = None,
    comment: str | None = None,
    metadata: Json = None,
) -> FieldValues:
    """Rates all model answers of a run: the run's id is their trace id."""
    if rating is None or not 0 <= rating <= MAX_RATING:
        raise BadRequest(f"{rating!r} is not a valid rating", f"use 0 to {MAX_RATING}", param="rating")
    await context.services.runs.queries.get(context.principal, request_id)
    said = {"success": True, "message": "kept with its comment" if comment else "kept", "error": None}
    try:
        verdicts = await feedback(context, request_id, rating / MAX_RATING, "rating", comment)
    except PathNotFound:
        return {"success": False, "message": "no model answered in this run", "data": None, "error": "not_found"}
    return {**said, "data": verdicts}


async def lamatic_flows(context: RequestContext, name: str, content: str) -> list[FieldValues]:
    """Imports and publishes nothing: the texts are for an editor."""
    made = await asyncio.to_thread(import_upload, name, content)
    return [_imported(file, each) for file, each in made.items()]


def _imported(file: str, made: ImportedFlow | LamaticFileError) -> FieldValues:
    if isinstance(made, LamaticFileError):
        return {"file": file, "name": "", "text": "", "error": f"{made.message}. {made.hint or ''}", "notes": []}
    notes = [
        {"grade": each.grade, "node": each.node, "message": each.message, "hint": each.hint} for each in made.notes
    ]
    return {"file": file, "name": made.name, "text": made.text, "error": None, "notes": notes}


def normalize_document(document: DocumentNode) -> DocumentNode:
    """The document with `checkStatus` as a scalar, and its id as a string even if it was written as an enum."""
    asked = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    roots = [each for one in asked if one.operation is OperationType.QUERY for each in one.selection_set.selections]
    if not any(isinstance(each, FieldNode) and each.name.value == "checkStatus" for each in roots):
        return document
    mended: DocumentNode = visit(document, _CheckStatusNormalizer())
    return mended


class _CheckStatusNormalizer(Visitor):
    def enter_field(self, node: FieldNode, *_: object) -> FieldNode | None:
        if node.name.value != "checkStatus":
            return None
        return dataclasses.replace(
            node,
            selection_set=None,
            arguments=tuple(map(_string_argument, node.arguments or ())),
        )


def _string_argument(argument: ArgumentNode) -> ArgumentNode:
    value = argument.value
    if not isinstance(value, EnumValueNode):
        return argument
    return dataclasses.replace(argument, value=StringValueNode(value=value.value, loc=value.loc))


EXTENSION = GraphQLExtension(
    resolvers=(execute_workflow, execute_agent, check_status, submit_feedback, lamatic_flows),
    normalize=normalize_document,
    acting_queries=("executeWorkflow", "executeAgent"),
)
