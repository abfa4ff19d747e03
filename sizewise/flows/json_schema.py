"""JSON Schema of flow files, generated from the installed node types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec

from sizewise.flows.language.flow_spec import MAX_ATTEMPTS, TriggerKind
from sizewise.flows.language.types import TYPE_NAMES, Json
from sizewise.flows.node_registry import NodeRegistry, NodeType

REF = "#/$defs/{name}"
_NAMED = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$"


def flow_json_schema(registry: NodeRegistry) -> dict[str, Json]:
    """The schema of a flow file. It cannot express types of expressions and references: validator.py checks those."""
    known = [each for name in registry.names if (each := registry(name)) is not None]
    _, defs = msgspec.json.schema_components([each.node_class for each in known], ref_template=REF)
    own = {each.node_class.__name__ for each in known}
    nodes = {f"node_{each.name}": _node(each, defs[each.node_class.__name__]) for each in known}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Sizewise flow",
        "type": "object",
        "required": ["name", "nodes"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": _NAMED, "description": "The model name of the flow is flow:NAME."},
            "description": {"type": "string"},
            "inputs": {"type": "object", "additionalProperties": {"anyOf": [_ref("type"), _ref("input")]}},
            "nodes": _ref("nodes"),
            "outputs": {
                "type": "object",
                "description": "Each output by name: a value, or {{ }} with a reference to a node.",
            },
            "triggers": {"type": "array", "items": _ref("trigger")},
        },
        "$defs": {
            **{name: each for name, each in defs.items() if name not in own},
            **nodes,
            **_shared_definitions(known),
        },
    }


def _ref(name: str) -> dict[str, Json]:
    return {"$ref": f"#/$defs/{name}"}


def _shared_definitions(known: list[NodeType]) -> dict[str, Json]:
    """The definitions that are not node types."""
    choices = [
        {"if": {"properties": {"kind": {"const": each.name}}, "required": ["kind"]}, "then": _ref(f"node_{each.name}")}
        for each in known
    ]
    kinds = {"enum": [each.name for each in known], "description": "The type of the node."}
    deep = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False}
    fields = {"type": "object", "additionalProperties": _ref("type")}
    return {
        "type": {
            "anyOf": [
                {"enum": list(TYPE_NAMES)},
                {**deep, "properties": {"list": _ref("type")}},
                {**deep, "properties": {"object": fields}},
            ],
        },
        "input": {
            "type": "object",
            "required": ["type"],
            "additionalProperties": False,
            "properties": {"type": _ref("type"), "default": {}, "description": {"type": "string"}},
        },
        "nodes": {"type": "object", "propertyNames": {"pattern": _NAMED}, "additionalProperties": _ref("node")},
        "node": {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": kinds},
            "allOf": choices,
        },
        "trigger": {
            "type": "object",
            "required": ["kind"],
            "additionalProperties": False,
            "properties": {
                "kind": {"enum": list(get_args(TriggerKind))},
                "name": {"type": "string"},
                "schedule": {"type": "string", "description": "Cron expression: minute, hour, day, month, weekday."},
                "zone": {"type": "string", "description": "Time zone of the schedule, such as Europe/Zurich."},
                "inputs": {"type": "object", "description": "Inputs of the flow: {{ body.x }}, {{ time }}."},
                "description": {"type": "string"},
            },
        },
    }


def _node(known: NodeType, shape: Mapping[str, Json]) -> dict[str, Json]:
    """A node type: its parameters, each a value or an expression, and the keys that every node has."""
    said = shape.get("properties", {})
    parameters = {
        name: each if known.parameters[name].is_plain or known.parameters[name].is_static else _or_expression(each)
        for name, each in said.items()
    }
    around: dict[str, Json] = {
        "kind": {"const": known.name},
        "after": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                  "description": "Nodes, or cases of branches (route.refund), that run before this node."},
        "retry": {
            "type": "object",
            "additionalProperties": False,
            "description": "Maximum attempts, and the seconds to wait before the second.",
            "properties": {
                "times": {"type": "integer", "minimum": 1, "maximum": MAX_ATTEMPTS},
                "wait_s": {"type": "number", "minimum": 0, "maximum": 86_400},
            },
        },
        "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400,
                      "description": "Timeout of one attempt in seconds."},
        "description": {"type": "string"},
    }  # fmt: skip
    required = ["kind", *shape.get("required", ())]
    if known.node_class.has_body:
        around |= {
            "nodes": _ref("nodes"),
            "outputs": {"description": "Output of each round: a value, or several by name."},
        }
        required += ["nodes", "outputs"]
    return {
        "description": known.description,
        "type": "object",
        "properties": {**around, **parameters},
        "required": required,
        "additionalProperties": False,
    }


def _or_expression(shape: Mapping[str, Json]) -> dict[str, Json]:
    """`shape`, or a string that contains {{ }}."""
    told = {name: shape[name] for name in ("description", "default", "x-names", "x-form") if name in shape}
    inner = {name: each for name, each in shape.items() if name not in told}
    if not inner or inner == {"type": "string"}:
        return {**inner, **told}
    options = inner.get("anyOf", [inner])
    return {"anyOf": [*options, {"type": "string", "pattern": r"\{\{"}], **told}
