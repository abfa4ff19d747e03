"""Readers for Lamatic's file formats: low-code YAML, AgentKit, GitHub sync and API JSON; no disk access.

Files that a flow refers to (`@prompts/x.md`, imports) are requested from a `lookup` by their path in the project; paths
outside the project are rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from sizewise.flows.language import yaml_source
from sizewise.flows.language.types import Json
from sizewise.lamatic import typescript_literals
from sizewise.lamatic.canvas import Canvas, CanvasEdge, CanvasNode, LamaticFileError, TranslationNote
from sizewise.lamatic.typescript_literals import NonLiteral

LamaticFormat = Literal["lamatic-yaml", "agentkit", "github-sync", "api"]
FileLookup = Callable[[str], str | None]
"""Path from the project's root -> text of the file; None if it does not exist."""
REFERENCE_FOLDERS = ("prompts", "scripts", "model-configs", "constitutions", "triggers", "memory", "tools")
MAX_NODES = 1_000
MAX_EDGES = 10_000
MAX_FILES = 200
"""Maximum files that one flow may refer to."""
_REFERENCE = re.compile(rf"@(?P<path>(?:{'|'.join(REFERENCE_FOLDERS)})/[\w./ ()+&,'-]{{1,200}})")
_BACK_EDGES = frozenset({"loopEdge", "agentLoopEdge", "responseEdge"})
_MODULE = re.compile(r"export\s+default\s*[`'\"]")


def no_files(path: str) -> str | None:
    return None


def parse_file(name: str, text: str, lookup: FileLookup = no_files) -> tuple[LamaticFormat, Canvas]:
    """`name` is the file's path in the project. Raises LamaticFileError."""
    try:
        if name.endswith((".yaml", ".yml")):
            return "lamatic-yaml", _low_code(_yaml(text), name, _ProjectFiles(lookup))
        if name.endswith(".json"):
            data = typescript_literals.parse_literal(text)
            if isinstance(data, dict) and "triggerNode" in data:
                return "lamatic-yaml", _low_code(data, name, _ProjectFiles(lookup))
            return "api", _graph(_api(data), name, _ProjectFiles(lookup))
        if name.endswith((".ts", ".js", ".mjs")):
            return _module(name, text, _ProjectFiles(lookup))
    except LamaticFileError as error:
        raise error.in_file(name) from error
    raise LamaticFileError(f"{name}: not a flow file", "Use a .yaml, .ts or .json file, or a folder of them.")


# ---- the formats ----------------------------------------------------------------------------------------------------


def _yaml(text: str) -> Json:
    try:
        return yaml_source.parse_yaml(text, allow_aliases=True).data
    except yaml_source.YamlError as error:
        raise LamaticFileError(error.reason, error.hint or "", error.line) from error


def _module(name: str, text: str, project: _ProjectFiles) -> tuple[LamaticFormat, Canvas]:
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


def _graph(said: Json, name: str, project: _ProjectFiles) -> Canvas:
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
        box = _canvas_node(each, project)
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
        edges=tuple(lines),
        description=about if isinstance(about, str) else "",
        id=said["id"] if isinstance(said.get("id"), str) else "",
        notes=tuple(told),
    )


def _canvas_node(said: Mapping[str, Json], project: _ProjectFiles) -> CanvasNode | None:
    data = said.get("data")
    data = data if isinstance(data, Mapping) else {}
    id, type = said.get("id"), data.get("nodeId") or said.get("type")
    if not isinstance(id, str) or not isinstance(type, str):
        return None
    values = data.get("values")
    if not isinstance(values, Mapping):
        values = {"content": data.get("content") or data.get("text")} if type == "stickyNoteNode" else {}
    values = project.resolve_references(values)
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


def _canvas_edges(said: Mapping[str, Json], nodes: Mapping[str, CanvasNode]) -> Iterator[CanvasEdge]:
    source_, target, kind = said.get("source"), said.get("target"), said.get("type")
    if not isinstance(source_, str) or not isinstance(target, str) or source_ not in nodes or target not in nodes:
        return
    data = said.get("data")
    label = data.get("condition") if isinstance(data, Mapping) else None
    back = str(kind) in _BACK_EDGES or said.get("sourceHandle") == "to-response"
    id = said.get("id")
    case = _case(nodes[source_], id if isinstance(id, str) else "", target, label if isinstance(label, str) else "")
    yield CanvasEdge(source_, target, case, back)


def _case(node: CanvasNode, edge: str, target: str, label: str) -> str:
    """The case of an edge: by the edge id or target that the case names, else by label."""
    listed = _cases(node)
    if not listed:
        return ""
    named = any(_label(each) == label for each in listed)
    for each in listed:
        value = each.get("value")
        if (
            isinstance(value, str)
            and value
            and value in (edge, target, f"{node.id}-{target}")
            and not (named and not edge)
        ):
            return _label(each)
    if named:
        return label
    for each in listed:
        value = each.get("value")
        if isinstance(value, str) and f"-{target}" in value:
            return _label(each)
    return label


