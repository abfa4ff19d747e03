"""What is wrong with a flow, all of it at once, each where it stands and with what would mend it; runs nothing.

Level by level (a flow's nodes, then those that an each or loop holds): the kinds and parameters of nodes, the paths
that their expressions take, the order in which they can run, and then, in that order, the types. 300 nodes take about
30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.flows.compiled_flow import Flow, Graph, Ready, Voice, signature
from sizewise.flows.language import types
from sizewise.flows.language.dependencies import Edges, Leaned, loose, order
from sizewise.flows.language.diagnostics import Finding, Findings, Path, known
from sizewise.flows.language.expression import (
    Both,
    Compiled,
    Expression,
    Filtered,
    Literal_,
    Ref,
    Template,
    Wrong,
    still,
)
from sizewise.flows.language.expression_parser import template
from sizewise.flows.language.flow_spec import HOLDS, NODE, Node, Spec, spec
from sizewise.flows.language.type_inference import typed
from sizewise.flows.language.types import JSON, MESSAGES, TEXT, Type
from sizewise.flows.language.yaml_source import Source, Unreadable, read
from sizewise.flows.node import Given, Kind, Signature
from sizewise.flows.node_registry import Kinds, Known, Parameter

Others = Callable[[str], Signature | None]
"""What another flow takes and gives, by `NAME` or `NAME@VERSION`; None where there is none."""
Names = Mapping[str, Sequence[str]]
"""What there is of what parameters name (`models`, `hosts`, ...), where that is known."""


BROKEN = Template((Literal_(None),))
"""In the place of a text that could not be read: of it nothing more is said."""


class Checked(Struct, frozen=True):
    """`flow` is None where anything but warnings was found."""

    flow: Flow | None
    findings: tuple[Finding, ...]
    spec: Spec | None = None


def nobody(name: str) -> Signature | None:
    """Where there are no other flows."""
    return None


def check(text: str, kinds: Kinds, others: Others = nobody) -> Checked:
    """Raises nothing: what cannot even be read is a finding too."""
    try:
        source = read(text)
    except Unreadable as wrong:
        return Checked(None, (Finding("", wrong.line, wrong.column, wrong.bare, wrong.hint),))
    found = Findings(source.places)
    written = spec(source, found)
    flow = _Check(source, found, kinds, others).flow(written)
    return Checked(None if found else flow, found.all(), written)


class Parts(Struct):
    """A node on its way to be ready: what its file says, read."""

    node: Node
    known: Known | None
    values: dict[str, Compiled]
    late: dict[str, Compiled]
    leaned: list[Leaned]
    inner: list[Parts]
    outputs: Compiled
    given: Given


class _Check:
    def __init__(self, source: Source, found: Findings, kinds: Kinds, others: Others) -> None:
        self._source = source
        self._found = found
        self._kinds = kinds
        self._others = others

    def flow(self, written: Spec) -> Flow:
        scope = {"inputs": Type("object", fields={name: each.type for name, each in written.inputs.items()})}
        if not written.inputs:
            scope["inputs"] = Type("object", fields={"\0": JSON})  # nothing can be reached in it
        around = frozenset(scope) | {node.id for node in written.nodes}
        parts = [self._parts(node, around) for node in written.nodes]
        outputs, leaned = self._compiled(written.outputs, ("outputs",), "")
        self._triggers(written)
        graph, kinds = self._graph(parts, outputs, leaned, scope, ("outputs",), "")
        given = {name: kinds.get(name, JSON) for name in written.outputs}
        return Flow(written, graph, given, _voice(graph, given), _takes(written))

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _parts(self, node: Node, scope: frozenset[str]) -> Parts:
        """`scope`: the names around it, its siblings' too."""
        known_kind = self._kinds(node.kind) if node.kind else None
        if known_kind is None and node.kind:
            hint = known(node.kind, self._kinds.names)
            self._found.add((*node.path, "kind"), node.id, f"there is no kind of node {node.kind[:60]!r}", hint)
        parts = Parts(node, known_kind, {}, {}, [], [], None, Given({}, {}, flow=self._others))
        parameters = known_kind.parameters if known_kind else {}
        for name, said in node.values.items():
            path = (*node.path, name)
            parameter = parameters.get(name)
            if parameter is None:
                if known_kind is not None:
                    self._unknown(node, name, known_kind)
                continue
            if parameter.plain:
                parts.values[name] = said
                continue
            value, leaned = self._compiled(said, path, node.id)
            if parameter.settled and not still(value):
                hint = "Write the value itself: it must be known before anything runs."
                self._found.add(path, node.id, f"`{name}` holds an expression", hint)
            elif known_kind is not None and name in known_kind.kind.late:
                parts.late[name] = value
            else:
                parts.values[name] = value
            parts.leaned += leaned
        for parameter in parameters.values():
            if parameter.required and parameter.name not in node.values:
                hint = f"Add it: {parameter.name}: {_example(parameter)}"
                self._found.add(node.path, node.id, f"`{parameter.name}` is missing", hint, key=True)
        parts.given = _given(parts, self._others)
        self._holds(parts, scope)
        return parts

    def _holds(self, parts: Parts, scope: frozenset[str]) -> None:
        """The nodes within it, and its outputs; what these lean on outside, it leans on itself."""
        node, known_kind = parts.node, parts.known
        if known_kind is None or not known_kind.kind.holds:
            for name in HOLDS if known_kind is not None and node.nodes else ():
                hint = "Only each and loop hold nodes."
                self._found.add((*node.path, name), node.id, f"{node.kind!r} holds no nodes", hint, key=True)
            return
        if not node.nodes:
            hint = "Add them: nodes: {summary: {kind: ask, ...}}"
            self._found.add(node.path, node.id, "it holds no nodes", hint, key=True)
        if not node.outputs:
            hint = 'Say what each round gives: outputs: {text: "{{ summary.text }}"}'
            self._found.add(node.path, node.id, "it has no outputs", hint, key=True)
        names = frozenset(known_kind.kind.names(parts.given))
        inside = names | {each.id for each in node.nodes}
        for each in node.nodes:
            if each.id in scope | names:
                self._found.add(
                    each.path, each.id, f"{each.id!r} is a name around it already", "Choose another.", key=True
                )
        parts.inner = [self._parts(each, scope | inside) for each in node.nodes]
        parts.outputs, own = self._compiled(node.outputs, (*node.path, "outputs"), node.id)
        outside = [leaned for each in parts.inner for leaned in each.leaned] + own
        kept = [each for each in parts.leaned if each.path[len(node.path)] not in known_kind.kind.late]
        late = [each for each in parts.leaned if each.path[len(node.path)] in known_kind.kind.late]
        parts.leaned = kept + [each for each in outside + late if each.name not in inside]
        for inner in parts.inner:
            parts.leaned += [
                Leaned(name, case, (*inner.node.path, "after"), 0, True, inner.node.id)
                for name, case in inner.node.after
                if name not in inside
            ]

    def _unknown(self, node: Node, name: str, known_kind: Known) -> None:
        names = [*known_kind.parameters, *NODE, *(HOLDS if known_kind.kind.holds else ())]
        hint = known(name, names)
        self._found.add((*node.path, name), node.id, f"{node.kind!r} has no parameter {name[:60]!r}", hint, key=True)

    def _compiled(self, said: object, path: Path, node: str) -> tuple[Compiled, list[Leaned]]:
        """What was said with its texts read, and every path in it."""
        leaned: list[Leaned] = []

        def walk(said: object, path: Path) -> Compiled:
            if isinstance(said, dict):
                return {name: walk(each, (*path, name)) for name, each in said.items()}
            if isinstance(said, list):
                return [walk(each, (*path, number)) for number, each in enumerate(said)]
            if not isinstance(said, str):
                return said
            try:
                made = template(said)
            except Wrong as wrong:
                self._wrong(path, node, wrong, said)
                return BROKEN
            if made is None:
                return said
            leaned.extend(loose(made, path, node))
            return made

        return walk(said, path), leaned

    def _nowhere(self, leaned: Leaned, names: frozenset[str]) -> None:
        hint = known(leaned.name, sorted(names - {leaned.node}), "here is")
        wrong = Wrong(f"there is no {leaned.name[:60]!r} here", hint, leaned.at)
        self._wrong(leaned.path, leaned.node, wrong, self._said(leaned.path))

    def _wrong(self, path: Path, node: str, wrong: Wrong, said: object) -> None:
        """A finding at its very place within the text."""
        place = None
        if isinstance(said, str):
            rest = said[wrong.at : wrong.at + 40].partition("\n")[0].rstrip("\"'\\")
            if rest.strip():
                place = self._source.within(path, rest, said[: wrong.at].count(rest))
        self._found.add(path, node, wrong.message, wrong.hint, place=place)

    # ---- typing -----------------------------------------------------------------------------------------------------

    def _graph(
        self,
        parts: Sequence[Parts],
        outputs: Compiled,
        leaned: Sequence[Leaned],
        scope: Mapping[str, Type],
        outputs_path: Path,
        within: str,
    ) -> tuple[Graph, Mapping[str, Type]]:
        """One level, and the types of its outputs. `scope`: what the names around it are."""
        kinds: dict[str, Type] = dict(scope)
        edges = Edges([(each.node, each.leaned) for each in parts], frozenset(scope), self._found, self._nowhere)
        by_id = {each.node.id: each for each in parts}
        for each in leaned:
            edges.meant(each, frozenset(kinds) | frozenset(by_id))
        for id in by_id:
            kinds.setdefault(id, JSON)
        ready: list[Ready] = []
        cases: dict[str, tuple[str, ...]] = {}
        for id in order(edges, self._found):
            part = by_id[id]
            made = self._ready(part, kinds, edges, scope)
            if part.known is not None:
                kinds[id] = part.known.kind.gives(part.given)
                cases[id] = part.known.kind.paths(part.given)
                ready.append(made)
        edges.cases(cases)
        gives = self._typed(outputs, kinds, outputs_path, within)
        self._unused(parts, edges, leaned)
        numbers = {each.id: number for number, each in enumerate(ready)}
        following: dict[str, tuple[int, ...]] = {}
        for one in ready:
            for name in {*one.needs, *one.may, *(branch for branch, _ in one.cases)}:
                following[name] = (*following.get(name, ()), numbers[one.id])
        fields = gives.fields if gives.name == "object" else {"": gives}
        return Graph(tuple(ready), outputs, following), fields

    def _ready(self, part: Parts, kinds: Mapping[str, Type], edges: Edges, scope: Mapping[str, Type]) -> Ready:
        node, known_kind = part.node, part.known
        before = len(self._found)
        kept: dict[str, Type] = {}
        for name, value in part.values.items():
            kept[name] = self._typed(value, kinds, (*node.path, name), node.id)
            if known_kind is not None and not isinstance(value, Template) and still(value):
                self._converts(node, known_kind.parameters[name], value)
            elif known_kind is not None:
                self._fits(node, known_kind.parameters[name], kept[name])
        part.given = msgspec.structs.replace(_given(part, self._others), typed=kept)
        inner, outer = None, frozenset[str]()
        if known_kind is not None and known_kind.kind.holds:
            inner = self._inner(part, kinds)
            outer = frozenset(each.name for each in part.leaned)
        if known_kind is not None and len(self._found) == before:
            for wrong in known_kind.kind.objections(part.given):
                path = (*node.path, wrong.name) if wrong.name else node.path
                self._found.add(path, node.id, wrong.message, wrong.hint, key=not wrong.name)
        made: Kind | None = None
        if known_kind is not None and not self._found and all(map(still, part.values.values())):
            made = msgspec.convert(part.values, known_kind.kind)
        needs, may, behind = edges.of(node.id)
        return Ready(
            node.id,
            node.kind,
            known_kind.kind if known_kind else Kind,
            part.values,
            made,
            part.late,
            needs,
            may,
            behind,
            node.retry,
            node.timeout_s,
            inner,
            outer,
            known_kind.kind.speaks(part.given) if known_kind else "",
        )

    def _inner(self, part: Parts, kinds: Mapping[str, Type]) -> Graph:
        node, known_kind = part.node, part.known
        assert known_kind is not None
        names = known_kind.kind.names(part.given)
        own = loose_in(part.outputs, (*node.path, "outputs"), node.id)
        graph, fields = self._graph(part.inner, part.outputs, own, {**kinds, **names}, (*node.path, "outputs"), node.id)
        gives = fields[""] if list(fields) == [""] else Type("object", fields=fields)
        part.given = msgspec.structs.replace(part.given, inner=gives)
        again = known_kind.kind.names(part.given)
        inside = {**kinds, **again, **{each.node.id: JSON for each in part.inner}}
        for name, value in part.late.items():
            self._typed(value, inside, (*node.path, name), node.id)
        return graph

    def _typed(self, value: Compiled, kinds: Mapping[str, Type], path: Path, node: str) -> Type:
        """What it will be; each of its texts that is wrong is a finding of its own."""
        if isinstance(value, dict):
            fields = {name: self._typed(each, kinds, (*path, name), node) for name, each in value.items()}
            return Type("object", fields=fields)
        if isinstance(value, list):
            return types.list_of(
                types.joined([self._typed(each, kinds, (*path, number), node) for number, each in enumerate(value)])
            )
        try:
            return typed(value, lambda ref: _look(ref, kinds))
        except Wrong as wrong:
            self._wrong(path, node, wrong, self._said(path))
            return JSON

    def _said(self, path: Path) -> object:
        found: Any = self._source.data
        for each in path:
            found = found[each]
        return found

    def _converts(self, node: Node, parameter: Parameter, value: object) -> None:
        try:
            msgspec.convert(value, parameter.shape)
        except msgspec.ValidationError as wrong:
            said, _, inside = str(wrong).partition(" - at `$")
            where = f"`{parameter.name}{inside.rstrip('`')}`"
            one_of = parameter.type.one_of
            if one_of and isinstance(value, str):
                self._found.add(
                    (*node.path, parameter.name), node.id, f"{where} is never {value[:60]!r}", known(value, one_of)
                )
                return
            said = said[:1].lower() + said[1:].replace("`", "").replace(" | null", "")
            hint = f"Give {types.article(parameter.type)}." if parameter.type.name != "json" else ""
            self._found.add((*node.path, parameter.name), node.id, f"{where}: {said}", hint)

    def _fits(self, node: Node, parameter: Parameter, given: Type) -> None:
        if types.accepts(parameter.type, given):
            return
        said = f"`{parameter.name}` takes {types.article(parameter.type)}, and this is {types.article(given)}"
        hint = "Make a text of it: {{ ... | text }}" if parameter.type.name == "text" else ""
        self._found.add((*node.path, parameter.name), node.id, said, hint)

    def _unused(self, parts: Sequence[Parts], edges: Edges, leaned: Sequence[Leaned]) -> None:
        """Nodes whose work nobody would see."""
        used = {each.name for each in leaned} | edges.used()
        for each in parts:
            if each.known is not None and each.node.id not in used and not _acts(each):
                hint = "Use what it gives, put another node after it, or leave it out."
                self._found.add(each.node.path, each.node.id, "nothing uses it", hint, warning=True, key=True)

    def _triggers(self, written: Spec) -> None:
        names = {"body": JSON, "headers": JSON, "time": TEXT}
        for number, each in enumerate(written.triggers):
            path: Path = ("triggers", number, "inputs")
            value, _ = self._compiled(each.inputs, path, "")
            self._typed(value, names, path, "")
            for name in each.inputs:
                if name not in written.inputs:
                    hint = known(name, written.inputs)
                    self._found.add((*path, name), "", f"the flow has no input {name[:60]!r}", hint, key=True)


