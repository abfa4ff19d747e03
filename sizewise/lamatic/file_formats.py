"""Readers for Lamatic's file formats: low-code YAML, AgentKit, GitHub sync and API JSON; no disk access.

Files that a flow refers to (`@prompts/x.md`, imports) are requested from a `lookup` by their path in the project; paths
outside the project are rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from sizewise.flows.language import yaml_source
from sizewise.flows.language.types import Json
from sizewise.lamatic import typescript_literals
from sizewise.lamatic.branch_edges import complete_cases, edge_cases
from sizewise.lamatic.canvas import Canvas, CanvasEdge, CanvasNode, LamaticFileError, TranslationNote
from sizewise.lamatic.project_files import FileLookup, ProjectFiles, no_files
from sizewise.lamatic.typescript_literals import NonLiteral

LamaticFormat = Literal["lamatic-yaml", "agentkit", "github-sync", "api"]
MAX_NODES = 1_000
MAX_EDGES = 10_000
DROPPED_HINT = "Set it in the file that it refers to, if it matters."
_BACK_EDGES = frozenset({"loopEdge", "agentLoopEdge", "responseEdge"})


def parse_file(name: str, text: str, lookup: FileLookup = no_files) -> tuple[LamaticFormat, Canvas]:
    """`name` is the file's path in the project. Raises LamaticFileError."""
    try:
        if name.endswith((".yaml", ".yml")):
            return "lamatic-yaml", _low_code(_yaml(text), name, ProjectFiles(lookup))
        if name.endswith(".json"):
            data = typescript_literals.parse_literal(text)
            if isinstance(data, dict) and "triggerNode" in data:
                return "lamatic-yaml", _low_code(data, name, ProjectFiles(lookup))
            return "api", _graph(_api(data), name, ProjectFiles(lookup))
        if name.endswith((".ts", ".js", ".mjs")):
            return _module(name, text, ProjectFiles(lookup))
    except LamaticFileError as error:
        raise error.in_file(name) from error
    raise LamaticFileError(f"{name}: not a flow file", "Use a .yaml, .ts or .json file, or a folder of them.")


# ---- the formats ----------------------------------------------------------------------------------------------------


def _yaml(text: str) -> Json:
    try:
        return yaml_source.parse_yaml(text, allow_aliases=True).data
    except yaml_source.YamlError as error:
        raise LamaticFileError(error.reason, error.hint or "", error.line) from error


def _module(name: str, text: str, project: ProjectFiles) -> tuple[LamaticFormat, Canvas]:
    found = project.module(name, text)
    config = found.get("flowConfig")
    if isinstance(config, Mapping):
        return "github-sync", _graph(config, name, project)
    whole = found.get("default")
    parts = {**(whole if isinstance(whole, Mapping) else {}), **found}
    return "agentkit", _graph(parts, name, project)


def _api(data: Json) -> Json:
    """Unwraps the flow from a response of the management API."""
    for name in ("data", "flow", "result"):
        if isinstance(data, dict) and "nodes" not in data and isinstance(data.get(name), dict):
            data = data[name]
    return data


def _graph(said: Json, name: str, project: ProjectFiles) -> Canvas:
    """A canvas from `nodes` and `edges`."""
    if not isinstance(said, Mapping) or not isinstance(said.get("nodes"), list):
        raise LamaticFileError(
            "the file contains no nodes", "A flow file exports `nodes` and `edges`, or contains a `flowConfig`."
        )
    meta = said.get("meta")
    meta = meta if isinstance(meta, Mapping) else said
    told: list[TranslationNote] = []
    boxes: dict[str, CanvasNode] = {}
    for each in _listed(said["nodes"], "nodes", MAX_NODES, told):
        box = _canvas_node(each, project, told)
        if box is not None:
            boxes[box.id] = box
    lines = [
        line for each in _listed(said.get("edges"), "edges", MAX_EDGES, told) for line in _canvas_edges(each, boxes)
    ]
    shown = meta.get("name")
    about = meta.get("description")
    return Canvas(
        name=shown if isinstance(shown, str) and shown.strip() else _stem(name),
        nodes=boxes,
        edges=complete_cases(boxes, lines),
        description=about if isinstance(about, str) else "",
        id=said["id"] if isinstance(said.get("id"), str) else "",
        notes=tuple(told),
    )


def _canvas_node(
    said: Mapping[str, Json],
    project: ProjectFiles,
    notes: list[TranslationNote],
) -> CanvasNode | None:
    data = said.get("data")
    data = data if isinstance(data, Mapping) else {}
    id, type = said.get("id"), data.get("nodeId") or said.get("type")
    if not isinstance(id, str) or not isinstance(type, str):
        return None
    values = data.get("values")
    if not isinstance(values, Mapping):
        values = {"content": data.get("content") or data.get("text")} if type == "stickyNoteNode" else {}
    values = _resolve_values(project, id, type, values, notes)
    named = values.get("nodeName")
    schema = data.get("schema")
    return CanvasNode(
        id=id,
        type=type,
        label=named if isinstance(named, str) else "",
        values=values,
        schema=schema if isinstance(schema, Mapping) else {},
        logic=data.get("logic") or None,
        is_trigger=data.get("trigger") is True or said.get("type") == "triggerNode",
        disabled=data.get("disabled") is True,
    )


