"""The `checkFlow` field: what is wrong with a text of a flow, how to fix it, and the graph that it draws."""

from __future__ import annotations

import asyncio
from functools import partial

from sizewise.app.flow_references import FlowReferences
from sizewise.catalog.loader import local_cards
from sizewise.flows.graph_outline import OutlineEdge, OutlineNode, outline_graph
from sizewise.flows.language.diagnostics import MAX_DIAGNOSTICS
from sizewise.flows.language.types import format_type
from sizewise.flows.validator import ValidationResult
from sizewise.graphql.context import RequestContext
from sizewise.graphql.flow_findings import flow_findings
from sizewise.graphql.flow_vocabulary import names_of_project
from sizewise.graphql.model_type import FieldValues


async def check_flow(context: RequestContext, text: str) -> FieldValues:
    """A name that this installation lacks is a warning: it may come before the flow runs."""
    principal, app = context.principal, context.app
    checked = await context.services.compiled_flows.validate(
        principal.tenant, principal.project, text, app.settings.agents
    )
    names, settings = await names_of_project(context), app.settings
    known = FlowReferences(app.aliases, names, settings.hosts, local_cards(settings))
    found = sorted((*checked.diagnostics, *known.check(checked)), key=lambda each: (each.line, each.column))
    return {
        "name": checked.spec.name if checked.spec else "",
        "version": checked.spec.version if checked.spec else "",
        "valid": checked.flow is not None,
        "findings": flow_findings(text, found[:MAX_DIAGNOSTICS]),
        "graph": partial(_graph, context, checked),
    }


async def _graph(context: RequestContext, checked: ValidationResult, info: object) -> FieldValues | None:
    """Computed only if it is requested."""
    if checked.source is None:
        return None
    outline = await asyncio.to_thread(outline_graph, checked)
    return {"nodes": list(map(_graph_node, outline.nodes)), "edges": list(map(_graph_edge, outline.edges))}


def _graph_node(node: OutlineNode) -> FieldValues:
    return {
        "id": node.id,
        "path": node.path,
        "kind": node.kind,
        "parent": node.parent,
        "line": node.line,
        "endLine": node.end_line,
        "outputs": format_type(node.outputs),
        "cases": node.cases,
        "sideEffect": node.side_effect,
        "streams": node.streams,
    }


def _graph_edge(edge: OutlineEdge) -> FieldValues:
    return {
        "from": edge.source,
        "to": edge.target,
        "case": edge.case,
        "kind": edge.kind,
        "path": edge.path,
        "reference": edge.reference,
        "line": edge.line,
        "column": edge.column,
        "endColumn": edge.end_column,
    }
