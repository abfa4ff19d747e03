"""Exporter from a validated flow to a Lamatic canvas, with a note for each node; writes no file.

A node without an equivalent becomes a code node that throws, so that nothing is dropped silently.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from sizewise.flows.language.expression import (
    BooleanOperation,
    ComparisonOperation,
    Expression,
    ExpressionError,
    FilterCall,
    LiteralValue,
    Negation,
    Reference,
    Template,
)
from sizewise.flows.language.expression_parser import parse_template
from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import Canvas, CanvasEdge, CanvasNode, TranslationGrade, TranslationNote
from sizewise.lamatic.code_globals import without_globals
from sizewise.lamatic.model_nodes import SIZEWISE_CREDENTIAL
from sizewise.lamatic.template_parser import TranslationError

TRIGGER = "triggerNode_1"
RESPONSE = "responseNode_triggerNode_1"
_TYPES: Mapping[str, str] = {"text": "string", "integer": "int", "number": "float", "boolean": "boolean"}
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "ask": {"text": "generatedResponse"},
    "agent": {"text": "generatedResponse"},
    "classify": {"label": "class"},
    "search": {"passages": "searchResults"},
    "branch": {"case": "condition"},
    "each": {"results": "loopOutput"},
    "memory": {"memories": "memories"},
    "wait": {"waited": "success"},
}
"""Kind -> our field -> Lamatic's field."""
_UNCHANGED_FIELDS: Mapping[str, str] = {"json": "", "javascript": "", "template": "value", "http": "json"}
"""Kinds whose fields keep their names, below this field of ours (empty: the node itself)."""
_COMMON_FIELDS = frozenset({"kind", "after", "retry", "description", "nodes", "outputs"})
_EXPORTED_PARAMETERS: Mapping[str, frozenset[str]] = {
    "ask": frozenset({"model", "system", "prompt", "messages", "temperature", "max_tokens"}),
    "json": frozenset({"model", "system", "prompt", "messages", "temperature", "max_tokens", "schema"}),
    "agent": frozenset({"task", "system", "tools", "model"}),
    "classify": frozenset({"text", "labels", "system", "model"}),
    "search": frozenset({"knowledge", "query", "limit", "mode", "where"}),
    "branch": frozenset({"cases", "value"}),
    "each": frozenset({"items", "name", "at_once"}),
    "memory": frozenset({"do", "whose", "text", "limit"}),
    "wait": frozenset({"seconds"}),
    "javascript": frozenset({"code", "inputs"}),
    "template": frozenset({"value"}),
    "http": frozenset({"url", "method", "headers", "json"}),
    "subflow": frozenset({"flow", "inputs"}),
}
"""Parameters of each kind that Lamatic has too; other kinds cannot be exported."""


def export_flow(flow: Mapping[str, Json]) -> tuple[Canvas, tuple[TranslationNote, ...]]:
    """`flow`: a validated flow as plain data."""
    return _Exporter(flow).drawing()


