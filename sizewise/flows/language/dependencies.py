"""Which node leans on which: by its expressions, and by `after`; and an order in which they can run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from sizewise.flows.language.diagnostics import Findings, Path, known
from sizewise.flows.language.expression import Template, references
from sizewise.flows.language.flow_spec import Node


class Leaned(Struct, frozen=True):
    """Something leans on `name`. `needed`: it cannot do without. `case`: only where that branch chose so."""

    name: str
    case: str
    path: Path
    at: int
    needed: bool
    node: str


def loose(made: Template, path: Path, node: str) -> Iterator[Leaned]:
    """The paths in a template, by their first names."""
    for expression in made.expressions():
        for ref, needed in references(expression):
            yield Leaned(str(ref.path[0]), "", path, ref.at, needed, node)


class Edges:
    """The edges of one level. What leads nowhere is added to the findings at once."""

    def __init__(
        self,
        nodes: Sequence[tuple[Node, Sequence[Leaned]]],
        scope: frozenset[str],
        found: Findings,
        nowhere: Callable[[Leaned, frozenset[str]], None],
    ) -> None:
        """`nowhere` is told of a path whose first name is none, and of the names that are."""
        self._found = found
        self._nowhere = nowhere
        self.ids = [node.id for node, _ in nodes]
        self.nodes = {node.id: node for node, _ in nodes}
        known_names = scope | frozenset(self.ids)
        self._needs: dict[str, dict[str, None]] = {}
        self._may: dict[str, dict[str, None]] = {}
        self._behind: dict[str, list[tuple[str, str, Path]]] = {}
        for node, leaned in nodes:
            needs, may = self._needs.setdefault(node.id, {}), self._may.setdefault(node.id, {})
            behind = self._behind.setdefault(node.id, [])
            for each in leaned:
                if each.node != node.id and each.name not in known_names:
                    continue  # of a node within it, where that is said
                if self.meant(each, known_names) and each.name in self.nodes:
                    if each.case:
                        behind.append((each.name, each.case, each.path))
                    else:
                        (needs if each.needed else may)[each.name] = None
            for name, case in node.after:
                path = (*node.path, "after")
                if name not in self.nodes:
                    if name not in scope or name == "inputs":
                        hint = known(name, [id for id in self.ids if id != node.id])
                        found.add(path, node.id, f"there is no node {name[:60]!r} to come after", hint)
                elif case:
                    behind.append((name, case, path))
                else:
                    needs[name] = None
            for name in needs:
                may.pop(name, None)

    def meant(self, leaned: Leaned, names: frozenset[str]) -> bool:
        """Whether there is such a name; a finding where not."""
        if leaned.name in names:
            return True
        self._nowhere(leaned, names)
        return False

    def of(self, id: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]:
        behind = tuple(dict.fromkeys((name, case) for name, case, _ in self._behind[id]))
        return tuple(self._needs[id]), tuple(self._may[id]), behind

    def before(self, id: str) -> list[str]:
        """What must have ended before it begins."""
        return list({**self._needs[id], **self._may[id], **{name: None for name, _, _ in self._behind[id]}})

    def used(self) -> set[str]:
        return {name for id in self.ids for name in self.before(id)}

    def cases(self, there: Mapping[str, tuple[str, ...]]) -> None:
        """Finds edges behind cases that do not exist."""
        for id in self.ids:
            for name, case, path in self._behind[id]:
                cases = there.get(name)
                if cases is None or case in cases:
                    continue
                if not cases:
                    wrong = f"{name!r} has no cases: only a branch has"
                    self._found.add(path, id, wrong, f"Write it as: after: [{name}]")
                else:
                    self._found.add(path, id, f"the branch {name!r} has no case {case[:60]!r}", known(case, cases))


def order(edges: Edges, found: Findings) -> list[str]:
    """Each node behind what it leans on, else as in the file. Cycles are findings, and their nodes come last."""
    before = {id: set(edges.before(id)) for id in edges.ids}
    after: dict[str, list[str]] = {}
    for id, names in before.items():
        for name in names:
            after.setdefault(name, []).append(id)
    sorted_ids: list[str] = []
    ready = [id for id in edges.ids if not before[id]]
    position = 0
    while position < len(ready):
        id = ready[position]
        position += 1
        sorted_ids.append(id)
        for each in after.get(id, ()):
            before[each].discard(id)
            if not before[each]:
                ready.append(each)
    left = [id for id in edges.ids if before[id]]
    if left:
        _cycles(left, before, edges, found)
    return [*sorted_ids, *left]


def _cycles(left: Sequence[str], before: Mapping[str, set[str]], edges: Edges, found: Findings) -> None:
    """Goes backwards until it meets itself; each node is told of in one cycle at most."""
    seen: set[str] = set()
    for begin in left:
        trail: dict[str, None] = {}
        id = begin
        while id not in seen and id not in trail:
            trail[id] = None
            id = next(name for name in edges.before(id) if name in before[id])
        if id in trail:
            names = list(trail)
            circle = names[names.index(id) :][::-1]
            begins = circle.index(min(circle, key=edges.ids.index)) if len(circle) < 100 else 0
            circle = circle[begins:] + circle[:begins]
            shown = " → ".join([*circle[:10], *(["…"] if len(circle) > 10 else []), circle[0]])
            hint = "Take one of these references away, or use a loop."
            found.add(edges.nodes[circle[0]].path, circle[0], f"these wait for each other: {shown}", hint, key=True)
        seen.update(trail)