def _resolve_values(
    project: ProjectFiles,
    id: str,
    type: str,
    values: Mapping[str, Json],
    notes: list[TranslationNote],
) -> Mapping[str, Json]:
    """The node's values with its files' contents; adds a note for each that is dropped."""
    found = project.resolve_references(values)
    for name, why in found.dropped.items():
        said = f"its {name[:40]} was dropped: {why}"
        notes.append(TranslationNote(grade="note", node=id, type=type, message=said, hint=DROPPED_HINT))
    return found.values


def _canvas_edges(said: Mapping[str, Json], nodes: Mapping[str, CanvasNode]) -> Iterator[CanvasEdge]:
    source_, target, kind = said.get("source"), said.get("target"), said.get("type")
    if not isinstance(source_, str) or not isinstance(target, str) or source_ not in nodes or target not in nodes:
        return
    data = said.get("data")
    label = data.get("condition") if isinstance(data, Mapping) else None
    back = str(kind) in _BACK_EDGES or said.get("sourceHandle") == "to-response"
    id = said.get("id")
    edge, label = id if isinstance(id, str) else "", label if isinstance(label, str) else ""
    for case in edge_cases(nodes[source_], edge, target, label):
        yield CanvasEdge(source_, target, case, back)


def _low_code(said: Json, name: str, project: ProjectFiles) -> Canvas:
    if not isinstance(said, Mapping) or not (isinstance(said.get("nodes"), list) or "triggerNode" in said):
        hint = "A Lamatic flow has a triggerNode, nodes and a responseNode."
        raise LamaticFileError("the file contains no Lamatic flow", hint)
    told: list[TranslationNote] = []
    listed = [
        *([said["triggerNode"]] if isinstance(said.get("triggerNode"), Mapping) else []),
        *_listed(said.get("nodes") or [], "nodes", MAX_NODES, told),
        *([said["responseNode"]] if isinstance(said.get("responseNode"), Mapping) else []),
    ]
    boxes: dict[str, CanvasNode] = {}
    ways: dict[tuple[str, str], list[str]] = {}
    needs: list[tuple[str, str]] = []
    for number, each in enumerate(listed):
        id, type = each.get("nodeId"), each.get("nodeType")
        if not isinstance(id, str) or not isinstance(type, str):
            told.append(
                TranslationNote(
                    grade="named",
                    node=str(id or number)[:60],
                    type=str(type or "?")[:60],
                    message="the node has no ID or type",
                    hint="Set both.",
                ),
            )
            continue
        values = each.get("values")
        schema = each.get("schema")
        boxes[id] = CanvasNode(
            id=id,
            type=type,
            label=str(each.get("nodeName") or ""),
            values=_resolve_values(project, id, type, values if isinstance(values, Mapping) else {}, told),
            schema=schema if isinstance(schema, Mapping) else {},
            logic=each.get("logic") or None,
            is_trigger=number == 0 and "triggerNode" in said,
            disabled=each.get("disabled") is True,
        )
        for case in (one for kind in ("branches", "classifier", "connections") for one in _list(each.get(kind))):
            if isinstance(case, Mapping) and isinstance(case.get("value"), str):
                label = (
                    "\0"
                    if str(case.get("type")) in _BACK_EDGES
                    else str(case.get("label") or case.get("condition") or "")
                )
                ways.setdefault((id, case["value"]), []).append(label)
        for need in _list(each.get("needs")):
            if isinstance(need, str):
                needs.append((need, id))
    for source_, target in ways:
        needs.append((source_, target))
    lines = []
    for source_, target in dict.fromkeys(needs):
        if source_ in boxes and target in boxes:
            for label in ways.get((source_, target), [""]):
                back = label == "\0" or str(boxes[source_].values.get("connectedTo")) == target
                cases = [""] if back else edge_cases(boxes[source_], "", target, label)
                lines += [CanvasEdge(source_, target, case, back) for case in cases]
    if len(lines) > MAX_EDGES:
        raise LamaticFileError(f"the flow has more than {MAX_EDGES} edges", "Split it.")
    shown = said.get("name")
    title = shown if isinstance(shown, str) and shown else _stem(name)
    about = said.get("description")
    return Canvas(
        name=title,
        nodes=boxes,
        edges=complete_cases(boxes, lines),
        description=about if isinstance(about, str) else "",
        id="",
        notes=tuple(told),
    )


def _listed(said: Json, what: str, most: int, notes: list[TranslationNote]) -> Sequence[Mapping[str, Json]]:
    listed = said if isinstance(said, list) else []
    if isinstance(said, NonLiteral):
        raise LamaticFileError(f"the {what} are not literals ({said.description})", "Write them out.", said.line)
    if len(listed) > most:
        raise LamaticFileError(f"the flow has more than {most} {what}", "Split it.")
    for each in listed:
        if not isinstance(each, Mapping):
            where = f" (line {each.line}: {each.description})" if isinstance(each, NonLiteral) else ""
            notes.append(
                TranslationNote(
                    grade="named",
                    node=what,
                    type="?",
                    message=f"one of the {what} is not a literal{where}",
                    hint="Write it out.",
                ),
            )
    return [each for each in listed if isinstance(each, Mapping)]


def _list(said: Json) -> list[Json]:
    return said if isinstance(said, list) else []


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]
