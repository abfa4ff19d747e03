"""Translations of Lamatic's triggers to inputs and triggers, and of its responses to outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import CanvasNode
from sizewise.lamatic.model_nodes import USAGE_FIELDS
from sizewise.lamatic.template_parser import (
    ConditionalExpression,
    DefaultExpression,
    TemplateExpression,
    TemplatePath,
    TranslationError,
    parse_expression,
    split_template,
)
from sizewise.lamatic.translator import NodeOutputs, Translator, iterate_strings

RESPONSE_NODES = frozenset(
    {"graphqlResponseNode", "chatResponseNode", "searchResponseNode", "askResponseNode", "n8nResponseNode"},
)
_TYPES: Mapping[str, Json] = {
    "string": "text", "text": "text", "id": "text", "int": "integer", "integer": "integer", "float": "number",
    "number": "number", "boolean": "boolean", "bool": "boolean", "json": "json", "object": "json", "array": "json",
    "any": "json", "file": "json",
}  # fmt: skip
_CHAT: Mapping[str, str] = {"chatMessage": "text", "chatHistory": "messages", "userId": "text", "sessionId": "text"}
_ASK: Mapping[str, str] = {"message": "text", "conversationId": "text"}
_SEARCH: Mapping[str, str] = {"searchQuery": "text"}
WIDGET_TRIGGERS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "chatTriggerNode": (_CHAT, "chatMessage"),
    "askTriggerNode": (_ASK, "message"),
    "searchTriggerNode": (_SEARCH, "searchQuery"),
}
TRIGGERS: Mapping[str, str] = {
    "graphqlNode": "inputs; the flow's field of `/graphql` and its API",
    "webhookTriggerNode": "trigger `webhook`",
    "cronNode": "trigger `cron`",
    "chatTriggerNode": "trigger `chat`",
    "searchTriggerNode": "inputs, via the API",
    "askTriggerNode": "inputs, via the API",
}
_PART = re.compile(
    r"(?:\*|\?|[0-9A-Za-z]{1,3}(?:-[0-9A-Za-z]{1,3})?)(?:/[0-9]{1,2})?(?:,(?:[0-9A-Za-z]{1,3}(?:-[0-9A-Za-z]{1,3})?))*",
)


def base_type(type: str) -> str:
    """A trigger's type without the suffix that distinguishes it from an action node of the same name."""
    return type.removesuffix("_trigger")


def translate_trigger(translator: Translator, node: CanvasNode) -> list[dict[str, Json]]:
    """Declares the inputs and returns the triggers. Raises TranslationError if there is no equivalent trigger."""
    type = base_type(node.type)
    triggers: list[dict[str, Json]] = []
    deep = _used_fields(translator, node.id)
    used = list(deep)
    if type in WIDGET_TRIGGERS:
        fields, question = WIDGET_TRIGGERS[type]
        for name, kind in fields.items():
            if name == question or name in used:
                translator.declare_input(name, kind, required=name == question)
        if type == "chatTriggerNode":
            triggers.append({"kind": "chat"})
        translator.add_note(
            "the widget's appearance and domains are not part of a flow",
            "Set them where the widget is embedded.",
        )
    elif type == "cronNode":
        triggers.append(_cron(translator, node))
    elif type in ("graphqlNode", "webhookTriggerNode"):
        for name, (kind, required) in _fields(translator, node).items():
            kind = _field_type(translator, node.id, name, kind, deep.get(name, 0))
            translator.declare_input(name, kind, required=required and type == "graphqlNode")
    else:
        passed = ", ".join(name for name in used if name)[:200] or "nothing"
        translator.add_note(
            f"no connector starts a flow this way; what it passed are inputs: {passed}",
            "Start the flow through the API or a webhook for each item, or by a schedule that fetches the items first.",
        )
    unsaid = [name for name in used if name and name not in translator.input_names]
    for name in unsaid:
        translator.declare_input(name, "json")
    if unsaid:
        translator.add_note(
            f"its trigger does not declare the type of: {', '.join(unsaid)[:200]}",
            "Set the types of these inputs.",
        )
    if not translator.inputs and any(name == "" for name in used):
        translator.declare_input("input", "json")
    if type == "webhookTriggerNode":
        triggers.append(
            {
                "kind": "webhook",
                "inputs": {
                    ours: "{{ body" + _step(theirs) + " }}" for theirs, ours in translator.input_names.items() if theirs
                },
            },
        )
    if str(node.values.get("responeType") or "").lower() == "async":
        translator.add_note("its caller did not wait for the result", "Start the flow with startRun and poll the run.")
    return triggers


