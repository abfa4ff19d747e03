"""Fields of what a flow is written with: node kinds with their JSON Schema, filters, and the names in the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from sizewise.app.flow_references import known_names
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
    app, names = context.app, await names_of_project(context)
    return {
        "models": sorted({card.name for card in app.cards}),
        "policies": sorted(app.settings.policies),
        "flows": [each.name for each in live_flows(context)],
        **{name: sorted(names.get(name, ())) for name in ("knowledge", "hosts", "agents", "prompts", "tools")},
    }


async def names_of_project(context: RequestContext) -> Mapping[str, Collection[str]]:
    """What a flow of the caller's project can name, by kind; those that the server does not know are left out."""
    app, principal = context.app, context.principal
    prompts = await asyncio.to_thread(lambda: [each.id for each in app.resources.prompts.files(principal)])
    bases = [each.name for each in await app.knowledge_base.bases(principal) if each.project == principal.project]
    flows = [each.name for each in live_flows(context)]
    return known_names(app.settings, flows=flows, prompts=prompts, bases=bases)
