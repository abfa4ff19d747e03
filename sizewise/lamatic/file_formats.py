"""Lamatic's four formats into drawings: low-code YAML, AgentKit, GitHub sync, the management API; reads no disk.

What a file refers to (`@prompts/x.md`, imports of siblings) is asked of a `find` by its path in the project, and never
by one that climbs out of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from sizewise.flows.language import yaml_source
from sizewise.flows.language.types import Json
from sizewise.lamatic import typescript_literals
from sizewise.lamatic.canvas import Box, Drawing, Line, Refused, Told
from sizewise.lamatic.typescript_literals import Unread

Format = Literal["lamatic-yaml", "agentkit", "github-sync", "api"]
Find = Callable[[str], str | None]
"""The text of a file of the project, by its path from the project's root; None where there is none."""
FOLDERS = ("prompts", "scripts", "model-configs", "constitutions", "triggers", "memory", "tools")
BOXES = 1_000
LINES = 10_000
FILES = 200
"""Files that one flow refers to."""
_REFERENCE = re.compile(rf"@(?P<path>(?:{'|'.join(FOLDERS)})/[\w./ ()+&,'-]{{1,200}})")
_BACK = frozenset({"loopEdge", "agentLoopEdge", "responseEdge"})
_MODULE = re.compile(r"export\s+default\s*[`'\"]")


def nowhere(path: str) -> str | None:
    return None


def read(name: str, text: str, find: Find = nowhere) -> tuple[Format, Drawing]:
    """`name` is the file's path in the project. Raises Refused."""
    try:
        if name.endswith((".yaml", ".yml")):
            return "lamatic-yaml", _low_code(_yaml(text), name, _Project(find))
        if name.endswith(".json"):
            data = typescript_literals.value(text)
            if isinstance(data, dict) and "triggerNode" in data:
                return "lamatic-yaml", _low_code(data, name, _Project(find))
            return "api", _graph(_api(data), name, _Project(find))
        if name.endswith((".ts", ".js", ".mjs")):
            return _module(name, text, _Project(find))
    except Refused as error:
        raise error.within(name) from error
    raise Refused(f"{name}: this is no flow file", "Give a .yaml, .ts or .json file, or a folder of them.")


# ---- the formats ----------------------------------------------------------------------------------------------------


def _yaml(text: str) -> Json:
    try:
        return yaml_source.read(text, shared=True).data
    except yaml_source.Unreadable as error:
        raise Refused(error.bare, error.hint or "", error.line) from error


def _module(name: str, text: str, project: _Project) -> tuple[Format, Drawing]:
    found = project.module(name, text)
    config = found.get("flowConfig")
    if isinstance(config, Mapping):
        return "github-sync", _graph(config, name, project)
    whole = found.get("default")
    parts = {**(whole if isinstance(whole, Mapping) else {}), **found}
    return "agentkit", _graph(parts, name, project)


def _api(data: Json) -> Json:
    """The flow in an answer of the management API, however it is wrapped."""
    for name in ("data", "flow", "result"):
        if isinstance(data, dict) and "nodes" not in data and isinstance(data.get(name), dict):
            data = data[name]
    return data


def _graph(said: Json, name: str, project: _Project) -> Drawing:
    """Of `nodes` and `edges` as a canvas has them."""
    if not isinstance(said, Mapping) or not isinstance(said.get("nodes"), list):
        raise Refused("it holds no nodes", "A flow file exports `nodes` and `edges`, or holds a `flowConfig`.")
    meta = said.get("meta")
    meta = meta if isinstance(meta, Mapping) else said
    told: list[Told] = []
    boxes: dict[str, Box] = {}
    for each in _listed(said["nodes"], "nodes", BOXES, told):
        box = _canvas_box(each, project)
        if box is not None:
            boxes[box.id] = box
    lines = [line for each in _listed(said.get("edges"), "edges", LINES, told) for line in _canvas_line(each, boxes)]
    shown = meta.get("name")
    about = meta.get("description")
    return Drawing(
        shown if isinstance(shown, str) and shown.strip() else _stem(name),
        boxes,
        tuple(lines),
        about if isinstance(about, str) else "",
        said["id"] if isinstance(said.get("id"), str) else "",
        tuple(told),
    )


