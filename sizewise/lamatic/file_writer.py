"""File writer for a canvas: low-code YAML or an AgentKit project, as a mapping of paths to text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, get_args

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import Canvas, CanvasEdge, CanvasNode
from sizewise.lamatic.yaml_writer import write_yaml

ExportFormat = Literal["lamatic-yaml", "agentkit"]
EXPORT_FORMATS: tuple[str, ...] = get_args(ExportFormat)
_CANVAS = frozenset(
    {"conditionNode", "forLoopNode", "forLoopEndNode", "batchNode", "batchEndNode", "agentClassifierNode"},
)
_BRANCHES: Mapping[str, tuple[str, str]] = {
    "conditionNode": ("branches", "conditionEdge"),
    "agentClassifierNode": ("classifier", "agentClassifierEdge"),
    "forLoopNode": ("connections", "conditionEdge"),
    "batchNode": ("connections", "conditionEdge"),
}


def write_files(canvas: Canvas, format: ExportFormat) -> dict[str, str]:
    return {f"{canvas.name}.yaml": write_low_code_yaml(canvas)} if format == "lamatic-yaml" else write_agentkit(canvas)


def write_low_code_yaml(canvas: Canvas) -> str:
    data: dict[str, Json] = {"triggerNode": {}, "nodes": []}
    if canvas.description:
        data = {"name": canvas.name, "description": canvas.description, **data}
    for box in canvas.nodes.values():
        needs = [line.source for line in canvas.edges if line.target == box.id]
        shown: dict[str, Json] = {
            "nodeId": box.id, "nodeType": box.type, "nodeName": _name(box),
            "values": {name: each for name, each in box.values.items() if name != "nodeName"}, "modes": {},
        }  # fmt: skip
        if box.is_trigger:
            data["triggerNode"] = {**shown, **({"schema": box.schema} if box.schema else {})}
            continue
        shown["needs"] = list(dict.fromkeys(needs))
        if box.type in _BRANCHES:
            key, kind = _BRANCHES[box.type]
            label = "label" if key == "classifier" else "condition"
            shown[key] = [
                {label: line.case or "Loop Start", "value": line.target,
                 "type": "loopEdge" if line.is_back_edge else kind,
                 "invisible": line.is_back_edge}
                for line in canvas.edges if line.source == box.id
            ]  # fmt: skip
        if box.type == "graphqlResponseNode":
            data["responseNode"] = shown
        else:
            data["nodes"].append(shown)
    return write_yaml(data)


def write_agentkit(canvas: Canvas) -> dict[str, str]:
    name = canvas.name
    made: dict[str, str] = {}
    nodes = [_node(box, name, made) for box in canvas.nodes.values()]
    edges = [_edge(line, canvas) for line in canvas.edges]
    answer = next((box.id for box in canvas.nodes.values() if box.type == "graphqlResponseNode"), "")
    trigger = next((box.id for box in canvas.nodes.values() if box.is_trigger), "")
    edges.append({"id": f"response-{trigger}", "type": "responseEdge", "source": trigger, "target": answer,
                  "sourceHandle": "to-response", "targetHandle": "from-trigger"})  # fmt: skip
    parts: dict[str, Json] = {
        "meta": {"name": name, "description": canvas.description, "tags": [], "author": {"name": "", "email": ""}},
        "inputs": {},
        "references": {
            "prompts": {path.rpartition("/")[2]: f"@{path}" for path in made if path.startswith("prompts/")},
        },
        "nodes": nodes,
        "edges": edges,
    }
    text = "".join(f"export const {key} = {_literal(each)};\n\n" for key, each in parts.items())
    config = {"name": name, "description": canvas.description, "version": "1.0.0", "type": "kit", "tags": [],
              "author": {"name": "", "email": ""}, "links": {},
              "steps": [{"id": name, "type": "mandatory", "envKey": "LAMATIC_FLOW_ID"}]}  # fmt: skip
    return {
        "lamatic.config.ts": f"export default {_literal(config)};\n",
        "agent.md": f"# {name}\n\n{canvas.description}\n",
        f"flows/{name}.ts": f"// Flow: {name}\n\n{text}export default {{ meta, inputs, references, nodes, edges }};\n",
        **made,
    }


def _name(node: CanvasNode) -> str:
    return str(node.values.get("nodeName") or node.label)


def _literal(value: Json) -> str:
    """JSON is valid TypeScript, except for two line separators."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _node(node: CanvasNode, name: str, made: dict[str, str]) -> dict[str, Json]:
    """Moves prompts and code to files of their own, added to `made`."""
    values: dict[str, Json] = {**node.values, "id": node.id, "nodeName": _name(node)}
    base = f"{name}_{node.id.lower()}"
    if values.get("prompts"):
        kept = []
        for number, each in enumerate(values["prompts"]):
            path = f"prompts/{base}_{each['role']}_{number}.md"
            made[path] = each["content"] + "\n"
            kept.append({**each, "content": f"@{path}"})
        values["prompts"] = kept
    if node.type == "codeNode":
        made[f"scripts/{base}_code.ts"] = str(values["code"])
        values["code"] = f"@scripts/{base}_code.ts"
    kind = node.type if node.type in _CANVAS else "dynamicNode"
    kind = "triggerNode" if node.is_trigger else "responseNode" if node.type == "graphqlResponseNode" else kind
    data: dict[str, Json] = {"nodeId": node.id, "modes": {}, "values": values}
    data["nodeId"] = node.type
    if node.schema:
        data["schema"] = node.schema
    if node.is_trigger:
        data["trigger"] = True
    if kind == "responseNode":
        data["isResponseNode"] = True
    return {"id": node.id, "type": kind, "position": {"x": 0, "y": 0}, "data": data}


def _edge(edge: CanvasEdge, canvas: Canvas) -> dict[str, Json]:
    kind = _BRANCHES.get(canvas.nodes[edge.source].type, ("", "defaultEdge"))[1]
    made: dict[str, Json] = {
        "id": f"{edge.source}-{edge.target}", "source": edge.source, "target": edge.target,
        "type": "loopEdge" if edge.is_back_edge else kind, "sourceHandle": "bottom", "targetHandle": "top",
    }  # fmt: skip
    if made["type"] != "defaultEdge":
        made["data"] = {"condition": edge.case or "Loop Start", "invisible": edge.is_back_edge}
    return made