def _given(parts: Parts, others: Others) -> Given:
    """What is known of it without its types."""
    fixed = {name: value for name, value in parts.values.items() if still(value)}
    return Given(fixed, {}, flow=others)


def loose_in(value: Compiled, path: Path, node: str) -> list[Leaned]:
    if isinstance(value, Template):
        return list(loose(value, path, node))
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in loose_in(inner, (*path, name), node)]
    if isinstance(value, list):
        return [each for number, inner in enumerate(value) for each in loose_in(inner, (*path, number), node)]
    return []


def _look(ref: Ref, kinds: Mapping[str, Type]) -> Type:
    first = str(ref.path[0])
    found = kinds.get(first)
    if found is None:
        return JSON  # said already, where edges are drawn
    for number, each in enumerate(ref.path[1:], 1):
        inner = types.within(found, each)
        if inner is None:
            around = f"`{'.'.join(map(str, ref.path[:number]))}`"
            held = types.INSIDE.get(found.name, found)
            if isinstance(each, int) or held.name != "object":
                raise Wrong(f"{around} is {types.article(found)}, and has no {each!r}", _instead(held), ref.at)
            listed = [name for name in held.fields if name != "\0"]
            raise Wrong(f"{around} has no {each!r}", known(each, listed, "It has"), ref.at)
        found = inner
    return found


