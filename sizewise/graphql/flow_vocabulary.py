"""Fields of what a flow is written with: node kinds with their JSON Schema, filters, and the names in the settings."""

from __future__ import annotations

import asyncio

from sizewise import plugins
from sizewise.agents.knowledge_tool import tool_name
from sizewise.flows.json_schema import flow_json_schema
from sizewise.flows.language.filters import FILTERS
from sizewise.flows.language.types import Json, format_type
from sizewise.flows.node_registry import NodeRegistry, NodeType
from sizewise.graphql.context import RequestContext
from sizewise.graphql.flows import live_flows
from sizewise.graphql.model_type import FieldValues


async def flow_schema(context: RequestContext) -> Json:
    return (await asyncio.to_thread(_vocabulary))[0]


async def node_kinds(context: RequestContext) -> list[FieldValues]:
    return [_kind(each) for each in (await asyncio.to_thread(_vocabulary))[1]]


def _vocabulary() -> tuple[dict[str, Json], tuple[NodeType, ...]]:
    registry = NodeRegistry()
    kinds = tuple(each for name in registry.names if (each := registry(name)) is not None)
    return flow_json_schema(registry), kinds


def _kind(kind: NodeType) -> FieldValues:
    known = kind.node_class
    return {
        "name": kind.name,
        "description": kind.description,
        "sideEffect": known.has_side_effects,
        "hasNodes": known.has_body,
        "canBePinned": known.is_step,
        "parameters": [
            {
                "name": each.name,
                "type": format_type(each.type),
                "required": each.required,
                "expression": not (each.is_plain or each.is_static),
                "names": each.names,
            }
            for each in kind.parameters.values()
        ],
    }


async def flow_filters(context: RequestContext) -> list[FieldValues]:
    return [
        {
            "name": name,
            "description": each.description,
            "inputs": [format_type(kind) for kind in each.input_types],
            "arguments": [None if kind is None else format_type(kind) for kind in each.argument_types],
        }
        for name, each in FILTERS.items()
    ]


async def flow_names(context: RequestContext) -> FieldValues:
    """Names of things that a flow can use, never their addresses or keys."""
    app, principal = context.app, context.principal
    settings = app.settings
    flows = [each.name for each in live_flows(context)]
    tools = {*plugins.plugin_names("tools"), *map(tool_name, settings.knowledge), *flows}
    found = await asyncio.to_thread(lambda: [each.id for each in app.resources.prompts.files(principal)])
    bases = [each.name for each in await app.knowledge_base.bases(principal) if each.project == principal.project]
    return {
        "models": sorted({card.name for card in app.cards}),
        "policies": sorted(settings.policies),
        "flows": flows,
        "knowledge": sorted({*settings.knowledge, *bases}),
        "hosts": sorted(settings.hosts),
        "agents": sorted(settings.agents),
        "prompts": sorted(found),
        "tools": sorted(tools),
    }
