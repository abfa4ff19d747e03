"""Flow validator: reports every error at its position in the file with a hint, and compiles a valid flow.

Validates level by level (the nodes of the flow, then the bodies of each and loop): node types and parameters,
references in expressions, the execution order, and then, in that order, the types. 300 nodes take about 30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.flows.call_graph import CallFinding, FlowCall, list_calls
from sizewise.flows.compiled_flow import CompiledFlow, CompiledNode, Graph, StreamSource, flow_signature
from sizewise.flows.language import types
from sizewise.flows.language.dependencies import Dependency, DependencyGraph, template_dependencies, topological_order
from sizewise.flows.language.diagnostics import Diagnostic, DiagnosticCollector, Path, did_you_mean
from sizewise.flows.language.expression import (
    BooleanOperation,
    CompiledValue,
    Expression,
    ExpressionError,
    FilterCall,
    LiteralValue,
    Reference,
    Template,
    is_constant,
)
from sizewise.flows.language.expression_parser import parse_template
from sizewise.flows.language.flow_spec import BODY_FIELDS, NODE_FIELDS, FlowSpec, NodeSpec, parse_flow
from sizewise.flows.language.type_inference import infer_value_type
from sizewise.flows.language.types import JSON, MESSAGES, TEXT, Type
from sizewise.flows.language.yaml_source import MAX_BYTES, YamlError, YamlSource, parse_yaml
from sizewise.flows.node import FlowSignature, Node, ValidationContext
from sizewise.flows.node_registry import NodeRegistry, NodeType, Parameter

SignatureLookup = Callable[[str], FlowSignature | None]
"""The signature of another flow, by `NAME` or `NAME@VERSION`; None if there is none."""
KnownNames = Mapping[str, Sequence[str]]
"""Kind of name (`models`, `hosts`, ...) -> the names that exist."""


INVALID_TEMPLATE = Template((LiteralValue(None),))
"""Replaces a text that could not be parsed, so that it causes no further errors."""


class ValidationResult(Struct, frozen=True):
    """`flow` is None if there is any error; warnings are allowed. `levels`: also of a flow with errors."""

    flow: CompiledFlow | None
    diagnostics: tuple[Diagnostic, ...]
    spec: FlowSpec | None = None
    source: YamlSource | None = None
    levels: tuple[ValidatedLevel, ...] = ()


def no_flows(name: str) -> FlowSignature | None:
    """The SignatureLookup without other flows."""
    return None


def validate_flow(text: str, registry: NodeRegistry, signatures: SignatureLookup = no_flows) -> ValidationResult:
    """Raises nothing: invalid YAML is a diagnostic too."""
    return validate_parsed(parse_flow_text(text), registry, signatures)


class ParsedFlow(Struct, frozen=True):
    """A file before its nodes are checked. `source` and `spec` are None if it is no YAML; `error` says why."""

    source: YamlSource | None
    spec: FlowSpec | None
    found: DiagnosticCollector
    error: Diagnostic | None = None

    @property
    def calls(self) -> tuple[FlowCall, ...]:
        return () if self.spec is None else list_calls(self.spec)


def parse_flow_text(text: str) -> ParsedFlow:
    """Raises nothing. Pass the result to `validate_parsed` at most once."""
    try:
        source = parse_yaml(text)
    except YamlError as wrong:
        error = Diagnostic(node="", line=wrong.line, column=wrong.column, message=wrong.reason, hint=wrong.hint)
        return ParsedFlow(None, None, DiagnosticCollector({}), error)
    found = DiagnosticCollector(source.positions)
    return ParsedFlow(source, parse_flow(source, found), found)


def parse_flow_bytes(data: bytes) -> ParsedFlow:
    """Of a file. Raises nothing; an error of its own for what is not UTF-8, so that no word is changed unseen."""
    try:
        return parse_flow_text(data.decode())
    except UnicodeDecodeError as error:
        if len(data) > MAX_BYTES:  # which also cuts a character
            return parse_flow_text(data.decode("utf-8", "replace"))
        before = data[: error.start].decode()
        wrong = Diagnostic(
            node="",
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
            message=f"this is not UTF-8: the byte 0x{data[error.start]:02x}",
            hint="Save the file as UTF-8.",
        )
        return ParsedFlow(None, None, DiagnosticCollector({}), wrong)


def validate_parsed(
    parsed: ParsedFlow,
    registry: NodeRegistry,
    signatures: SignatureLookup = no_flows,
    call_findings: Iterable[CallFinding] = (),
) -> ValidationResult:
    """`call_findings`: what is wrong with its calls of other flows."""
    if parsed.source is None or parsed.spec is None:
        return ValidationResult(None, () if parsed.error is None else (parsed.error,))
    found = parsed.found
    validator = _Validator(parsed.source, found, registry, signatures)
    flow = validator.flow(parsed.spec)
    for each in call_findings:
        found.add(each.path, each.node, each.message, each.hint, warning=each.is_warning)
    made = None if found else flow
    return ValidationResult(made, found.sorted(), parsed.spec, source=parsed.source, levels=tuple(validator.levels))


class NodeDraft(Struct):
    """A node with its parsed templates, before types are checked."""

    node: NodeSpec
    node_type: NodeType | None
    values: dict[str, CompiledValue]
    late_parameters: dict[str, CompiledValue]
    dependencies: list[Dependency]
    body: list[NodeDraft]
    outputs: CompiledValue
    context: ValidationContext


class ValidatedLevel(Struct):
    """Nodes beside each other, with their output types and cases. `outputs`: what the level's outputs refer to.

    `within`: the id of the node around them; empty: none.
    """

    within: str
    drafts: Sequence[NodeDraft]
    outputs: Sequence[Dependency]
    types: Mapping[str, Type]
    cases: Mapping[str, tuple[str, ...]]


class _Validator:
    def __init__(
        self,
        source: YamlSource,
        diagnostics: DiagnosticCollector,
        registry: NodeRegistry,
        signatures: SignatureLookup,
    ) -> None:
        self._source = source
        self._diagnostics = diagnostics
        self._registry = registry
        self._signatures = signatures
        self._around: list[tuple[DependencyGraph, str]] = []  # of the bodies that are being compiled
        self.levels: list[ValidatedLevel] = []

    def flow(self, spec: FlowSpec) -> CompiledFlow:
        scope = {"inputs": Type("object", fields={name: each.type for name, each in spec.inputs.items()})}
        if not spec.inputs:
            scope["inputs"] = Type("object", fields={"\0": JSON})  # so that every `inputs.NAME` is an error
        around = frozenset(scope) | {node.id for node in spec.nodes}
        parts = [self._draft(node, around) for node in spec.nodes]
        outputs, leaned = self._compile(spec.outputs, ("outputs",), "")
        self._check_triggers(spec)
        graph, kinds = self._compile_graph(parts, outputs, leaned, scope, ("outputs",), "")
        given = {name: kinds.get(name, JSON) for name in spec.outputs}
        return CompiledFlow(
            spec=spec,
            graph=graph,
            output_types=given,
            stream_source=_stream_source(graph, given),
            chat_inputs=_chat_inputs(spec),
        )

    # ---- parsing ----------------------------------------------------------------------------------------------------

    def _draft(self, node: NodeSpec, scope: frozenset[str]) -> NodeDraft:
        """`scope`: the names in scope, including those of its siblings."""
        known_kind = self._registry(node.kind) if node.kind else None
        if known_kind is None and node.kind:
            hint = did_you_mean(node.kind, self._registry.names)
            self._diagnostics.add((*node.path, "kind"), node.id, f"there is no node kind {node.kind[:60]!r}", hint)
        parts = NodeDraft(
            node=node,
            node_type=known_kind,
            values={},
            late_parameters={},
            dependencies=[],
            body=[],
            outputs=None,
            context=ValidationContext({}, {}, signature_of=self._signatures),
        )
        parameters = known_kind.parameters if known_kind else {}
        for name, said in node.values.items():
            path = (*node.path, name)
            parameter = parameters.get(name)
            if parameter is None:
                if known_kind is not None:
                    self._unknown_parameter(node, name, known_kind)
                continue
            if parameter.is_plain:
                parts.values[name] = said
                continue
            value, leaned = self._compile(said, path, node.id)
            if parameter.is_static and not is_constant(value):
                hint = "Write the value itself; it must be known before the flow runs."
                self._diagnostics.add(path, node.id, f"`{name}` must not contain an expression", hint)
            elif known_kind is not None and name in known_kind.node_class.late_parameters:
                parts.late_parameters[name] = value
            else:
                parts.values[name] = value
            parts.dependencies += leaned
        for parameter in parameters.values():
            if parameter.required and parameter.name not in node.values:
                hint = f"Add it: {parameter.name}: {_example(parameter)}"
                self._diagnostics.add(node.path, node.id, f"`{parameter.name}` is missing", hint, at_key=True)
        parts.context = _validation_context(parts, self._signatures)
        self._draft_body(parts, scope)
        return parts

    def _draft_body(self, draft: NodeDraft, scope: frozenset[str]) -> None:
        """Drafts its inner nodes and outputs; their dependencies outside the body become its own."""
        node, known_kind = draft.node, draft.node_type
        if known_kind is None or not known_kind.node_class.has_body:
            for name in BODY_FIELDS if known_kind is not None and node.nodes else ():
                hint = "Only `each` and `loop` nodes can contain nodes."
                self._diagnostics.add(
                    (*node.path, name), node.id, f"nodes of kind {node.kind!r} cannot contain nodes", hint, at_key=True
                )
            return
        if not node.nodes:
            hint = "Add them: nodes: {summary: {kind: ask, ...}}"
            self._diagnostics.add(node.path, node.id, "the node contains no nodes", hint, at_key=True)
        if not node.outputs:
            hint = 'Set the output of each round: outputs: {text: "{{ summary.text }}"}'
            self._diagnostics.add(node.path, node.id, "the node has no outputs", hint, at_key=True)
        names = frozenset(known_kind.node_class.body_scope(draft.context))
        inside = names | {each.id for each in node.nodes}
        for each in node.nodes:
            if each.id in scope | names:
                self._diagnostics.add(
                    each.path,
                    each.id,
                    f"{each.id!r} is already used outside this node",
                    "Choose another name.",
                    at_key=True,
                )
        draft.body = [self._draft(each, scope | inside) for each in node.nodes]
        draft.outputs, own = self._compile(node.outputs, (*node.path, "outputs"), node.id)
        outside = [leaned for each in draft.body for leaned in each.dependencies] + own
        kept = [
            each
            for each in draft.dependencies
            if each.path[len(node.path)] not in known_kind.node_class.late_parameters
        ]
        late = [
            each for each in draft.dependencies if each.path[len(node.path)] in known_kind.node_class.late_parameters
        ]
        draft.dependencies = kept + [each for each in outside + late if each.name not in inside]
        for inner in draft.body:
            draft.dependencies += [
                Dependency(
                    name=name, case=case, path=(*inner.node.path, "after"), offset=0, required=True, node=inner.node.id
                )
                for name, case in inner.node.after
                if name not in inside
            ]

    def _unknown_parameter(self, node: NodeSpec, name: str, node_type: NodeType) -> None:
        names = [*node_type.parameters, *NODE_FIELDS, *(BODY_FIELDS if node_type.node_class.has_body else ())]
        hint = did_you_mean(name, _without(names, self._value_at(node.path)))
        self._diagnostics.add(
            (*node.path, name),
            node.id,
            f"{node.kind!r} has no parameter {name[:60]!r}",
            hint,
            at_key=True,
        )

    def _compile(self, said: object, path: Path, node: str) -> tuple[CompiledValue, list[Dependency]]:
        """`said` with its templates parsed, and the dependencies in them."""
        leaned: list[Dependency] = []

        def walk(said: object, path: Path) -> CompiledValue:
            if isinstance(said, dict):
                return {name: walk(each, (*path, name)) for name, each in said.items()}
            if isinstance(said, list):
                return [walk(each, (*path, number)) for number, each in enumerate(said)]
            if not isinstance(said, str):
                return said
            try:
                made = parse_template(said)
            except ExpressionError as wrong:
                self._report(path, node, wrong, said)
                return INVALID_TEMPLATE
            if made is None:
                return said
            leaned.extend(template_dependencies(made, path, node))
            return made

        return walk(said, path), leaned

    def _unknown_reference(self, dependency: Dependency, names: frozenset[str]) -> None:
        circular = frozenset[str]().union(*(graph.at_or_after(id) for graph, id in self._around))
        hint = did_you_mean(dependency.name, sorted(names - circular), "available")
        wrong = ExpressionError(f"there is no variable {dependency.name[:60]!r}", hint, dependency.offset)
        self._report(dependency.path, dependency.node, wrong, self._value_at(dependency.path))

    def _report(self, path: Path, node: str, wrong: ExpressionError, said: object) -> None:
        """Adds a diagnostic at the position of the error within the text."""
        place = None
        if isinstance(said, str):
            rest = said[wrong.offset : wrong.offset + 40].partition("\n")[0].rstrip("\"'\\")
            if rest.strip():
                place = self._source.locate(path, rest, said[: wrong.offset].count(rest))
        self._diagnostics.add(path, node, wrong.message, wrong.hint, position=place)

    # ---- types ------------------------------------------------------------------------------------------------------

    def _compile_graph(
        self,
        drafts: Sequence[NodeDraft],
        outputs: CompiledValue,
        dependencies: Sequence[Dependency],
        scope: Mapping[str, Type],
        outputs_path: Path,
        within: str,
    ) -> tuple[Graph, Mapping[str, Type]]:
        """Compiles one level; also returns the types of its outputs. `scope`: the types of the names around it."""
        kinds: dict[str, Type] = dict(scope)
        edges = DependencyGraph(
            [(each.node, each.dependencies) for each in drafts],
            frozenset(scope),
            self._diagnostics,
            self._unknown_reference,
        )
        by_id = {each.node.id: each for each in drafts}
        for each in dependencies:
            edges.resolve(each, frozenset(kinds) | frozenset(by_id))
        for id in by_id:
            kinds.setdefault(id, JSON)
        ready: list[CompiledNode] = []
        cases: dict[str, tuple[str, ...]] = {}
        for id in topological_order(edges, self._diagnostics):
            part = by_id[id]
            made = self._compile_node(part, kinds, edges, scope)
            if part.node_type is not None:
                kinds[id] = part.node_type.node_class.output_type(part.context)
                cases[id] = part.node_type.node_class.case_names(part.context)
                ready.append(made)
        edges.check_cases(cases)
        gives = self._infer(outputs, kinds, outputs_path, within)
        self._check_unused(drafts, edges, dependencies)
        self.levels.append(ValidatedLevel(within, drafts, dependencies, types=kinds, cases=cases))
        numbers = {each.id: number for number, each in enumerate(ready)}
        following: dict[str, tuple[int, ...]] = {}
        for one in ready:
            for name in {*one.required, *one.optional, *(branch for branch, _ in one.cases)}:
                following[name] = (*following.get(name, ()), numbers[one.id])
        fields = gives.fields if gives.name == "object" else {"": gives}
        return Graph(tuple(ready), outputs, following), fields

    def _compile_node(
        self,
        draft: NodeDraft,
        kinds: Mapping[str, Type],
        graph: DependencyGraph,
        scope: Mapping[str, Type],
    ) -> CompiledNode:
        node, known_kind = draft.node, draft.node_type
        before = len(self._diagnostics)
        kept: dict[str, Type] = {}
        for name, value in draft.values.items():
            kept[name] = self._infer(value, kinds, (*node.path, name), node.id)
            if known_kind is not None and not isinstance(value, Template) and is_constant(value):
                self._check_value(node, known_kind.parameters[name], value)
            elif known_kind is not None:
                self._check_type(node, known_kind.parameters[name], kept[name])
        draft.context = msgspec.structs.replace(_validation_context(draft, self._signatures), types=kept)
        inner, outer = None, frozenset[str]()
        if known_kind is not None and known_kind.node_class.has_body:
            self._around.append((graph, node.id))
            inner = self._compile_body(draft, kinds)
            self._around.pop()
            outer = frozenset(each.name for each in draft.dependencies)
        if known_kind is not None and len(self._diagnostics) == before:
            for wrong in known_kind.node_class.validate(draft.context):
                path = (*node.path, wrong.name) if wrong.name else node.path
                self._diagnostics.add(path, node.id, wrong.message, wrong.hint, at_key=not wrong.name)
        made: Node | None = None
        if known_kind is not None and not self._diagnostics and all(map(is_constant, draft.values.values())):
            made = msgspec.convert(draft.values, known_kind.node_class)
        needs, may, behind = graph.edges_of(node.id)
        return CompiledNode(
            id=node.id,
            kind_name=node.kind,
            node_class=known_kind.node_class if known_kind else Node,
            values=draft.values,
            node=made,
            late_parameters=draft.late_parameters,
            required=needs,
            optional=may,
            cases=behind,
            retry=node.retry,
            timeout_s=node.timeout_s,
            body=inner,
            outer_names=outer,
            streaming_field=known_kind.node_class.streaming_field(draft.context) if known_kind else "",
        )

    def _compile_body(self, draft: NodeDraft, kinds: Mapping[str, Type]) -> Graph:
        node, known_kind = draft.node, draft.node_type
        assert known_kind is not None
        names = known_kind.node_class.body_scope(draft.context)
        own = value_dependencies(draft.outputs, (*node.path, "outputs"), node.id)
        graph, fields = self._compile_graph(
            draft.body,
            draft.outputs,
            own,
            {**kinds, **names},
            (*node.path, "outputs"),
            node.id,
        )
        gives = fields[""] if list(fields) == [""] else Type("object", fields=fields)
        draft.context = msgspec.structs.replace(draft.context, body_type=gives)
        again = known_kind.node_class.body_scope(draft.context)
        inside = {**kinds, **again, **{each.node.id: JSON for each in draft.body}}
        for name, value in draft.late_parameters.items():
            self._infer(value, inside, (*node.path, name), node.id)
        return graph

    def _infer(self, value: CompiledValue, kinds: Mapping[str, Type], path: Path, node: str) -> Type:
        """The type of `value`; each invalid text in it is reported."""
        if isinstance(value, dict):
            fields = {name: self._infer(each, kinds, (*path, name), node) for name, each in value.items()}
            return Type("object", fields=fields)
        if isinstance(value, list):
            return types.list_of(
                types.union_of([self._infer(each, kinds, (*path, number), node) for number, each in enumerate(value)]),
            )
        try:
            return infer_value_type(value, lambda ref: _type_at(ref, kinds))
        except ExpressionError as wrong:
            self._report(path, node, wrong, self._value_at(path))
            return JSON

    def _value_at(self, path: Path) -> object:
        found: Any = self._source.data
        for each in path:
            found = found[each]
        return found

    def _check_value(self, node: NodeSpec, parameter: Parameter, value: object) -> None:
        try:
            msgspec.convert(value, parameter.msgspec_type)
        except msgspec.ValidationError as wrong:
            said, _, inside = str(wrong).partition(" - at `$")
            where = f"`{parameter.name}{inside.rstrip('`')}`"
            one_of = parameter.type.enum
            if one_of and isinstance(value, str):
                self._diagnostics.add(
                    (*node.path, parameter.name),
                    node.id,
                    f"{where} is never {value[:60]!r}",
                    did_you_mean(value, one_of),
                )
                return
            said = said[:1].lower() + said[1:].replace("`", "").replace(" | null", "")
            hint = f"Use {types.with_article(parameter.type)}." if parameter.type.name != "json" else ""
            self._diagnostics.add((*node.path, parameter.name), node.id, f"{where}: {said}", hint)

    def _check_type(self, node: NodeSpec, parameter: Parameter, actual: Type) -> None:
        if types.is_assignable(parameter.type, actual):
            return
        said = f"`{parameter.name}` expects {types.with_article(parameter.type)}, not {types.with_article(actual)}"
        hint = "Convert it to text: {{ ... | text }}" if parameter.type.name == "text" else ""
        self._diagnostics.add((*node.path, parameter.name), node.id, said, hint)

    def _check_unused(
        self,
        drafts: Sequence[NodeDraft],
        graph: DependencyGraph,
        dependencies: Sequence[Dependency],
    ) -> None:
        """Warns of nodes without side effects that no other node or output uses."""
        used = {each.name for each in dependencies} | graph.referenced_nodes()
        for each in drafts:
            if each.node_type is not None and each.node.id not in used and not _has_side_effects(each):
                hint = "Use its output, add a node after it, or remove it."
                self._diagnostics.add(
                    each.node.path, each.node.id, "the node's output is not used", hint, warning=True, at_key=True
                )

    def _check_triggers(self, spec: FlowSpec) -> None:
        names = {"body": JSON, "headers": JSON, "time": TEXT}
        for number, each in enumerate(spec.triggers):
            path: Path = ("triggers", number, "inputs")
            value, _ = self._compile(each.inputs, path, "")
            self._infer(value, names, path, "")
            for name in each.inputs:
                if name not in spec.inputs:
                    hint = did_you_mean(name, _without(spec.inputs, each.inputs))
                    self._diagnostics.add((*path, name), "", f"the flow has no input {name[:60]!r}", hint, at_key=True)


def _validation_context(draft: NodeDraft, signatures: SignatureLookup) -> ValidationContext:
    """The constant parameters, without types."""
    fixed = {name: value for name, value in draft.values.items() if is_constant(value)}
    return ValidationContext(fixed, {}, signature_of=signatures)


def value_dependencies(value: CompiledValue, path: Path, node: str) -> list[Dependency]:
    if isinstance(value, Template):
        return list(template_dependencies(value, path, node))
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in value_dependencies(inner, (*path, name), node)]
    if isinstance(value, list):
        return [each for number, inner in enumerate(value) for each in value_dependencies(inner, (*path, number), node)]
    return []


def _without(names: Iterable[str], present: object) -> list[str]:
    """The names that a mapping does not have yet."""
    return [each for each in names if not isinstance(present, dict) or each not in present]


def _type_at(ref: Reference, kinds: Mapping[str, Type]) -> Type:
    first = str(ref.path[0])
    found = kinds.get(first)
    if found is None:
        return JSON  # already reported as an unknown reference
    for number, each in enumerate(ref.path[1:], 1):
        inner = types.member_type(found, each)
        if inner is None:
            around = f"`{'.'.join(map(str, ref.path[:number]))}`"
            held = types.MEMBER_TYPES.get(found.name, found)
            if isinstance(each, int) or held.name != "object":
                raise ExpressionError(
                    f"{around} is {types.with_article(found)} and has no {each!r}",
                    _member_hint(held),
                    ref.offset,
                )
            listed = [name for name in held.fields if name != "\0"]
            raise ExpressionError(f"{around} has no {each!r}", did_you_mean(each, listed, "it has"), ref.offset)
        found = inner
    return found


def _member_hint(held: Type) -> str:
    if held.item_type is not None:
        return "Select an item, as in [0], or one field of all items: | pluck('field')."
    return "" if held.name == "object" else "Use the value itself."


def _example(parameter: Parameter) -> str:
    return {"text": "...", "list": "[...]", "object": "{...}", "integer": "1"}.get(parameter.type.name, "...")


def _has_side_effects(draft: NodeDraft) -> bool:
    assert draft.node_type is not None
    return draft.node_type.node_class.has_side_effects or any(
        each.node_type is not None and _has_side_effects(each) for each in draft.body
    )


def _stream_source(graph: Graph, output_types: Mapping[str, Type]) -> StreamSource | None:
    """The source for `answer` if there is such an output, else `text`, else the first text output."""
    texts = [name for name, kind in output_types.items() if kind.name in ("text", "json")]
    certain = [name for name in texts if output_types[name].name == "text"]
    output = next((name for name in ("answer", "text") if name in texts), (certain or [""])[0])
    if not output:
        return None
    value = graph.outputs.get(output) if isinstance(graph.outputs, dict) else None
    first = value.parts[0] if isinstance(value, Template) else None  # text after it is sent at the end
    speakers = {each.id: each for each in graph.nodes}
    nodes = []
    for ref in _alternatives(None if isinstance(first, str) else first):
        node = speakers.get(str(ref.path[0]))
        if node is None or len(ref.path) != 2 or ref.path[1] != node.streaming_field:
            break  # it may return text itself, so the alternatives after it cannot stream
        nodes.append(node.id)
    return StreamSource(output, tuple(nodes))


def _alternatives(expression: Expression | None) -> list[Reference]:
    """The references in `a or b or c`, in `a | default("")`, or a single reference."""
    match expression:
        case Reference():
            return [expression]
        case BooleanOperation("or", parts) if all(isinstance(each, Reference) for each in parts):
            return [each for each in parts if isinstance(each, Reference)]
        case FilterCall(inner, "default"):
            return _alternatives(inner)
    return []


def _chat_inputs(spec: FlowSpec) -> dict[str, str]:
    """`messages` and `question` of a chat -> the input that takes them."""
    made: dict[str, str] = {}
    for name, each in spec.inputs.items():
        if each.type == MESSAGES:
            made.setdefault("messages", name)
        elif each.type.name in ("text", "json") and (name == "question" or each.required):
            made.setdefault("question", name)
    if "question" in spec.inputs and spec.inputs["question"].type.name in ("text", "json"):
        made["question"] = "question"
    return made


def signature_of_spec(spec: FlowSpec) -> FlowSignature:
    """The signature of a flow that was not compiled: the types of its outputs are unknown."""
    return flow_signature(spec, dict.fromkeys(spec.outputs, JSON))
