"""Outline of a flow's graph, also of a flow with errors: nodes with their types and lines, edges with their places.

An edge is a sentence in the file, a reference or an `after`, and has its place. What is drawn is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from sizewise.flows.language.dependencies import Dependency
from sizewise.flows.language.diagnostics import KEY, Path
from sizewise.flows.language.types import JSON, Type
from sizewise.flows.language.yaml_source import YamlSource
from sizewise.flows.validator import NodeDraft, ValidatedLevel, ValidationResult

EdgeKind = Literal["required", "optional", "order"]


class OutlineNode(Struct, frozen=True, kw_only=True):
    """`parent`: the `each` or `loop` around it; empty: none. Lines count from 1 and include the last."""

    id: str
    path: Path
    kind: str
    parent: str
    line: int
    end_line: int
    outputs: Type
    cases: tuple[str, ...]
    side_effect: bool
    streams: str  # the field of its output that streams; empty: none


class OutlineEdge(Struct, frozen=True, kw_only=True):
    """`source`: a node, or `inputs`. `target`: a node; empty: the outputs of the flow. `case`: of a branch.

    `reference`: what is written at the place, as `find.passages`. Columns count from 1; the end is not included.
    """

    source: str
    target: str
    case: str
    kind: EdgeKind
    path: Path
    reference: str
    line: int
    column: int
    end_column: int


class GraphOutline(Struct, frozen=True):
    nodes: tuple[OutlineNode, ...] = ()
    edges: tuple[OutlineEdge, ...] = ()


def outline_graph(result: ValidationResult) -> GraphOutline:
    """Empty for a file that is no YAML. Nodes in file order; edges by their places."""
    if result.source is None:
        return GraphOutline()
    ends = _end_lines(result.source)
    places = _Places(result.source)
    nodes = [node for level in result.levels for node in _nodes(level, result.source, ends)]
    edges = {edge: None for level in result.levels for edge in _edges(level, places)}
    return GraphOutline(
        tuple(sorted(nodes, key=lambda each: (each.line, each.path))),
        tuple(sorted(edges, key=lambda each: (each.line, each.column, each.source))),
    )


def _nodes(level: ValidatedLevel, source: YamlSource, ends: Mapping[Path, int]) -> Iterator[OutlineNode]:
    for draft in level.drafts:
        node, known = draft.node, draft.node_type
        line, _ = source.positions.get((*node.path, KEY), (1, 1))
        yield OutlineNode(
            id=node.id,
            path=node.path,
            kind=node.kind,
            parent=level.within,
            line=line,
            end_line=ends.get(node.path, line),
            outputs=level.types.get(node.id, JSON),
            cases=level.cases.get(node.id, ()),
            side_effect=_has_side_effects(draft),
            streams=known.node_class.streaming_field(draft.context) if known is not None else "",
        )


def _has_side_effects(draft: NodeDraft) -> bool:
    own = draft.node_type is not None and draft.node_type.node_class.has_side_effects
    return own or any(map(_has_side_effects, draft.body))


def _edges(level: ValidatedLevel, places: _Places) -> Iterator[OutlineEdge]:
    """Of the names that this level defines; of `inputs` at the outermost one."""
    names = {each.node.id for each in level.drafts} | (set() if level.within else {"inputs"})
    for dependency in [*(each for draft in level.drafts for each in draft.dependencies), *level.outputs]:
        if dependency.name in names:
            yield _reference(dependency, places)
    for draft in level.drafts:
        for name, case in draft.node.after:
            if name in names:
                yield places.order(name, case, draft.node.id, (*draft.node.path, "after"))


def _reference(dependency: Dependency, places: _Places) -> OutlineEdge:
    if dependency.path[-1] == "after":
        return places.order(dependency.name, dependency.case, dependency.node, dependency.path)
    text, line, column = places.reference(dependency)
    return OutlineEdge(
        source=dependency.name,
        target=dependency.node,
        case="",
        kind="required" if dependency.required else "optional",
        path=dependency.path,
        reference=text,
        line=line,
        column=column,
        end_column=column + len(text),
    )


class _Places:
    """Finds what is written where; splits the text once."""

    def __init__(self, source: YamlSource) -> None:
        self._source = source
        self._lines = source.text.split("\n")

    def reference(self, dependency: Dependency) -> tuple[str, int, int]:
        """The text of a reference, its line and column."""
        said = self._value(dependency.path)
        if not isinstance(said, str):
            return dependency.name, *self._source.positions.get(dependency.path, (1, 1))
        text = _path_text(said[dependency.offset :]) or dependency.name
        before = said[: dependency.offset].count(text)
        return text, *self._source.locate(dependency.path, text, before, self._lines)

    def order(self, name: str, case: str, target: str, path: Path) -> OutlineEdge:
        said, text = self._value(path), f"{name}.{case}" if case else name
        item = (*path, said.index(text)) if isinstance(said, list) and text in said else path
        line, column = self._source.locate(item, text, 0, self._lines)
        return OutlineEdge(
            source=name,
            target=target,
            case=case,
            kind="order",
            path=item,
            reference=text,
            line=line,
            column=column,
            end_column=column + len(text),
        )

    def _value(self, path: Path) -> object:
        found: Any = self._source.data
        for each in path:
            found = found[each]
        return found


def _path_text(text: str) -> str:
    """The path at the start of `text`: names, dots and indexes."""
    end = 0
    while end < len(text) and (text[end].isalnum() or text[end] in "_-.[]"):
        end += 1
    return text[:end].rstrip(".-[")


def _end_lines(source: YamlSource) -> dict[Path, int]:
    """The last line of each node: before the next thing in the file, without blank lines and comments."""
    lines = source.text.split("\n")
    ordered = list(source.positions.items())
    wanted = [path for path, _ in ordered if len(path) > 1 and path[-2:-1] == ("nodes",) and path[-1] != KEY]
    where = {path: number for number, (path, _) in enumerate(ordered)}
    return {path: _end_line(path, where[path], ordered, lines) for path in wanted}


def _end_line(path: Path, start: int, ordered: Sequence[tuple[Path, tuple[int, int]]], lines: Sequence[str]) -> int:
    last = ordered[start][1][0]
    following: Iterable[tuple[Path, tuple[int, int]]] = ordered[start + 1 :]
    end = len(lines)
    for other, (line, _) in following:
        if other[: len(path)] != path:
            end = max(last, line - 1)
            break
        last = line
    while end > last and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end