def _step(name: str) -> str:
    return f".{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f'["{name}"]'


def trigger_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    fields = {theirs: f"inputs.{ours}" for theirs, ours in translator.input_names.items() if theirs}
    texts = frozenset(
        theirs
        for theirs, ours in translator.input_names.items()
        if translator.input_type(ours) == "text" and translator.inputs[ours] == "text"
    )
    whole = "inputs.input" if list(translator.inputs) == ["input"] and "input" in translator.input_names else ""
    return NodeOutputs(whole, fields, text_fields=texts)


def _fields(translator: Translator, node: CanvasNode) -> dict[str, tuple[Json, bool]]:
    """Field -> its type, and whether a call must pass it."""
    said = translator.parse_data(node.values.get("advance_schema"), "advance_schema")
    if not isinstance(said, Mapping) or not said:
        said = node.schema if base_type(node.type) == "webhookTriggerNode" else {}
    if not _is_json_schema(said):
        return {str(name): (_type(each), not _is_optional(each)) for name, each in said.items()}
    fields = said["properties"]
    listed = said.get("required")
    wanted = listed if isinstance(listed, list) else [name for name, each in fields.items() if _is_required(each)]
    return {str(name): (_type(each), name in wanted) for name, each in fields.items()}


_SCHEMA_KEYS = frozenset(
    {
        "type", "properties", "required", "items", "enum", "default", "format", "additionalProperties", "title",
        "description", "examples", "minimum", "maximum", "minLength", "maxLength", "$schema", "$id", "$defs",
    },
)  # fmt: skip


def _is_json_schema(said: Mapping[str, Json]) -> bool:
    """Whether the fields are those of a JSON Schema, rather than fields named `type` and `properties`."""
    return isinstance(said.get("properties"), Mapping) and said.keys() <= _SCHEMA_KEYS


def _is_required(field: Json) -> bool:
    return isinstance(field, Mapping) and field.get("required") is True


def _is_optional(field: Json) -> bool:
    """Whether a field is written as `string?`, or with `required: false`."""
    if isinstance(field, str):
        return field.strip().endswith("?")
    return isinstance(field, Mapping) and field.get("required") is False and field.keys() <= _SCHEMA_KEYS


def _type(said: Json) -> Json:
    if isinstance(said, str):
        word = said.strip().lower().rstrip("!?")
        if word.startswith("[") and word.endswith("]"):
            inner = _TYPES.get(word.strip("[]! "), "json")
            return {"list": inner}
        return _TYPES.get(word, "json")
    if not isinstance(said, Mapping) or not said.keys() <= _SCHEMA_KEYS:
        return "json"
    kind = said.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), None)
    if kind == "array" and isinstance(items := said.get("items"), Mapping):
        inner = _type(items)
        return {"list": inner} if isinstance(inner, str) else "json"
    return _type(kind) if isinstance(kind, str) else "json"


def _used_fields(translator: Translator, trigger: str) -> dict[str, int]:
    """Trigger field -> deepest access below it. The name is empty for uses of the whole trigger output."""
    made: dict[str, int] = {}
    nodes = translator.canvas.nodes
    roots = {trigger, "trigger"} if "trigger" not in nodes else {trigger}
    for box in translator.canvas.nodes.values():
        for text in iterate_strings(box.values):
            for piece in split_template(text) if "{{" in text and any(each in text for each in roots) else ():
                if isinstance(piece, str) or not any(each in piece[0] for each in roots):
                    continue
                try:
                    found = parse_expression(piece[0])
                except TranslationError:
                    continue
                for path in _paths(found):
                    if path.root in roots:
                        name = str(path.steps[0]) if path.steps and isinstance(path.steps[0], str) else ""
                        made[name] = max(made.get(name, 0), len(path.steps) - 1)
    return made


def _field_type(translator: Translator, trigger: str, name: str, kind: Json, deep: int) -> Json:
    """The declared type, or `json` if the flow accesses fields below it."""
    if kind in ("text", "number", "integer", "boolean") and deep > 0:
        return "json"
    if kind == {"list": "text"} and (deep > 1 or _items_reached(translator, trigger, name)):
        return {"list": "json"}
    return kind


