"""Block structure of a canvas: turns edges into nested blocks with loops, branches and an order of nodes.

For each node, `guaranteed_cases` are the branch cases that must have been chosen for it to run. They show whether
another node may have been skipped by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from sizewise.lamatic.canvas import Canvas, CanvasEdge

BranchCase = tuple[str, str]
"""(branch node, name of a case)."""


class NodeBlock(Struct, frozen=True):
    """`order`: nodes in topological order. `predecessors`: node -> (node, case) that it follows.

    `guaranteed_cases`: node -> cases chosen whenever it runs, the nearest last. `loop_bodies`: loop -> its body.
    `cycle_nodes`: nodes at which a cycle was broken.
    """

    order: tuple[str, ...]
    predecessors: Mapping[str, tuple[tuple[str, str], ...]]
    guaranteed_cases: Mapping[str, tuple[BranchCase, ...]]
    loop_bodies: Mapping[str, NodeBlock]
    cycle_nodes: tuple[str, ...] = ()

    def may_be_skipped(self, id: str, at: str) -> bool:
        """Whether `id` may have been skipped when `at` runs."""
        return not set(self.guaranteed_cases.get(id, ())) <= set(self.guaranteed_cases.get(at, ()))


def build_block(
    canvas: Canvas,
    ids: Sequence[str],
    is_joint: Callable[[str], bool],
    loop_ends: Mapping[str, str],
) -> NodeBlock:
    """`is_joint`: whether a node is left out, with its edges connected through. `loop_ends`: loop node -> end node."""
    out: dict[str, list[CanvasEdge]] = {}
    for line in canvas.edges:
        if not line.is_back_edge:
            out.setdefault(line.source, []).append(line)
    return _build_block(list(ids), out, is_joint, loop_ends)


def _build_block(
    ids: list[str],
    out: Mapping[str, list[CanvasEdge]],
    is_joint: Callable[[str], bool],
    loop_ends: Mapping[str, str],
) -> NodeBlock:
    here = set(ids)
    bodies: dict[str, list[str]] = {}
    inside: set[str] = set()
    for start in (id for id in ids if id in loop_ends and loop_ends[id] in here):
        if start in inside:
            continue  # a nested loop
        body = _loop_body(start, loop_ends[start], out, here)
        bodies[start] = [id for id in ids if id in body]
        inside |= body | {loop_ends[start]}
    top = [id for id in ids if id not in inside]
    kept = set(top)
    start_of = {end: start for start, end in loop_ends.items() if start in bodies}
    into: dict[str, list[tuple[str, str]]] = {id: [] for id in top}
    for id in ids:
        source = start_of.get(id, id)
        if source not in kept or (id in bodies and id in loop_ends):
            continue  # a loop's edges lead into its body; its successors follow its end
        for line in out.get(id, ()):
            if line.target in kept and line.target != source:
                into[line.target].append((source, line.case))
    into = {id: list(dict.fromkeys(each)) for id, each in into.items()}
    order, circles = _topological_order(top, into)
    before = _without_joints(order, into, is_joint)
    order = [id for id in order if not is_joint(id)]
    inner = {start: _build_block(body, out, is_joint, loop_ends) for start, body in bodies.items()}
    return NodeBlock(
        order=tuple(order),
        predecessors=before,
        guaranteed_cases=_guaranteed_cases(order, before),
        loop_bodies=inner,
        cycle_nodes=tuple(circles),
    )


def _loop_body(start: str, end: str, out: Mapping[str, list[CanvasEdge]], here: set[str]) -> set[str]:
    """Nodes between a loop's start and end."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for line in out.get(waiting.pop(), ()):
            if line.target not in found and line.target not in (start, end) and line.target in here:
                found.add(line.target)
                waiting.append(line.target)
    return found


def _topological_order(ids: Sequence[str], into: dict[str, list[tuple[str, str]]]) -> tuple[list[str], list[str]]:
    """Topological order, and nodes at which a cycle was broken by removing edges from `into`."""
    after: dict[str, list[str]] = {}
    left = {id: len(into[id]) for id in ids}
    for id in ids:
        for source, _ in into[id]:
            after.setdefault(source, []).append(id)
    ready = [id for id in ids if not left[id]]
    order: list[str] = []
    circles: list[str] = []
    waiting = iter(ids)
    while len(order) < len(ids):
        while ready:
            id = ready.pop(0) if len(ready) < 64 else ready.pop()
            order.append(id)
            for each in after.get(id, ()):
                left[each] -= 1
                if left[each] == 0:
                    ready.append(each)
        seen = set(order)
        stuck = next((id for id in waiting if id not in seen), None)
        if stuck is None:
            break
        circles.append(stuck)
        into[stuck] = [(source, case) for source, case in into[stuck] if source in seen]
        left[stuck] = 0
        ready.append(stuck)
    return order, circles


def _without_joints(
    order: Sequence[str],
    into: Mapping[str, Sequence[tuple[str, str]]],
    is_joint: Callable[[str], bool],
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Predecessors with each joint replaced by the joint's own predecessors."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for id in order:
        made: dict[tuple[str, str], None] = {}
        for source, case in into[id]:
            if is_joint(source):
                made.update(dict.fromkeys(found.get(source, ())))
            else:
                made[source, case] = None
        found[id] = tuple(made)
    return found


def _guaranteed_cases(
    order: Sequence[str],
    before: Mapping[str, Sequence[tuple[str, str]]],
) -> dict[str, tuple[BranchCase, ...]]:
    found: dict[str, tuple[BranchCase, ...]] = {}
    for id in order:
        ways = [(*found.get(node, ()), *(((node, case),) if case else ())) for node, case in before[id]]
        shared = set(ways[0]).intersection(*ways[1:]) if ways else set()
        found[id] = tuple(each for each in ways[0] if each in shared) if ways else ()
    return found
