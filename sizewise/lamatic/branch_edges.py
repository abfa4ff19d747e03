"""Cases of a branch's edges: which condition or class of a node each of its edges follows; guesses none.

Lamatic's exports name the case on the edge, or name the edge or its target in the case, or neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from sizewise.flows.language.types import Json
from sizewise.lamatic import typescript_literals
from sizewise.lamatic.canvas import CanvasEdge, CanvasNode, LamaticFileError

UNKNOWN_CASE = "\0unknown"
"""Case of an edge that leaves a branch, where the file does not tell which."""
BRANCHES: Mapping[str, str] = {
    "conditionNode": "conditions",
    "agentClassifierNode": "classifier",
    "agentNode": "agents",
}
"""Type of node -> the value that lists its cases."""


def edge_cases(node: CanvasNode, edge: str, target: str, label: str) -> list[str]:
    """The cases that an edge follows. `edge`: its id. `label`: the case that the edge names; either may be empty."""
    listed = _cases(node)
    if not listed:
        return [""]
    if any(_label(each) == label for each in listed):
        return [label]
    exact = (edge, target, f"{node.id}-{target}")
    if found := [_label(each) for each in listed if (value := each.get("value")) and value in exact]:
        return found
    if found := [_label(each) for each in listed if f"-{target}-" in f"{each.get('value') or ''}-"]:
        return found[:1]
    return [label or (UNKNOWN_CASE if node.type != "agentNode" else "")]


def complete_cases(nodes: Mapping[str, CanvasNode], edges: Sequence[CanvasEdge]) -> tuple[CanvasEdge, ...]:
    """The edges, with the case of an unknown one where its branch has one edge and one case left."""
    unknown: dict[str, list[int]] = {}
    for number, each in enumerate(edges):
        if each.case == UNKNOWN_CASE:
            unknown.setdefault(each.source, []).append(number)
    made = list(edges)
    for source, numbers in unknown.items():
        followed = {each.case for each in edges if each.source == source}
        left = [label for each in _cases(nodes[source]) if (label := _label(each)) not in followed]
        if len(numbers) == len(left) == 1:
            made[numbers[0]] = replace(made[numbers[0]], case=left[0])
    return tuple(made)


def _cases(node: CanvasNode) -> list[Mapping[str, Json]]:
    said = node.values.get(BRANCHES[node.type]) if node.type in BRANCHES else None
    if isinstance(said, str) and said.strip()[:1] == "[":
        try:
            said = typescript_literals.parse_literal(said)
        except LamaticFileError:
            return []
    return [each for each in said if isinstance(each, Mapping)] if isinstance(said, list) else []


def _label(case: Mapping[str, Json]) -> str:
    return str(case.get("label") or case.get("condition") or case.get("name") or "")