def _cases(node: CanvasNode) -> list[Mapping[str, Json]]:
    for name in ("conditions", "classifier", "agents"):
        said = node.values.get(name)
        if isinstance(said, str) and said.strip()[:1] == "[":
            try:
                said = typescript_literals.parse_literal(said)
            except LamaticFileError:
                continue
        if isinstance(said, list) and node.type in ("conditionNode", "agentClassifierNode", "agentNode"):
            return [each for each in said if isinstance(each, Mapping)]
    return []


def _label(case: Mapping[str, Json]) -> str:
    return str(case.get("label") or case.get("condition") or case.get("name") or "")


def _low_code(said: Json, name: str, project: _ProjectFiles) -> Canvas:
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
            values=project.resolve_references(values if isinstance(values, Mapping) else {}),
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
                case = "" if back else _case(boxes[source_], "", target, label)
                lines.append(CanvasEdge(source_, target, case, back))
    if len(lines) > MAX_EDGES:
        raise LamaticFileError(f"the flow has more than {MAX_EDGES} edges", "Split it.")
    shown = said.get("name")
    title = shown if isinstance(shown, str) and shown else _stem(name)
    about = said.get("description")
    return Canvas(
        name=title,
        nodes=boxes,
        edges=tuple(lines),
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


# ---- references to other files --------------------------------------------------------------------------------------


class _ProjectFiles:
    """Caches the files of a project."""

    def __init__(self, lookup: FileLookup) -> None:
        self._find = lookup
        self._texts: dict[str, str | None] = {}
        self._modules: dict[str, Mapping[str, Json]] = {}
        self._loading: list[str] = []

    def text(self, path: str) -> str | None:
        """None if the file does not exist. Raises LamaticFileError for a path outside the project."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or path.startswith("/") or "\\" in path or "\0" in path:
            raise LamaticFileError(f"{path[:100]!r} is outside the project", "Refer to files of the project.")
        name = "/".join(parts)
        if name not in self._texts:
            if len(self._texts) >= MAX_FILES:
                raise LamaticFileError(f"the flow refers to more than {MAX_FILES} files", "Split it.")
            found = self._find(name)
            if found is not None and len(found) > typescript_literals.MAX_BYTES:
                raise LamaticFileError(
                    f"{name}: the file is longer than {typescript_literals.MAX_BYTES} characters",
                    "Split it.",
                )
            self._texts[name] = found
        return self._texts[name]

    def module(self, name: str, text: str) -> Mapping[str, Json]:
        """Exports of a TypeScript file. Raises LamaticFileError for circular imports."""
        if name in self._modules:
            return self._modules[name]
        if name in self._loading:
            circle = " → ".join([*self._loading[self._loading.index(name) :], name])
            raise LamaticFileError(f"circular imports: {circle[:300]}", "Remove one of the imports.")
        self._loading.append(name)
        found = typescript_literals.parse_module(text, lambda path: self._sibling(name, path))
        self._loading.pop()
        self._modules[name] = found
        return found

    def _sibling(self, name: str, path: str) -> Mapping[str, Json]:
        folder = name.split("/")[:-1]
        for part in path.split("/"):
            if part == "..":
                if not folder:
                    raise LamaticFileError(f"{path[:100]!r} is outside the project", "Import files of the project.")
                folder.pop()
            elif part not in ("", "."):
                folder.append(part)
        wanted = "/".join(folder)
        for each in (wanted, f"{wanted}.ts", f"{wanted}.js", f"{wanted}.json", f"{wanted}/index.ts"):
            if (text := self.text(each)) is not None:
                return (
                    self.module(each, text)
                    if not each.endswith(".json")
                    else {"default": typescript_literals.parse_literal(text)}
                )
        return {}

    def resolve_references(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """The values with references replaced by the content of their files. Raises LamaticFileError."""
        return {str(name): self._resolved(each, str(name)) for name, each in values.items()}

    def _resolved(self, said: Json, key: str) -> Json:
        if isinstance(said, Mapping):
            return self.resolve_references(said)
        if isinstance(said, list):
            return [self._resolved(each, key) for each in said]
        if not isinstance(said, str) or not said.startswith("@"):
            return said
        match = _REFERENCE.fullmatch(said.strip())
        if match is None:
            return said
        path = match["path"]
        text = self.text(path)
        if text is None:
            return NonLiteral(f"{said[:100]} does not exist", 0)
        if not path.endswith((".ts", ".js")) or (
            path.startswith("scripts/") and not _MODULE.match(text, typescript_literals.literal_start(text))
        ):
            return text.removesuffix("\n") if path.endswith(".md") else text
        found = self.module(path, text).get("default", NonLiteral(f"{said[:100]} has no default", 0))
        if isinstance(found, Mapping):
            return found.get(key, NonLiteral(f"{said[:100]} has no {key[:40]}", 0))
        return found