def _instead(held: Type) -> str:
    if held.of is not None:
        return "Name an item, as in [0], or take one field of all: | pluck('field')."
    return "" if held.name == "object" else "Use the value itself."


def _example(parameter: Parameter) -> str:
    return {"text": "...", "list": "[...]", "object": "{...}", "integer": "1"}.get(parameter.type.name, "...")


def _acts(parts: Parts) -> bool:
    assert parts.known is not None
    return parts.known.kind.effect or any(each.known is not None and _acts(each) for each in parts.inner)


def _voice(graph: Graph, given: Mapping[str, Type]) -> Voice | None:
    """`answer` where there is one, else `text`, else the first output that is a text."""
    texts = [name for name, kind in given.items() if kind.name in ("text", "json")]
    certain = [name for name in texts if given[name].name == "text"]
    output = next((name for name in ("answer", "text") if name in texts), (certain or [""])[0])
    if not output:
        return None
    value = graph.outputs.get(output) if isinstance(graph.outputs, dict) else None
    first = value.parts[0] if isinstance(value, Template) else None  # what stands behind it is said when it has ended
    speakers = {each.id: each for each in graph.nodes}
    nodes = []
    for ref in _chain(None if isinstance(first, str) else first):
        node = speakers.get(str(ref.path[0]))
        if node is None or len(ref.path) != 2 or ref.path[1] != node.speaks:
            break  # what comes behind it is only said when it is known that this says nothing
        nodes.append(node.id)
    return Voice(output, tuple(nodes))


def _chain(expression: Expression | None) -> list[Ref]:
    """The paths of `a or b or c`, of `a | default("")`, or the one path that it is."""
    match expression:
        case Ref():
            return [expression]
        case Both("or", parts) if all(isinstance(each, Ref) for each in parts):
            return [each for each in parts if isinstance(each, Ref)]
        case Filtered(inner, "default"):
            return _chain(inner)
    return []


def _takes(written: Spec) -> dict[str, str]:
    """What a chat fills: its messages, and its last question."""
    made: dict[str, str] = {}
    for name, each in written.inputs.items():
        if each.type == MESSAGES:
            made.setdefault("messages", name)
        elif each.type.name in ("text", "json") and (name == "question" or each.required):
            made.setdefault("question", name)
    if "question" in written.inputs and written.inputs["question"].type.name in ("text", "json"):
        made["question"] = "question"
    return made


def of_spec(written: Spec) -> Signature:
    """What a flow gives whose nodes were not looked at: of that only the names are known."""
    return signature(written, dict.fromkeys(written.outputs, JSON))
