"""Round trip of an exported flow: imports the written files again and names each difference; runs nothing.

Flows are compared as compiled, so that spelling (spaces in {{ }}, defaults, the order of `after`) does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from sizewise.flows.compiled_flow import CompiledFlow, CompiledNode, Graph
from sizewise.flows.language.flow_spec import FlowSpec, NodeSpec
from sizewise.flows.language.types import Json
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import SignatureLookup, no_flows, validate_flow
from sizewise.lamatic import file_formats, importer
from sizewise.lamatic.canvas import LamaticFileError, TranslationNote

HINT = "Lamatic cannot hold it: keep the flow's own file, which is complete."


def check_round_trip(
    flow: CompiledFlow,
    written: Mapping[str, str],
    told: tuple[TranslationNote, ...],
    signatures: SignatureLookup = no_flows,
) -> tuple[TranslationNote, ...]:
    """A note graded `named` for each node, or part of the flow, that the written files do not give back.

    `told`: the notes of the export. A node that they name already is left out.
    """
    known = {each.node for each in told if each.grade == "named"}
    path = next(path for path in written if path.startswith("flows/") or path.endswith(".yaml"))
    try:
        _, canvas = file_formats.parse_file(path, written[path], written.get)
        text = importer.import_flow(canvas, {name: name for name in _called(flow)}, flow.name).text
    except LamaticFileError as error:
        return (_note("", "flow", f"the exported file cannot be imported: {error.message}"),)
    again = validate_flow(text, NodeRegistry(), signatures)
    if again.flow is None:
        wrong = next(each for each in again.diagnostics if each.kind == "mistake")
        return () if known else (_note(wrong.node, "flow", f"an import of the file has an error: {wrong.message}"),)
    return tuple(each for each in _differences(flow, again.flow) if each.node not in known)


def _differences(flow: CompiledFlow, again: CompiledFlow) -> Iterator[TranslationNote]:
    for name in sorted({*flow.spec.inputs, *again.spec.inputs}):
        if flow.spec.inputs.get(name) != again.spec.inputs.get(name):
            yield _note(name, "input", "the input comes back different")
    if _triggers(flow.spec) != _triggers(again.spec):
        yield _note("triggers", "triggers", "the triggers come back different")
    if flow.spec.description.strip() != again.spec.description.strip():
        yield _note("description", "description", "the description comes back different")
    if flow.graph.outputs != again.graph.outputs:
        yield _note("outputs", "outputs", "the outputs come back different")
    yield from _graph(flow.graph, again.graph, _by_id(flow.spec), _by_id(again.spec))


def _graph(
    graph: Graph,
    again: Graph,
    specs: Mapping[str, NodeSpec],
    other_specs: Mapping[str, NodeSpec],
) -> Iterator[TranslationNote]:
    others = {each.id: each for each in again.nodes}
    for node in graph.nodes:
        other = others.pop(node.id, None)
        if other is None:
            yield _note(node.id, node.kind_name, "the node does not come back")
            continue
        fields = _changed(node, other)
        if specs[node.id].description != other_specs[node.id].description:
            fields.append("description")
        if fields:
            yield _note(node.id, node.kind_name, f"comes back different: {', '.join(fields)}")
        if node.body is not None and other.body is not None:
            yield from _graph(node.body, other.body, specs, other_specs)
    for node in others.values():
        yield _note(node.id, node.kind_name, "the node appears only after an import")


def _changed(node: CompiledNode, other: CompiledNode) -> list[str]:
    if node.kind_name != other.kind_name:
        return ["kind"]
    mine, theirs = _parameters(node), _parameters(other)
    made = [name for name in sorted({*mine, *theirs}) if mine.get(name) != theirs.get(name)]
    if {*node.required, *node.optional} != {*other.required, *other.optional} or {*node.cases} != {*other.cases}:
        made.append("after")
    for name in ("retry", "timeout_s"):
        if getattr(node, name) != getattr(other, name):
            made.append(name)
    if node.body is not None and other.body is not None and node.body.outputs != other.body.outputs:
        made.append("outputs")
    return made


def _parameters(node: CompiledNode) -> dict[str, Json]:
    """The parameters of a node, with the defaults of its kind."""
    defaults = {
        each.name: msgspec.to_builtins(
            each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
        )
        for each in msgspec.structs.fields(node.node_class)
        if each.default is not msgspec.NODEFAULT or each.default_factory is not msgspec.NODEFAULT
    }
    values = node.values if isinstance(node.values, Mapping) else {}
    return {**defaults, **values, **node.late_parameters}


def _by_id(spec: FlowSpec) -> dict[str, NodeSpec]:
    return {each.id: each for each in spec.all_nodes()}


def _called(flow: CompiledFlow) -> list[str]:
    """Names of the flows that it calls; an exported node names its flow by its title."""
    return [str(each.values["flow"]).partition("@")[0] for each in flow.spec.all_nodes() if "flow" in each.values]


def _triggers(spec: FlowSpec) -> list[Json]:
    return [msgspec.to_builtins(each) for each in spec.triggers if each.kind != "api"]


def _note(node: str, type: str, message: str) -> TranslationNote:
    return TranslationNote(grade="named", node=node, type=type, message=message, hint=HINT)