class _Exporter:
    def __init__(self, flow: Mapping[str, Json]) -> None:
        self._flow = flow
        self._kinds: dict[str, Mapping[str, Json]] = {}
        self._items: dict[str, str] = {}  # name of an item -> its loop
        self._ends: dict[str, str] = {}
        self._translation_notes: list[TranslationNote] = []
        self._canvas_nodes: dict[str, CanvasNode] = {}
        self._edges: list[CanvasEdge] = []
        self._notes: list[str] = []
        self._references: dict[str, None] = {}
        self._collect(flow.get("nodes") or {})

    def _collect(self, nodes: Mapping[str, Mapping[str, Json]]) -> None:
        for id, node in nodes.items():
            self._kinds[id] = node
            if node["kind"] == "each":
                self._items[str(node.get("name", "item"))] = id
                self._ends[id] = f"{id}_end"
            self._collect(node.get("nodes") or {})

    def drawing(self) -> tuple[Canvas, tuple[TranslationNote, ...]]:
        self._trigger()
        nodes = self._flow.get("nodes") or {}
        self._level(nodes, TRIGGER)
        self._references = {}
        try:
            outputs = self._value(self._flow.get("outputs") or {})
        except TranslationError as wrong:
            outputs = {}
            self._translation_notes.append(
                TranslationNote(grade="named", node="outputs", type="outputs", message=wrong.message, hint=wrong.hint)
            )
        values = {
            "headers": '{"content-type":"application/json"}', "retries": "0", "webhookUrl": "", "retry_delay": "0",
            "outputMapping": json.dumps(outputs, indent=2, ensure_ascii=False),
        }  # fmt: skip
        self._canvas_nodes[RESPONSE] = CanvasNode(RESPONSE, "graphqlResponseNode", "API Response", values)
        before = [self._ends.get(each, each) for each in self._references if each in nodes] or self._last(nodes)
        self._edges += [CanvasEdge(each, RESPONSE) for each in before]
        name, about = str(self._flow["name"]), str(self._flow.get("description") or "")
        return Canvas(name, self._canvas_nodes, tuple(self._edges), about), tuple(self._translation_notes)

    def _last(self, nodes: Mapping[str, Json]) -> list[str]:
        """Nodes without a successor; the trigger if there are no nodes."""
        sources = {line.source for line in self._edges if not line.is_back_edge}
        return [end for id in nodes if (end := self._ends.get(id, id)) not in sources] or [TRIGGER]

    # ---- triggers and inputs ----------------------------------------------------------------------------------------

    def _trigger(self) -> None:
        fields: dict[str, str] = {}
        for name, said in (self._flow.get("inputs") or {}).items():
            kind = said["type"] if isinstance(said, Mapping) and "type" in said else said
            optional = isinstance(said, Mapping) and "default" in said
            fields[name] = self._type(kind) + ("?" if optional else "")
            if isinstance(said, Mapping) and said.get("default") is not None:
                self._add_note("note", TRIGGER, "graphqlNode", f"the default of the input {name} is not exported")
        triggers = self._flow.get("triggers") or []
        first = next((each for each in triggers if each["kind"] in ("cron", "webhook")), {"kind": "api"})
        for each in triggers:
            if each is not first:
                self._add_note(
                    "note",
                    TRIGGER,
                    "graphqlNode",
                    f"the {each['kind']} trigger is not exported: Lamatic flows have a single trigger",
                )
        if first["kind"] == "cron":
            values = {"cronExpression": first.get("schedule", ""), "cronTimezone": first.get("zone", "UTC")}
            self._canvas_nodes[TRIGGER] = CanvasNode(TRIGGER, "cronNode", "Cron", values, is_trigger=True)
        elif first["kind"] == "webhook":
            self._canvas_nodes[TRIGGER] = CanvasNode(
                id=TRIGGER,
                type="webhookTriggerNode",
                label="Webhook",
                values={},
                schema=fields,
                is_trigger=True,
            )
        else:
            values = {"responeType": "realtime", "advance_schema": json.dumps(fields, indent=2)}
            self._canvas_nodes[TRIGGER] = CanvasNode(TRIGGER, "graphqlNode", "API Request", values, is_trigger=True)
        self._add_note("imported", TRIGGER, self._canvas_nodes[TRIGGER].type)

    def _type(self, kind: Json) -> str:
        if isinstance(kind, str):
            return _TYPES.get(kind, "json")
        inner = kind.get("list") if isinstance(kind, Mapping) else None
        return f"[{_TYPES[inner]}]" if isinstance(inner, str) and inner in _TYPES else "json"

    def _add_note(self, grade: TranslationGrade, id: str, type: str, message: str = "", hint: str = "") -> None:
        self._translation_notes.append(TranslationNote(grade=grade, node=id, type=type, message=message, hint=hint))

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def _level(self, nodes: Mapping[str, Mapping[str, Json]], start: str) -> None:
        merged = self._classifier_branches(nodes)
        for id, node in nodes.items():
            if id in merged:
                self._add_note("imported", id, "branch", f"merged into {merged[id]}")
                continue
            self._notes, self._references = [], {}
            box = self._canvas_node(id, node, {way: of for way, of in merged.items() if of == id})
            self._canvas_nodes[id] = box
            if box.type == "forLoopNode" or box.type == "batchNode":
                inner = node["nodes"]
                kept = dict(self._references)
                self._level(inner, id)
                self._references = kept
                end = self._ends[id]
                kind = box.type.replace("Node", "EndNode")
                self._canvas_nodes[end] = CanvasNode(end, kind, "Loop End", {"connectedTo": id})
                self._edges += [CanvasEdge(each, end) for each in self._last(inner)]
                self._edges += [CanvasEdge(id, end, "Loop", True), CanvasEdge(end, id, "Loop", True)]
            self._connect(id, node, nodes, merged, start)

    def _classifier_branches(self, nodes: Mapping[str, Mapping[str, Json]]) -> dict[str, str]:
        """Branch on a classifier's label -> the classifier. They are merged: Lamatic's classifier branches itself."""
        made: dict[str, str] = {}
        for id, node in nodes.items():
            if node["kind"] == "branch" and isinstance(node.get("cases"), list):
                value = str(node.get("value", "")).strip("{} ")
                of = value.removesuffix(".label")
                if value == f"{of}.label" and of in nodes and nodes[of]["kind"] == "classify":
                    made[id] = of
        return made

    def _connect(
        self,
        id: str,
        node: Mapping[str, Json],
        nodes: Mapping[str, Json],
        merged: Mapping[str, str],
        start: str,
    ) -> None:
        before: dict[tuple[str, str], None] = {}
        after = node.get("after") or []
        for each in [after] if isinstance(after, str) else after:
            other, _, case = str(each).partition(".")
            if other in nodes:
                case = "Else" if case == "else" else case
                before[merged.get(other, self._ends.get(other, other)), case] = None
        for other in self._references:
            if other in nodes and other != id:
                before[self._ends.get(other, other), ""] = None
        self._edges += [CanvasEdge(source, id, case) for source, case in before] or [CanvasEdge(start, id)]

    def _canvas_node(self, id: str, node: Mapping[str, Json], classifier_branches: Mapping[str, str]) -> CanvasNode:
        kind = str(node["kind"])
        name = str(node.get("description") or "")
        make = _EXPORTERS.get(kind)
        try:
            if make is None:
                raise TranslationError(f"Lamatic has no counterpart of {kind} nodes", "Rebuild the node in Lamatic.")
            type, values = make(self, id, node, classifier_branches)
            left = node.keys() - _COMMON_FIELDS - _EXPORTED_PARAMETERS[kind]
            if kind != "http" and "retry" in node:
                left |= {"retry"}
            for each in sorted(left):
                self._notes.append(f"{each} is not exported")
        except TranslationError as wrong:
            self._add_note("named", id, kind, wrong.message, wrong.hint)
            self._ends.pop(id, None)  # a loop that is not exported has no end
            values = {"code": f"throw new Error({json.dumps(f'not exported: {wrong.message}')});"}
            return CanvasNode(id, "codeNode", name, values)
        self._add_note("note" if self._notes else "imported", id, kind, "; ".join(self._notes))
        return CanvasNode(id, type, name, values)

    def _model_values(self, node: Mapping[str, Json]) -> dict[str, Json]:
        model = str(node.get("model", "auto"))
        parameters = {name: node[name] for name in ("temperature", "max_tokens") if name in node}
        config: dict[str, Json] = {"configName": "configA", "type": "generator/text", "params": parameters}
        if model != "auto":
            config.update(provider_name=model.partition("/")[0], model_name=model, credential_name=SIZEWISE_CREDENTIAL)
        else:
            config.update(provider_name="", model_name="default", credential_name="")
        return {"generativeModelName": [config]}

    def _prompt_values(self, node: Mapping[str, Json], prompt: str) -> dict[str, Json]:
        prompts: list[dict[str, str]] = []
        if "system" in node:
            prompts.append({"role": "system", "content": self._text(node["system"])})
        messages = node.get("messages") or []
        history = "[]"
        if isinstance(messages, str):
            history = self._text(messages)
        else:
            for each in messages:
                if not isinstance(each.get("content"), str):
                    raise TranslationError("a message contains more than text", "Attach the rest in Lamatic.")
                prompts.append({"role": each["role"], "content": self._text(each["content"])})
        if prompt in node:
            prompts.append({"role": "user", "content": self._text(node[prompt])})
        made = [{"id": f"00000000-0000-4000-8000-{number:012}", **each} for number, each in enumerate(prompts)]
        return {"prompts": made, "messages": history, "memories": "[]", "attachments": "", "tools": []}

    # ---- values -----------------------------------------------------------------------------------------------------

    def _text(self, said: Json) -> str:
        found = self._value(said)
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)

    def _value(self, said: Json) -> Json:
        if isinstance(said, Mapping):
            return {name: self._value(each) for name, each in said.items()}
        if isinstance(said, list):
            return [self._value(each) for each in said]
        if not isinstance(said, str):
            return said
        try:
            made = parse_template(said)
        except ExpressionError as wrong:
            raise TranslationError(wrong.message, wrong.hint) from wrong
        return said if made is None else self._template(made)

    def _template(self, made: Template) -> str:
        parts = []
        for part in made.parts:
            if isinstance(part, str):
                parts.append(part)
            elif isinstance(part, LiteralValue) and part.value == "{{":
                parts.append("{{")
            else:
                parts.append("{{" + self._expression(part) + "}}")
        return "".join(parts)

    def _expression(self, said: Expression) -> str:
        match said:
            case Reference(path):
                return self._path(path)
            case FilterCall(inner, "text"):
                return self._expression(inner)
            case FilterCall(inner, "default", (None,)):
                return self._expression(inner)
            case FilterCall(inner, "slice", arguments):
                begin, end = (*arguments, None)[:2]
                return f"{self._expression(inner)}[{begin}:{'' if end is None else end}]"
            case FilterCall(inner, "pluck", (str() as name,)):
                found = self._expression(inner)
                return f"{found}.{name}" if found.endswith("]") and ":" in found else f"{found}[:].{name}"
            case BooleanOperation("or", (Reference() as first, Reference() | LiteralValue() as other)):
                right = json.dumps(other.value) if isinstance(other, LiteralValue) else self._expression(other)
                return f"{self._expression(first)} || {right}"
            case FilterCall(_, name):
                raise TranslationError(
                    f"Lamatic has no counterpart of the filter {name!r}",
                    "Compute the value in a javascript node.",
                )
        raise TranslationError("the expression is more than a path", "Compute the value in a javascript node.")

    def _path(self, path: tuple[str | int, ...]) -> str:
        root, rest = str(path[0]), path[1:]
        if root == "inputs":
            return f"{TRIGGER}.output{_steps(rest)}"
        if root in self._items and root not in self._kinds:
            return f"{self._items[root]}.output.currentValue{_steps(rest)}"
        if root == "index" and self._items:
            return f"{list(self._items.values())[-1]}.output.index"
        kind = str(self._kinds[root]["kind"]) if root in self._kinds else ""
        self._references[root] = None
        if kind == "subflow":
            return f"{root}.output.flowOutput{_steps(rest)}"
        if kind in _UNCHANGED_FIELDS:
            below = _UNCHANGED_FIELDS[kind]
            if below and (not rest or rest[0] != below):
                raise TranslationError(f"Lamatic has no counterpart of {'.'.join(map(str, path))}", f"Use its {below}.")
            return f"{root}.output{_steps(rest[1:] if below else rest)}"
        names = _FIELDS.get(kind, {})
        if kind == "memory" and self._kinds[root].get("do") == "remember":
            names = {"memories": "extractedFacts"}
        if not rest or str(rest[0]) not in names:
            raise TranslationError(
                f"Lamatic has no counterpart of {'.'.join(map(str, path))}",
                f"Use {', '.join(names) or 'another'}.",
            )
        field = names[str(rest[0])]
        if kind == "each":
            batch = self._kinds[root].get("at_once", 8) != 1
            return f"{self._ends.get(root, root)}.output.{'batchOutput' if batch else field}{_steps(rest[1:])}"
        return f"{root}.output.{field}{_steps(rest[1:])}"

    def _operand(self, said: Expression) -> str:
        match said:
            case FilterCall(inner, "text" | "number" | "lower"):
                return self._operand(inner)
            case LiteralValue(value):
                return value if isinstance(value, str) else json.dumps(value)
            case Reference() | FilterCall():
                return "{{" + self._expression(said) + "}}"
        raise TranslationError("the comparison is more than two paths", "Compute the value in a javascript node.")

    def _condition(self, said: Expression) -> dict[str, Json]:
        match said:
            case BooleanOperation(word, parts):
                return {"operator": word.upper(), "operands": [self._one(each) for each in parts]}
        return {"operator": None, "operands": [self._one(said)]}

    def _one(self, said: Expression) -> dict[str, Json]:
        match said:
            case BooleanOperation():
                return self._condition(said)
            case ComparisonOperation(LiteralValue(str() as wanted), "in", FilterCall(inner, "lower")):
                return {"name": self._operand(inner), "operator": "ilike", "value": f"%{wanted}%"}
            case ComparisonOperation(left, "in", right):
                return {"name": self._operand(right), "operator": "contains", "value": self._operand(left)}
            case ComparisonOperation(left, "==" | "!=" | "<" | "<=" | ">" | ">=" as sign, right):
                return {"name": self._operand(left), "operator": sign, "value": self._operand(right)}
            case Negation():
                raise TranslationError("conditions with `not` have no counterpart in Lamatic", "Invert the comparison.")
        raise TranslationError("the condition has no comparison", 'Add one: ... == "true".')