def _items_reached(translator: Translator, trigger: str, name: str) -> bool:
    """Whether a loop iterates over the field and a node accesses fields of its items."""
    over = [
        id for id, box in translator.canvas.nodes.items()
        if f"{trigger}.output.{name}" in str(box.values.get("iteratorValue") or "")
    ]  # fmt: skip
    into = tuple(f"{id}.output.currentValue{sign}" for id in over for sign in ".[")
    return bool(into) and any(
        each in text
        for box in translator.canvas.nodes.values()
        for text in iterate_strings(box.values)
        for each in into
    )


def _paths(found: TemplateExpression) -> list[TemplatePath]:
    match found:
        case DefaultExpression(first, other):
            parts: list[Json] = [first, other]
        case ConditionalExpression(when, then, other):
            parts = [when, then, other]
        case _:
            parts = [found]
    return [each for each in parts if isinstance(each, TemplatePath)]


def _cron(translator: Translator, node: CanvasNode) -> dict[str, Json]:
    words = str(node.values.get("cronExpression") or "").split()
    zone = str(node.values.get("cronTimezone") or "")
    if (words and not _PART.fullmatch(words[-1]) and "/" in words[-1]) or words[-1:] == ["UTC"]:
        zone = zone or words[-1]
        words = words[:-1]
    if len(words) in (6, 7):
        if words[0] not in ("0", "00", "*"):
            translator.add_note("its schedule had seconds", "Schedules start at whole minutes.")
        words = words[1:6]
    if len(words) != 5 or not all(_PART.fullmatch(each) for each in words):
        raise TranslationError("the schedule cannot be parsed", "Set minute, hour, day, month and weekday.")
    words = ["*" if each == "?" else each for each in words]
    words = [f"*/{each[2:]}" if each.startswith("1/") else each for each in words]
    words = ["*" if each == "*/1" else each for each in words]
    made = {
        "kind": "cron",
        "schedule": " ".join(each.lstrip("0") or "0" if each.isdecimal() else each for each in words),
    }
    return {**made, "zone": zone} if zone and zone != "UTC" else made


_USAGE = re.compile(r"\{\{\s*[\w-]+\.output\._meta[\w.]*\s*\}\}")


def _without_usage(translator: Translator, name: str, value: Json) -> Json:
    """`value` with null in the place of what a model node says of its tokens and its model."""
    if isinstance(value, str) and _USAGE.fullmatch(value.strip()):
        translator.add_note(f"its output {name} has null in place of {value.strip()}", USAGE_FIELDS["_meta"])
        return None
    if isinstance(value, Mapping):
        return {key: _without_usage(translator, f"{name}.{key}", each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_usage(translator, name, each) for each in value]
    return value


def translate_response(translator: Translator, node: CanvasNode) -> dict[str, Json]:
    """The flow's outputs. Raises TranslationError."""
    values = node.values
    said = values.get("outputMapping")
    if said in (None, "") and node.type == "chatResponseNode":
        said = {"content": values.get("content") or values.get("message") or ""}
    if said in (None, ""):
        taken = {
            name: values[name]
            for name in ("content", "message", "answer", "searchResults", "results", "output")
            if values.get(name)
        }
        said = taken
    if (
        isinstance(said, str)
        and said.strip().startswith("{{")
        and said.strip().endswith("}}")
        and said.count("{{") == 1
    ):
        said = {"output": said.strip()}
    found = translator.parse_data(said, "outputMapping") or {}
    if not isinstance(found, Mapping):
        raise TranslationError("the outputs have no names", "Name each output.")
    named: dict[str, Json] = {}
    for name, each in found.items():
        ours = re.sub(r"[^A-Za-z0-9_-]+", "_", str(name)).strip("_-")[:60] or "output"
        ours = ours if ours[0].isalpha() else f"n_{ours}"
        if ours != name:
            translator.add_note(f"its output {str(name)[:40]!r} is renamed to {ours}")
        named[ours] = each
    if values.get("webhookUrl"):
        translator.add_note("it called a webhook when it ended", "See [webhooks.NAME], or poll the run.")
    named = {name: _without_usage(translator, name, each) for name, each in named.items()}
    made = translator.translate_mapping(named, "outputMapping")
    return {name: made.get(name, f"{{{{ not_imported.{name} }}}}") for name in named}  # `flow check` reports those