def _canvas_box(said: Mapping[str, Json], project: _Project) -> Box | None:
    data = said.get("data")
    data = data if isinstance(data, Mapping) else {}
    id, type = said.get("id"), data.get("nodeId") or said.get("type")
    if not isinstance(id, str) or not isinstance(type, str):
        return None
    values = data.get("values")
    if not isinstance(values, Mapping):
        values = {"content": data.get("content") or data.get("text")} if type == "stickyNoteNode" else {}
    values = project.resolved(values)
    named = values.get("nodeName")
    schema = data.get("schema")
    return Box(
        id,
        type,
        named if isinstance(named, str) else "",
        values,
        schema if isinstance(schema, Mapping) else {},
        data.get("logic") or None,
        data.get("trigger") is True or said.get("type") == "triggerNode",
        data.get("disabled") is True,
    )


def _canvas_line(said: Mapping[str, Json], boxes: Mapping[str, Box]) -> Iterator[Line]:
    source_, target, kind = said.get("source"), said.get("target"), said.get("type")
    if not isinstance(source_, str) or not isinstance(target, str) or source_ not in boxes or target not in boxes:
        return
    data = said.get("data")
    label = data.get("condition") if isinstance(data, Mapping) else None
    back = str(kind) in _BACK or said.get("sourceHandle") == "to-response"
    id = said.get("id")
    case = _case(boxes[source_], id if isinstance(id, str) else "", target, label if isinstance(label, str) else "")
    yield Line(source_, target, case, back)


