"""A drawing as Lamatic's files: low-code YAML, or an AgentKit project; texts by their paths, no disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, get_args

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import Box, Drawing, Line
from sizewise.lamatic.yaml_writer import yaml

Written = Literal["lamatic-yaml", "agentkit"]
WRITTEN: tuple[str, ...] = get_args(Written)
_CANVAS = frozenset(
    {"conditionNode", "forLoopNode", "forLoopEndNode", "batchNode", "batchEndNode", "agentClassifierNode"}
)
_BRANCHES: Mapping[str, tuple[str, str]] = {
    "conditionNode": ("branches", "conditionEdge"),
    "agentClassifierNode": ("classifier", "agentClassifierEdge"),
    "forLoopNode": ("connections", "conditionEdge"),
    "batchNode": ("connections", "conditionEdge"),
}


def files(drawing: Drawing, format: Written) -> dict[str, str]:
    return {f"{drawing.name}.yaml": low_code(drawing)} if format == "lamatic-yaml" else kit(drawing)


def low_code(drawing: Drawing) -> str:
    data: dict[str, Json] = {"triggerNode": {}, "nodes": []}
    if drawing.description:
        data = {"name": drawing.name, "description": drawing.description, **data}
    for box in drawing.boxes.values():
        needs = [line.source for line in drawing.lines if line.target == box.id]
        shown: dict[str, Json] = {
            "nodeId": box.id, "nodeType": box.type, "nodeName": _name(box),
            "values": {name: each for name, each in box.values.items() if name != "nodeName"}, "modes": {},
        }  # fmt: skip
        if box.trigger:
            data["triggerNode"] = {**shown, **({"schema": box.schema} if box.schema else {})}
            continue
        shown["needs"] = list(dict.fromkeys(needs))
        if box.type in _BRANCHES:
            key, kind = _BRANCHES[box.type]
            label = "label" if key == "classifier" else "condition"
            shown[key] = [
                {label: line.case or "Loop Start", "value": line.target, "type": "loopEdge" if line.back else kind,
                 "invisible": line.back}
                for line in drawing.lines if line.source == box.id
            ]  # fmt: skip
        if box.type == "graphqlResponseNode":
            data["responseNode"] = shown
        else:
            data["nodes"].append(shown)
    return yaml(data)


def kit(drawing: Drawing) -> dict[str, str]:
    name = drawing.name
    made: dict[str, str] = {}
    nodes = [_node(box, name, made) for box in drawing.boxes.values()]
    edges = [_edge(line, drawing) for line in drawing.lines]
    answer = next((box.id for box in drawing.boxes.values() if box.type == "graphqlResponseNode"), "")
    trigger = next((box.id for box in drawing.boxes.values() if box.trigger), "")
    edges.append({"id": f"response-{trigger}", "type": "responseEdge", "source": trigger, "target": answer,
                  "sourceHandle": "to-response", "targetHandle": "from-trigger"})  # fmt: skip
    parts: dict[str, Json] = {
        "meta": {"name": name, "description": drawing.description, "tags": [], "author": {"name": "", "email": ""}},
        "inputs": {},
        "references": {
            "prompts": {path.rpartition("/")[2]: f"@{path}" for path in made if path.startswith("prompts/")}
        },
        "nodes": nodes,
        "edges": edges,
    }
    text = "".join(f"export const {key} = {_literal(each)};\n\n" for key, each in parts.items())
    config = {"name": name, "description": drawing.description, "version": "1.0.0", "type": "kit", "tags": [],
              "author": {"name": "", "email": ""}, "links": {},
              "steps": [{"id": name, "type": "mandatory", "envKey": "LAMATIC_FLOW_ID"}]}  # fmt: skip
    return {
        "lamatic.config.ts": f"export default {_literal(config)};\n",
        "agent.md": f"# {name}\n\n{drawing.description}\n",
        f"flows/{name}.ts": f"// Flow: {name}\n\n{text}export default {{ meta, inputs, references, nodes, edges }};\n",
        **made,
    }


def _name(box: Box) -> str:
    return str(box.values.get("nodeName") or box.name)


def _literal(value: Json) -> str:
    """JSON, which is TypeScript too but for two signs."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _node(box: Box, name: str, made: dict[str, str]) -> dict[str, Json]:
    """Its prompts and code go into files of their own."""
    values: dict[str, Json] = {**box.values, "id": box.id, "nodeName": _name(box)}
    base = f"{name}_{box.id.lower()}"
    if values.get("prompts"):
        kept = []
        for number, each in enumerate(values["prompts"]):
            path = f"prompts/{base}_{each['role']}_{number}.md"
            made[path] = each["content"] + "\n"
            kept.append({**each, "content": f"@{path}"})
        values["prompts"] = kept
    if box.type == "codeNode":
        made[f"scripts/{base}_code.ts"] = str(values["code"])
        values["code"] = f"@scripts/{base}_code.ts"
    kind = box.type if box.type in _CANVAS else "dynamicNode"
    kind = "triggerNode" if box.trigger else "responseNode" if box.type == "graphqlResponseNode" else kind
    data: dict[str, Json] = {"nodeId": box.id, "modes": {}, "values": values}
    data["nodeId"] = box.type
    if box.schema:
        data["schema"] = box.schema
    if box.trigger:
        data["trigger"] = True
    if kind == "responseNode":
        data["isResponseNode"] = True
    return {"id": box.id, "type": kind, "position": {"x": 0, "y": 0}, "data": data}


def _edge(line: Line, drawing: Drawing) -> dict[str, Json]:
    kind = _BRANCHES.get(drawing.boxes[line.source].type, ("", "defaultEdge"))[1]
    made: dict[str, Json] = {
        "id": f"{line.source}-{line.target}", "source": line.source, "target": line.target,
        "type": "loopEdge" if line.back else kind, "sourceHandle": "bottom", "targetHandle": "top",
    }  # fmt: skip
    if made["type"] != "defaultEdge":
        made["data"] = {"condition": line.case or "Loop Start", "invisible": line.back}
    return made