def _steps(path: tuple[str | int, ...]) -> str:
    return "".join(
        f"[{each}]" if isinstance(each, int) else f".{each}" if each.replace("-", "_").isidentifier() else f"[{each!r}]"
        for each in path
    )


# ---- kinds ----------------------------------------------------------------------------------------------------------

ExportedNode = tuple[str, dict[str, Json]]
NodeExporter = Callable[[_Exporter, str, Mapping[str, Json], Mapping[str, str]], ExportedNode]


def _ask(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    return "LLMNode", {**exporter._model_values(node), **exporter._prompt_values(node, "prompt")}


def _json(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    return "InstructorLLMNode", {
        **exporter._model_values(node),
        **exporter._prompt_values(node, "prompt"),
        "schema": json.dumps(node["schema"], indent=2, ensure_ascii=False),
    }


def _agent(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    if node.get("agent"):
        raise TranslationError(
            "Lamatic has no counterpart of named agents", "Write out the agent's model, system prompt and tools."
        )
    exporter._notes.append("select its MCP server in Lamatic")
    return "mcpNode", {
        **exporter._model_values(node),
        **exporter._prompt_values(node, "task"),
        "selectedTools": list(node.get("tools") or ()),
    }


def _classify(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    labels = node["labels"]
    listed = [
        {"label": label, "description": labels[label] if isinstance(labels, Mapping) else "", "value": label}
        for label in labels
    ]
    model = {"model": "auto"} if node.get("model", "small") == "small" else {}
    return "agentClassifierNode", {
        **exporter._model_values({**node, **model}),
        **exporter._prompt_values(node, "text"),
        "classifier": listed,
    }


def _search(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    type = {"vector": "searchNode", "words": "fullTextSearchNode"}.get(
        str(node.get("mode", "hybrid")),
        "hybridSearchNode",
    )
    where = [
        {"path": [name], "operator": "Equal", "valueText": exporter._text(each)}
        for name, each in (node.get("where") or {}).items()
    ]
    filters = json.dumps({"operator": "And", "operands": where}) if where else "[]"
    base = {"vectorDB": node["knowledge"], "searchQuery": exporter._text(node["query"])}
    return type, {**base, "limit": node.get("limit", 5), "filters": filters, "certainty": ""}


def _branch(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    cases = node["cases"]
    made: list[dict[str, Json]] = []
    for label in cases:
        if isinstance(cases, list):
            operand = {"name": exporter._text(node["value"]), "operator": "==", "value": label}
            condition: dict[str, Json] = {"operator": None, "operands": [operand]}
        else:
            found = parse_template(cases[label]) if isinstance(cases[label], str) else None
            if found is None or found.single_expression is None:
                raise TranslationError(f"the case {label!r} has no comparison", 'Add one: "{{ ... == ... }}".')
            condition = exporter._condition(found.single_expression)
        made.append({"label": label, "value": f"{id}-{label}", "condition": json.dumps(condition, indent=2)})
    made.append({"label": "Else", "value": f"{id}-else", "condition": {}})
    return "conditionNode", {"conditions": made, "allowMultipleConditionExecution": False}


def _each(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    inner = node["nodes"]
    outputs = node.get("outputs")
    shaped = isinstance(outputs, Mapping) and all(
        name in inner and isinstance(each, Mapping) and each.keys() == {"output"} for name, each in outputs.items()
    )
    if not shaped:
        raise TranslationError(
            "loops in Lamatic return the outputs of their nodes, not computed outputs",
            "Compute the outputs after the loop.",
        )
    at_once = node.get("at_once", 8)
    listed = exporter._value(node["items"])
    values: dict[str, Json] = {
        "iterateOver": "list", "initialValue": "0", "endValue": "10", "increment": "1",
        "connectedTo": exporter._ends[id],
        "iteratorValue": listed if isinstance(listed, str) else json.dumps(listed),
    }  # fmt: skip
    return (
        ("forLoopNode", {**values, "wait": 0})
        if at_once == 1
        else ("batchNode", {**values, "concurrencyLimit": at_once})
    )


def _memory(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    whose, text = exporter._text(node["whose"]), exporter._text(node.get("text", ""))
    if node["do"] == "remember":
        return "memoryNode", {"uniqueId": whose, "sessionId": "", "memoryCollection": "memory",
                              "memoryValue": [{"role": "user", "content": text}]}  # fmt: skip
    if node["do"] == "forget":
        raise TranslationError("Lamatic cannot delete memories", "Remove the node.")
    filters = {"operator": "And", "operands": [{"path": ["uniqueId"], "operator": "Equal", "valueText": whose}]}
    return "memoryRetrieveNode", {"searchQuery": text, "limit": node.get("limit", 5), "memoryCollection": "memory",
                                  "filters": json.dumps(filters)}  # fmt: skip


def _wait(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    if node["seconds"] > 90:
        exporter._notes.append("waits in Lamatic are limited to 90 seconds")
    return "waitNode", {"seconds": node["seconds"]}


def _code(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    lines = []
    for name, each in without_globals(node.get("inputs") or {}, str(node["code"])).items():
        found = exporter._value(each)
        if isinstance(found, str) and isinstance(each, str) and "{{" in each:
            made = parse_template(each)
            lines.append(f"const {name} = {found if made and made.single_expression else f'`{found}`'};\n")
        else:
            lines.append(f"const {name} = {json.dumps(found, ensure_ascii=False)};\n")
    return "codeNode", {"code": "".join(lines) + str(node["code"])}


def _template(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    value = node.get("value")
    if not isinstance(value, Mapping) or "text" in node:
        raise TranslationError("Lamatic has no node for concatenated text", "Name the value: value: {text: ...}.")
    return "variablesNode", {
        "mapping": json.dumps({name: _variable(exporter._value(each)) for name, each in value.items()}, indent=2),
    }


def _variable(value: Json) -> dict[str, Json]:
    if isinstance(value, bool):
        return {"type": "boolean", "value": json.dumps(value)}
    if isinstance(value, (int, float)):
        return {"type": "number", "value": json.dumps(value)}
    if isinstance(value, str):
        return {"type": "string", "value": value}
    return {"type": "object", "value": json.dumps(value)}


def _http(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    if "url" not in node:
        raise TranslationError("Lamatic has no counterpart of hosts in the settings", "Set the full `url`.")
    retry = node.get("retry") or {}
    body = exporter._value(node.get("json"))
    return "apiNode", {
        "url": exporter._text(node["url"]), "method": node.get("method", "GET"),
        "headers": json.dumps(exporter._value(node["headers"])) if node.get("headers") else "",
        "body": "" if body is None else body if isinstance(body, str) else json.dumps(body, indent=2),
        "retries": str(max(0, retry.get("times", 1) - 1)), "retry_deplay": f"{retry.get('wait_s', 0):g}",
        "convertXmlResponseToJson": False,
    }  # fmt: skip


def _subflow(
    exporter: _Exporter,
    id: str,
    node: Mapping[str, Json],
    classifier_branches: Mapping[str, str],
) -> ExportedNode:
    name = str(node["flow"]).partition("@")[0]
    exporter._notes.append(f"set the ID of the flow {name} in Lamatic")
    inputs = json.dumps(exporter._value(node.get("inputs") or {}), indent=2)
    return "flowNode", {"flowId": "", "nodeName": f"Execute {name}", "requestInput": inputs}


_EXPORTERS: Mapping[str, NodeExporter] = {
    "ask": _ask, "json": _json, "agent": _agent, "classify": _classify, "search": _search, "branch": _branch,
    "each": _each, "memory": _memory, "wait": _wait, "javascript": _code, "template": _template, "http": _http,
    "subflow": _subflow,
}  # fmt: skip