def _case(box: Box, edge: str, target: str, label: str) -> str:
    """The case that a line stands for: by the edge that the case names, else by its label."""
    listed = _cases(box)
    if not listed:
        return ""
    named = any(_label(each) == label for each in listed)
    for each in listed:
        value = each.get("value")
        if (
            isinstance(value, str)
            and value
            and value in (edge, target, f"{box.id}-{target}")
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


def _cases(box: Box) -> list[Mapping[str, Json]]:
    for name in ("conditions", "classifier", "agents"):
        said = box.values.get(name)
        if isinstance(said, str) and said.strip()[:1] == "[":
            try:
                said = typescript_literals.value(said)
            except Refused:
                continue
        if isinstance(said, list) and box.type in ("conditionNode", "agentClassifierNode", "agentNode"):
            return [each for each in said if isinstance(each, Mapping)]
    return []


def _label(case: Mapping[str, Json]) -> str:
    return str(case.get("label") or case.get("condition") or case.get("name") or "")


def _low_code(said: Json, name: str, project: _Project) -> Drawing:
    if not isinstance(said, Mapping) or not (isinstance(said.get("nodes"), list) or "triggerNode" in said):
        hint = "A flow of Lamatic's has a triggerNode, nodes and a responseNode."
        raise Refused("it holds no flow of Lamatic's", hint)
    told: list[Told] = []
    listed = [
        *([said["triggerNode"]] if isinstance(said.get("triggerNode"), Mapping) else []),
        *_listed(said.get("nodes") or [], "nodes", BOXES, told),
        *([said["responseNode"]] if isinstance(said.get("responseNode"), Mapping) else []),
    ]
    boxes: dict[str, Box] = {}
    ways: dict[tuple[str, str], list[str]] = {}
    needs: list[tuple[str, str]] = []
    for number, each in enumerate(listed):
        id, type = each.get("nodeId"), each.get("nodeType")
        if not isinstance(id, str) or not isinstance(type, str):
            told.append(
                Told("named", str(id or number)[:60], str(type or "?")[:60], "it has no id or type", "Give both.")
            )
            continue
        values = each.get("values")
        schema = each.get("schema")
        boxes[id] = Box(
            id,
            type,
            str(each.get("nodeName") or ""),
            project.resolved(values if isinstance(values, Mapping) else {}),
            schema if isinstance(schema, Mapping) else {},
            each.get("logic") or None,
            number == 0 and "triggerNode" in said,
            each.get("disabled") is True,
        )
        for case in (one for kind in ("branches", "classifier", "connections") for one in _list(each.get(kind))):
            if isinstance(case, Mapping) and isinstance(case.get("value"), str):
                label = (
                    "\0" if str(case.get("type")) in _BACK else str(case.get("label") or case.get("condition") or "")
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
                lines.append(Line(source_, target, case, back))
    if len(lines) > LINES:
        raise Refused(f"it has more than {LINES} lines", "Split it.")
    shown = said.get("name")
    title = shown if isinstance(shown, str) and shown else _stem(name)
    about = said.get("description")
    return Drawing(title, boxes, tuple(lines), about if isinstance(about, str) else "", "", tuple(told))


def _listed(said: Json, what: str, most: int, told: list[Told]) -> Sequence[Mapping[str, Json]]:
    listed = said if isinstance(said, list) else []
    if isinstance(said, Unread):
        raise Refused(f"its {what} are no literal ({said.what})", "Write them out.", said.line)
    if len(listed) > most:
        raise Refused(f"it has more than {most} {what}", "Split it.")
    for each in listed:
        if not isinstance(each, Mapping):
            where = f" (line {each.line}: {each.what})" if isinstance(each, Unread) else ""
            told.append(Told("named", what, "?", f"one of its {what} is no literal{where}", "Write it out."))
    return [each for each in listed if isinstance(each, Mapping)]


def _list(said: Json) -> list[Json]:
    return said if isinstance(said, list) else []


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


# ---- what a file refers to ------------------------------------------------------------------------------------------


class _Project:
    """Looks each file up once."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._texts: dict[str, str | None] = {}
        self._modules: dict[str, Mapping[str, Json]] = {}
        self._under_way: list[str] = []

    def text(self, path: str) -> str | None:
        """None where there is no such file. Raises Refused for a path that leads out of the project."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or path.startswith("/") or "\\" in path or "\0" in path:
            raise Refused(f"{path[:100]!r} leads out of the project", "Refer to files of the project.")
        name = "/".join(parts)
        if name not in self._texts:
            if len(self._texts) >= FILES:
                raise Refused(f"it refers to more than {FILES} files", "Split it.")
            found = self._find(name)
            if found is not None and len(found) > typescript_literals.BYTES:
                raise Refused(f"{name}: the file is longer than {typescript_literals.BYTES} characters", "Split it.")
            self._texts[name] = found
        return self._texts[name]

    def module(self, name: str, text: str) -> Mapping[str, Json]:
        """What a TypeScript file exports. Raises Refused where files import each other in a circle."""
        if name in self._modules:
            return self._modules[name]
        if name in self._under_way:
            circle = " → ".join([*self._under_way[self._under_way.index(name) :], name])
            raise Refused(f"these import each other: {circle[:300]}", "Take one of the imports out.")
        self._under_way.append(name)
        found = typescript_literals.read(text, lambda path: self._sibling(name, path))
        self._under_way.pop()
        self._modules[name] = found
        return found

    def _sibling(self, name: str, path: str) -> Mapping[str, Json]:
        folder = name.split("/")[:-1]
        for part in path.split("/"):
            if part == "..":
                if not folder:
                    raise Refused(f"{path[:100]!r} leads out of the project", "Import files of the project.")
                folder.pop()
            elif part not in ("", "."):
                folder.append(part)
        wanted = "/".join(folder)
        for each in (wanted, f"{wanted}.ts", f"{wanted}.js", f"{wanted}.json", f"{wanted}/index.ts"):
            if (text := self.text(each)) is not None:
                return (
                    self.module(each, text)
                    if not each.endswith(".json")
                    else {"default": typescript_literals.value(text)}
                )
        return {}

    def resolved(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """The same with what each reference stands for in its place. Raises Refused."""
        return {str(name): self._resolved(each, str(name)) for name, each in values.items()}

    def _resolved(self, said: Json, key: str) -> Json:
        if isinstance(said, Mapping):
            return self.resolved(said)
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
            return Unread(f"{said[:100]} is not there", 0)
        if not path.endswith((".ts", ".js")) or (
            path.startswith("scripts/") and not _MODULE.match(text, typescript_literals.begins(text))
        ):
            return text.removesuffix("\n") if path.endswith(".md") else text
        found = self.module(path, text).get("default", Unread(f"{said[:100]} has no default", 0))
        if isinstance(found, Mapping):
            return found.get(key, Unread(f"{said[:100]} has no {key[:40]}", 0))
        return found
