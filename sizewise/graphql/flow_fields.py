"""Adds each published flow to the schema as a typed field; executes none of them.

A flow with side effects is a mutation, any other a query. Each is also a subscription: its text, then its result.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLString,
)

from sizewise.flows.compiled_flow import CompiledFlow, Graph
from sizewise.flows.language.types import Json, Type
from sizewise.graphql.context import RequestContext
from sizewise.graphql.naming import flow_field_name, graphql_names
from sizewise.graphql.query_cost import COST, MODEL_FIELD_COST

FlowInputs = Mapping[str, Json]
RunFlowField = Callable[[RequestContext, CompiledFlow, FlowInputs], Awaitable[Json]]
StreamFlowField = Callable[[RequestContext, CompiledFlow, FlowInputs], AsyncGenerator[Json, None]]
"""Yields {"text": ..., "result": ...}."""
FlowFields = Mapping[str, Mapping[str, GraphQLField]]
"""By root type and field name."""


def build_flow_fields(
    flows: Iterable[CompiledFlow],
    existing: Mapping[str, Iterable[str]],
    scalars: Mapping[str, GraphQLNamedType],
    execute: RunFlowField,
    streamed: StreamFlowField,
) -> FlowFields:
    """`existing`: fields already in the schema, by root type. Of two flows with the same field name, the first gets
    it."""
    made: dict[str, dict[str, GraphQLField]] = {"Query": {}, "Mutation": {}, "Subscription": {}}
    taken = {name for known in existing.values() for name in known}
    for flow in flows:
        name, root = flow_field_name(flow.name, taken), "Mutation" if has_side_effects(flow.graph) else "Query"
        if name in made["Subscription"]:
            continue
        types = _Types(f"Flow_{name}", scalars)
        says, requests = flow.spec.description or f"The flow {flow.name}.", {COST: MODEL_FIELD_COST}
        result, arguments = types.result(flow.output_types), types.arguments(flow)
        stream = _stream(types.name, result)
        made[root][name] = GraphQLField(
            result,
            arguments,
            partial(_resolved, execute, flow),
            description=says,
            extensions=requests,
        )
        made["Subscription"][name] = GraphQLField(
            GraphQLNonNull(stream),
            arguments,
            partial(_event_payload, name),
            partial(_subscribed, streamed, flow, name),
            description=f"{says} Streams its text, then its result.",
            extensions=requests,
        )
    return made


def has_side_effects(graph: Graph) -> bool:
    """Whether any node has side effects. A node that runs another flow counts as such."""
    return any(
        node.node_class.has_side_effects or (node.body is not None and has_side_effects(node.body))
        for node in graph.nodes
    )


async def _resolved(
    execute: RunFlowField,
    flow: CompiledFlow,
    source: object,
    info: GraphQLResolveInfo[RequestContext],
    /,
    **inputs: Json,
) -> Json:
    info.context.require("ask")
    return await execute(info.context, flow, inputs)


async def _subscribed(
    stream: StreamFlowField,
    flow: CompiledFlow,
    name: str,
    source: object,
    info: GraphQLResolveInfo[RequestContext],
    /,
    **inputs: Json,
) -> AsyncGenerator[Json, None]:
    info.context.require("ask")
    return _named(name, stream(info.context, flow, inputs))


async def _named(name: str, events: AsyncGenerator[Json, None]) -> AsyncGenerator[Json, None]:
    try:
        async for event in events:
            yield {name: event}
    finally:
        await events.aclose()


def _event_payload(name: str, source: Json, info: object, /, **inputs: Json) -> Json:
    return source[name]


def _stream(name: str, result: Any) -> GraphQLObjectType:
    text = GraphQLField(
        GraphQLNonNull(GraphQLString), description="The next piece of the flow's text; empty in the last event."
    )
    last = GraphQLField(result, description="The flow's result, in the last event; null before.")
    return GraphQLObjectType(f"{name}__Stream", {"text": text, "result": last})


class _Types:
    """The GraphQL types of one flow. Type names are paths, joined by __."""

    def __init__(self, name: str, scalars: Mapping[str, GraphQLNamedType]) -> None:
        self.name = name
        self._scalars = scalars
        self._used: set[str] = {f"{name}__Stream"}

    def result(self, types: Mapping[str, Type]) -> Any:
        return self._object(self.name, types) if types else self._scalars["JSON"]

    def arguments(self, flow: CompiledFlow) -> dict[str, GraphQLArgument]:
        names = graphql_names(flow.spec.inputs)
        made = {}
        for name, said in flow.spec.inputs.items():
            kind = self._input(f"{self.name}__{names[name]}", said.type)
            says = said.description or None
            if not said.required and said.default is not None:
                says = f"{says or ''} Default: {str(said.default)[:60]!r}.".strip()
            made[names[name]] = GraphQLArgument(
                GraphQLNonNull(kind) if said.required else kind,
                description=says,
                out_name=name,
            )
        return made

    def _object(self, name: str, types: Mapping[str, Type]) -> GraphQLObjectType:
        names = graphql_names(types)
        made = {}
        for key, kind in types.items():
            inner = self._output(f"{name}__{names[key]}", kind)
            made[names[key]] = GraphQLField(inner, resolve=partial(_picked, key))
        return GraphQLObjectType(self._free(name), made)

    def _output(self, name: str, kind: Type) -> Any:
        if kind.name == "list":
            return GraphQLList(self._output(name, kind.item_type) if kind.item_type else self._scalars["JSON"])
        if kind.name == "object" and kind.fields:
            return self._object(name, kind.fields)
        if kind.name == "messages":
            return GraphQLList(self._scalars["JSON"])
        if _has_enum(kind):
            return self._enum(name, kind)
        return self._scalars["File" if kind.name == "file" else SCALARS.get(kind.name, "JSON")]

    def _input(self, name: str, kind: Type) -> Any:
        if kind.name == "list":
            return GraphQLList(
                GraphQLNonNull(self._input(name, kind.item_type) if kind.item_type else self._scalars["JSON"]),
            )
        if kind.name == "object" and kind.fields and not kind.open:
            names = graphql_names(kind.fields)
            made = {
                names[key]: GraphQLInputField(GraphQLNonNull(self._input(f"{name}__{names[key]}", inner)), out_name=key)
                for key, inner in kind.fields.items()
            }
            return GraphQLInputObjectType(self._free(f"{name}__Input"), made)
        if kind.name == "messages":
            return GraphQLList(GraphQLNonNull(self._scalars["JSON"]))
        return self._scalars["FileInput" if kind.name == "file" else SCALARS.get(kind.name, "JSON")]

    def _enum(self, name: str, kind: Type) -> GraphQLEnumType:
        return GraphQLEnumType(self._free(name), {each: each for each in kind.enum})

    def _free(self, name: str) -> str:
        while name in self._used:
            name += "_"
        self._used.add(name)
        return name


def _has_enum(kind: Type) -> bool:
    """Whether the values of a text are an enum of GraphQL: each is a name there as it is."""
    return bool(kind.enum) and all(ENUM_VALUE.fullmatch(each) and each not in NOT_ENUM_VALUES for each in kind.enum)


ENUM_VALUE = re.compile(r"[A-Za-z_][0-9A-Za-z_]*")
NOT_ENUM_VALUES = frozenset({"true", "false", "null"})
SCALARS: Mapping[str, str] = {"text": "String", "number": "Float", "integer": "SafeInt", "boolean": "Boolean"}


def _picked(key: str, source: Json, info: object, /) -> Json:
    return source.get(key) if isinstance(source, dict) else None
