"""Published flows as fields: typed arguments in, a typed result out; runs none of them, that it is handed in.

A flow that acts outside is a mutation, any other a query; and each is a subscription: its words, then its result.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from graphql import (
    GraphQLArgument,
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

from sizewise.flows.compiled_flow import Flow, Graph
from sizewise.flows.language.types import Json, Type
from sizewise.graphql.context import Context
from sizewise.graphql.naming import each, field

Given = Mapping[str, Json]
Ran = Callable[[Context, Flow, Given], Awaitable[Json]]
Streamed = Callable[[Context, Flow, Given], AsyncGenerator[Json, None]]
"""Each as {"text": ..., "result": ...}."""
Fields = Mapping[str, Mapping[str, GraphQLField]]
"""By root type and name."""


def fields(
    flows: Iterable[Flow],
    ours: Mapping[str, Iterable[str]],
    scalars: Mapping[str, GraphQLNamedType],
    ran: Ran,
    streamed: Streamed,
) -> Fields:
    """`ours`: the fields that are there already, by root type. Of two flows with one name the first has the field."""
    made: dict[str, dict[str, GraphQLField]] = {"Query": {}, "Mutation": {}, "Subscription": {}}
    taken = {name for known in ours.values() for name in known}
    for flow in flows:
        name, root = field(flow.name, taken), "Mutation" if acts(flow.graph) else "Query"
        if name in made["Subscription"]:
            continue
        types = _Types(f"Flow_{name}", scalars)
        says, asks = flow.spec.description or f"The flow {flow.name}.", {"asks": True}
        result, arguments = types.result(flow.types), types.arguments(flow)
        stream = _stream(types.name, result)
        made[root][name] = GraphQLField(
            result, arguments, partial(_resolved, ran, flow), description=says, extensions=asks
        )
        made["Subscription"][name] = GraphQLField(
            GraphQLNonNull(stream),
            arguments,
            partial(_told, name),
            partial(_subscribed, streamed, flow, name),
            description=f"{says} Its words as they come, at last its result.",
            extensions=asks,
        )
    return made


def acts(graph: Graph) -> bool:
    """Whether a node does something outside. Another flow counts as one that does."""
    return any(node.kind.effect or (node.inner is not None and acts(node.inner)) for node in graph.nodes)


async def _resolved(ran: Ran, flow: Flow, source: object, info: GraphQLResolveInfo[Context], /, **given: Json) -> Json:
    info.context.may("ask")
    return await ran(info.context, flow, given)


async def _subscribed(
    streamed: Streamed, flow: Flow, name: str, source: object, info: GraphQLResolveInfo[Context], /, **given: Json
) -> AsyncGenerator[Json, None]:
    info.context.may("ask")
    return _named(name, streamed(info.context, flow, given))


async def _named(name: str, events: AsyncGenerator[Json, None]) -> AsyncGenerator[Json, None]:
    try:
        async for event in events:
            yield {name: event}
    finally:
        await events.aclose()


def _told(name: str, source: Json, info: object, /, **given: Json) -> Json:
    return source[name]


def _stream(name: str, result: Any) -> GraphQLObjectType:
    text = GraphQLField(GraphQLNonNull(GraphQLString), description="A piece of its words; empty in the last event.")
    last = GraphQLField(result, description="Null but in the last event.")
    return GraphQLObjectType(f"{name}__Stream", {"text": text, "result": last})


class _Types:
    """The types of one flow. Names of types are paths, with __ between their parts."""

    def __init__(self, name: str, scalars: Mapping[str, GraphQLNamedType]) -> None:
        self.name = name
        self._scalars = scalars
        self._used: set[str] = {f"{name}__Stream"}

    def result(self, types: Mapping[str, Type]) -> Any:
        return self._object(self.name, types) if types else self._scalars["JSON"]

    def arguments(self, flow: Flow) -> dict[str, GraphQLArgument]:
        names = each(flow.spec.inputs)
        made = {}
        for name, said in flow.spec.inputs.items():
            kind = self._input(f"{self.name}__{names[name]}", said.type)
            says = said.description or None
            if not said.required and said.default is not None:
                says = f"{says or ''} By default {str(said.default)[:60]!r}.".strip()
            made[names[name]] = GraphQLArgument(
                GraphQLNonNull(kind) if said.required else kind, description=says, out_name=name
            )
        return made

    def _object(self, name: str, types: Mapping[str, Type]) -> GraphQLObjectType:
        names = each(types)
        made = {}
        for key, kind in types.items():
            inner = self._output(f"{name}__{names[key]}", kind)
            made[names[key]] = GraphQLField(inner, resolve=partial(_picked, key))
        return GraphQLObjectType(self._free(name), made)

    def _output(self, name: str, kind: Type) -> Any:
        if kind.name == "list":
            return GraphQLList(self._output(name, kind.of) if kind.of else self._scalars["JSON"])
        if kind.name == "object" and kind.fields and not kind.open:
            return self._object(name, kind.fields)
        if kind.name == "messages":
            return GraphQLList(self._scalars["JSON"])
        return self._scalars["File" if kind.name == "file" else SCALARS.get(kind.name, "JSON")]

    def _input(self, name: str, kind: Type) -> Any:
        if kind.name == "list":
            return GraphQLList(GraphQLNonNull(self._input(name, kind.of) if kind.of else self._scalars["JSON"]))
        if kind.name == "object" and kind.fields and not kind.open:
            names = each(kind.fields)
            made = {
                names[key]: GraphQLInputField(GraphQLNonNull(self._input(f"{name}__{names[key]}", inner)), out_name=key)
                for key, inner in kind.fields.items()
            }
            return GraphQLInputObjectType(self._free(f"{name}__Input"), made)
        if kind.name == "messages":
            return GraphQLList(GraphQLNonNull(self._scalars["JSON"]))
        return self._scalars["FileInput" if kind.name == "file" else SCALARS.get(kind.name, "JSON")]

    def _free(self, name: str) -> str:
        while name in self._used:
            name += "_"
        self._used.add(name)
        return name


SCALARS: Mapping[str, str] = {"text": "String", "number": "Float", "integer": "SafeInt", "boolean": "Boolean"}


def _picked(key: str, source: Json, info: object, /) -> Json:
    return source.get(key) if isinstance(source, dict) else None
