"""Dependency graph of the nodes of a flow, from expressions and `after`, and its topological order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from sizewise.flows.language.diagnostics import DiagnosticCollector, Path, did_you_mean
from sizewise.flows.language.expression import Template, iterate_references
from sizewise.flows.language.flow_spec import NodeSpec


class Dependency(Struct, frozen=True):
    """A dependency on `name`. `required`: skipped if `name` was. `case`: skipped unless the branch `name` chose it."""

    name: str
    case: str
    path: Path
    offset: int
    required: bool
    node: str


def template_dependencies(template: Template, path: Path, node: str) -> Iterator[Dependency]:
    """The references in a template, by the first name of their path."""
    for expression in template.expressions():
        for ref, needed in iterate_references(expression):
            yield Dependency(name=str(ref.path[0]), case="", path=path, offset=ref.offset, required=needed, node=node)


class DependencyGraph:
    """The edges of one level. Unknown references are reported when the graph is built."""

    def __init__(
        self,
        nodes: Sequence[tuple[NodeSpec, Sequence[Dependency]]],
        scope: frozenset[str],
        diagnostics: DiagnosticCollector,
        on_unknown: Callable[[Dependency, frozenset[str]], None],
    ) -> None:
        """`on_unknown` is called with a dependency on an unknown name, and the known names."""
        self._diagnostics = diagnostics
        self._on_unknown = on_unknown
        self.ids = [node.id for node, _ in nodes]
        self.nodes = {node.id: node for node, _ in nodes}
        known_names = scope | frozenset(self.ids)
        self._required: dict[str, dict[str, None]] = {}
        self._optional: dict[str, dict[str, None]] = {}
        self._cases: dict[str, list[tuple[str, str, Path]]] = {}
        self._latest = ("", frozenset[str]())  # of `at_or_after`: its callers ask node by node
        unknown: list[Dependency] = []
        unknown_after: list[tuple[NodeSpec, str]] = []
        for node, leaned in nodes:
            needs, may = self._required.setdefault(node.id, {}), self._optional.setdefault(node.id, {})
            behind = self._cases.setdefault(node.id, [])
            for each in leaned:
                if each.node != node.id and each.name not in known_names:
                    continue  # of an inner node, reported at that node
                if each.name not in known_names:
                    unknown.append(each)
                elif each.name in self.nodes:
                    if each.case:
                        behind.append((each.name, each.case, each.path))
                    else:
                        (needs if each.required else may)[each.name] = None
            for name, case in node.after:
                path = (*node.path, "after")
                if name not in self.nodes:
                    if name not in scope or name == "inputs":
                        unknown_after.append((node, name))
                elif case:
                    behind.append((name, case, path))
                else:
                    needs[name] = None
            for name in needs:
                may.pop(name, None)
        for each in unknown:  # now that it is known what would make a circle
            on_unknown(each, known_names - self.at_or_after(each.node))
        for node, name in unknown_after:
            circular = self.at_or_after(node.id)
            hint = did_you_mean(name, [id for id in self.ids if id not in circular])
            diagnostics.add((*node.path, "after"), node.id, f"there is no node {name[:60]!r}", hint)

    def resolve(self, dependency: Dependency, names: frozenset[str]) -> bool:
        """Whether the name is known; reports it if not."""
        if dependency.name in names:
            return True
        self._on_unknown(dependency, names)
        return False

    def edges_of(self, id: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]:
        behind = tuple(dict.fromkeys((name, case) for name, case, _ in self._cases[id]))
        return tuple(self._required[id]), tuple(self._optional[id]), behind

    def predecessors(self, id: str) -> list[str]:
        """Nodes that must end before this one begins."""
        return list({**self._required[id], **self._optional[id], **{name: None for name, _, _ in self._cases[id]}})

    def at_or_after(self, id: str) -> frozenset[str]:
        """The node, and all that begin only when it has ended."""
        if id != self._latest[0]:
            found, todo = {id}, [id]
            while todo:
                later = self._successors.get(todo.pop(), set()) - found
                found |= later
                todo += later
            self._latest = (id, frozenset(found))
        return self._latest[1]

    @cached_property
    def _successors(self) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = {}
        for id in self.ids:
            for name in self.predecessors(id):
                found.setdefault(name, set()).add(id)
        return found

    def referenced_nodes(self) -> set[str]:
        return {name for id in self.ids for name in self.predecessors(id)}

    def check_cases(self, cases_by_node: Mapping[str, tuple[str, ...]]) -> None:
        """Reports edges from cases that do not exist."""
        for id in self.ids:
            for name, case, path in self._cases[id]:
                cases = cases_by_node.get(name)
                if cases is None or case in cases:
                    continue
                if not cases:
                    wrong = f"{name!r} has no cases; only branches have"
                    self._diagnostics.add(path, id, wrong, f"Write it as: after: [{name}]")
                else:
                    self._diagnostics.add(
                        path,
                        id,
                        f"the branch {name!r} has no case {case[:60]!r}",
                        did_you_mean(case, cases),
                    )


def topological_order(graph: DependencyGraph, diagnostics: DiagnosticCollector) -> list[str]:
    """Nodes after their predecessors, otherwise in file order. Cycles are reported, and their nodes come last."""
    before = {id: set(graph.predecessors(id)) for id in graph.ids}
    after: dict[str, list[str]] = {}
    for id, names in before.items():
        for name in names:
            after.setdefault(name, []).append(id)
    sorted_ids: list[str] = []
    ready = [id for id in graph.ids if not before[id]]
    position = 0
    while position < len(ready):
        id = ready[position]
        position += 1
        sorted_ids.append(id)
        for each in after.get(id, ()):
            before[each].discard(id)
            if not before[each]:
                ready.append(each)
    left = [id for id in graph.ids if before[id]]
    if left:
        _report_cycles(left, before, graph, diagnostics)
    return [*sorted_ids, *left]


def _report_cycles(
    left: Sequence[str],
    before: Mapping[str, set[str]],
    graph: DependencyGraph,
    diagnostics: DiagnosticCollector,
) -> None:
    """Follows predecessors back to a node already seen; reports each node in at most one cycle."""
    seen: set[str] = set()
    for begin in left:
        trail: dict[str, None] = {}
        id = begin
        while id not in seen and id not in trail:
            trail[id] = None
            id = next(name for name in graph.predecessors(id) if name in before[id])
        if id in trail:
            names = list(trail)
            circle = names[names.index(id) :][::-1]
            begins = circle.index(min(circle, key=graph.ids.index)) if len(circle) < 100 else 0
            circle = circle[begins:] + circle[:begins]
            shown = " → ".join([*circle[:10], *(["…"] if len(circle) > 10 else []), circle[0]])
            hint = "Remove one of these references, or use a loop."
            diagnostics.add(
                graph.nodes[circle[0]].path,
                circle[0],
                f"these nodes depend on each other: {shown}",
                hint,
                at_key=True,
            )
        seen.update(trail)
