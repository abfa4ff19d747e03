"""Nodes that act on something outside of a run, also in flows that it calls: such a flow is not run twice."""

from __future__ import annotations

from sizewise.flows.compiled_flow import CompiledNode, Graph
from sizewise.flows.executor import CompiledFlows, FlowStore
from sizewise.flows.language.flow_spec import NodeSpec
from sizewise.flows.node_registry import NodeRegistry

SAFE_METHODS = ("GET", "HEAD")
"""By RFC 9110, 9.2.1: they ask for nothing but an answer."""
SUBFLOW = "subflow"
WAITING = ("approve", "wait")
"""Kinds that act on nothing but the run itself."""


def acting_node(graph: Graph) -> CompiledNode | None:
    """The first that acts on something, or that calls a flow, which may."""
    for each in graph.nodes:
        if each.node_class.has_side_effects and each.kind_name not in WAITING:
            return each
        if each.body is not None and (inner := acting_node(each.body)) is not None:
            return inner
    return None


async def first_acting_node(flows: FlowStore, compiled: CompiledFlows, tenant: str, project: str, name: str) -> str:
    """`node (kind)` of the first that may act, empty if there is none. `name`: of a flow, with or without @VERSION.

    Raises PathNotFound, BadRequest, StorageError.
    """
    kinds, waiting, seen = NodeRegistry(), [name], set[str]()
    while waiting:
        called = waiting.pop()
        if called in seen:
            continue
        seen.add(called)
        bare, _, version = called.partition("@")
        whole = await flows.resolve_version(tenant, project, bare, version)
        for node in (await compiled.load(tenant, project, bare, whole)).spec.all_nodes():
            if node.kind == SUBFLOW:
                waiting.append(str(node.values.get("flow", "")))
            elif _acts(kinds, node):
                return f"{node.id} ({node.kind})"
    return ""


def _acts(kinds: NodeRegistry, node: NodeSpec) -> bool:
    if node.kind == "http" and node.values.get("method", SAFE_METHODS[0]) in SAFE_METHODS:
        return False
    known = kinds(node.kind)
    return known is None or known.node_class.has_side_effects
