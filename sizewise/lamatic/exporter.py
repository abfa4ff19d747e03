"""A flow of ours as Lamatic draws one: nodes and lines, and what is said of each node; writes no file.

What has no words there becomes a code node that throws, so that nothing is left out in silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from sizewise.flows.language.expression import Both, Compared, Expression, Filtered, Literal_, Not, Ref, Template, Wrong
from sizewise.flows.language.expression_parser import template
from sizewise.flows.language.types import Json
from sizewise.lamatic.canvas import Box, Drawing, Grade, Line, Told
from sizewise.lamatic.model_nodes import OURS
from sizewise.lamatic.template_parser import Unsayable

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
"""What our fields are called there, by kind; of other kinds they are called the same."""
_SAME: Mapping[str, str] = {"json": "", "javascript": "", "template": "value", "http": "json"}
"""Kinds whose fields keep their names, below one of ours."""
_EVERY = frozenset({"kind", "after", "retry", "description", "nodes", "outputs"})
_SAID: Mapping[str, frozenset[str]] = {
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
"""What of each kind can be said there; kinds that are not here cannot."""


def exported(flow: Mapping[str, Json]) -> tuple[Drawing, tuple[Told, ...]]:
    """Of a flow that was checked, as plain data."""
    return _Export(flow).drawing()


class _Export:
    def __init__(self, flow: Mapping[str, Json]) -> None:
        self._flow = flow
        self._kinds: dict[str, Mapping[str, Json]] = {}
        self._items: dict[str, str] = {}  # names of items, and the loops that give them
        self._ends: dict[str, str] = {}
        self._told: list[Told] = []
        self._boxes: dict[str, Box] = {}
        self._lines: list[Line] = []
        self._notes: list[str] = []
        self._leaned: dict[str, None] = {}
        self._every(flow.get("nodes") or {})

    def _every(self, nodes: Mapping[str, Mapping[str, Json]]) -> None:
        for id, node in nodes.items():
            self._kinds[id] = node
            if node["kind"] == "each":
                self._items[str(node.get("name", "item"))] = id
                self._ends[id] = f"{id}_end"
            self._every(node.get("nodes") or {})

    def drawing(self) -> tuple[Drawing, tuple[Told, ...]]:
        self._trigger()
        nodes = self._flow.get("nodes") or {}
        self._level(nodes, TRIGGER)
        self._leaned = {}
        try:
            outputs = self._value(self._flow.get("outputs") or {})
        except Unsayable as wrong:
            outputs = {}
            self._told.append(Told("named", "outputs", "outputs", wrong.message, wrong.hint))
        values = {
            "headers": '{"content-type":"application/json"}', "retries": "0", "webhookUrl": "", "retry_delay": "0",
            "outputMapping": json.dumps(outputs, indent=2, ensure_ascii=False),
        }  # fmt: skip
        self._boxes[RESPONSE] = Box(RESPONSE, "graphqlResponseNode", "API Response", values)
        before = [self._ends.get(each, each) for each in self._leaned if each in nodes] or self._last(nodes)
        self._lines += [Line(each, RESPONSE) for each in before]
        name, about = str(self._flow["name"]), str(self._flow.get("description") or "")
        return Drawing(name, self._boxes, tuple(self._lines), about), tuple(self._told)

    def _last(self, nodes: Mapping[str, Json]) -> list[str]:
        """Nodes that no other comes after; the trigger where there is none."""
        sources = {line.source for line in self._lines if not line.back}
        return [end for id in nodes if (end := self._ends.get(id, id)) not in sources] or [TRIGGER]

    # ---- beginnings -------------------------------------------------------------------------------------------------

    def _trigger(self) -> None:
        fields: dict[str, str] = {}
        for name, said in (self._flow.get("inputs") or {}).items():
            kind = said["type"] if isinstance(said, Mapping) and "type" in said else said
            fields[name] = self._type(kind)
            if isinstance(said, Mapping) and said.get("default") is not None:
                self._tell("note", TRIGGER, "graphqlNode", f"the input {name} has a default, which is left out")
        triggers = self._flow.get("triggers") or []
        first = next((each for each in triggers if each["kind"] in ("cron", "webhook")), {"kind": "api"})
        for each in triggers:
            if each is not first:
                self._tell(
                    "note", TRIGGER, "graphqlNode", f"its {each['kind']} trigger is left out: a flow has one there"
                )
        if first["kind"] == "cron":
            values = {"cronExpression": first.get("schedule", ""), "cronTimezone": first.get("zone", "UTC")}
            self._boxes[TRIGGER] = Box(TRIGGER, "cronNode", "Cron", values, trigger=True)
        elif first["kind"] == "webhook":
            self._boxes[TRIGGER] = Box(TRIGGER, "webhookTriggerNode", "Webhook", {}, fields, trigger=True)
        else:
            values = {"responeType": "realtime", "advance_schema": json.dumps(fields, indent=2)}
            self._boxes[TRIGGER] = Box(TRIGGER, "graphqlNode", "API Request", values, trigger=True)
        self._tell("imported", TRIGGER, self._boxes[TRIGGER].type)

    def _type(self, kind: Json) -> str:
        if isinstance(kind, str):
            return _TYPES.get(kind, "json")
        inner = kind.get("list") if isinstance(kind, Mapping) else None
        return f"[{_TYPES[inner]}]" if isinstance(inner, str) and inner in _TYPES else "json"

    def _tell(self, grade: Grade, id: str, type: str, message: str = "", hint: str = "") -> None:
        self._told.append(Told(grade, id, type, message, hint))

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def _level(self, nodes: Mapping[str, Mapping[str, Json]], start: str) -> None:
        merged = self._ways(nodes)
        for id, node in nodes.items():
            if id in merged:
                self._tell("imported", id, "branch", f"part of {merged[id]}")
                continue
            self._notes, self._leaned = [], {}
            box = self._box(id, node, {way: of for way, of in merged.items() if of == id})
            self._boxes[id] = box
            if box.type == "forLoopNode" or box.type == "batchNode":
                inner = node["nodes"]
                kept = dict(self._leaned)
                self._level(inner, id)
                self._leaned = kept
                end = self._ends[id]
                kind = box.type.replace("Node", "EndNode")
                self._boxes[end] = Box(end, kind, "Loop End", {"connectedTo": id})
                self._lines += [Line(each, end) for each in self._last(inner)]
                self._lines += [Line(id, end, "Loop", True), Line(end, id, "Loop", True)]
            self._before(id, node, nodes, merged, start)

    def _ways(self, nodes: Mapping[str, Mapping[str, Json]]) -> dict[str, str]:
        """Branches that go by a classifier's label, and the classifier, which branches itself there."""
        made: dict[str, str] = {}
        for id, node in nodes.items():
            if node["kind"] == "branch" and isinstance(node.get("cases"), list):
                value = str(node.get("value", "")).strip("{} ")
                of = value.removesuffix(".label")
                if value == f"{of}.label" and of in nodes and nodes[of]["kind"] == "classify":
                    made[id] = of
        return made

    def _before(
        self, id: str, node: Mapping[str, Json], nodes: Mapping[str, Json], merged: Mapping[str, str], start: str
    ) -> None:
        before: dict[tuple[str, str], None] = {}
        after = node.get("after") or []
        for each in [after] if isinstance(after, str) else after:
            other, _, case = str(each).partition(".")
            if other in nodes:
                case = "Else" if case == "else" else case
                before[merged.get(other, self._ends.get(other, other)), case] = None
        for other in self._leaned:
            if other in nodes and other != id:
                before[self._ends.get(other, other), ""] = None
        self._lines += [Line(source, id, case) for source, case in before] or [Line(start, id)]

    def _box(self, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Box:
        kind = str(node["kind"])
        name = str(node.get("description") or "")
        make = _MAKERS.get(kind)
        try:
            if make is None:
                raise Unsayable(f"a {kind} node has no counterpart there", "Build it there by hand.")
            type, values = make(self, id, node, ways)
            left = node.keys() - _EVERY - _SAID[kind]
            if kind != "http" and "retry" in node:
                left |= {"retry"}
            for each in sorted(left):
                self._notes.append(f"its {each} is left out")
        except Unsayable as wrong:
            self._tell("named", id, kind, wrong.message, wrong.hint)
            values = {"code": f"throw new Error({json.dumps(f'not exported: {wrong.message}')});"}
            return Box(id, "codeNode", name, values)
        self._tell("note" if self._notes else "imported", id, kind, "; ".join(self._notes))
        return Box(id, type, name, values)

    def _asks(self, node: Mapping[str, Json]) -> dict[str, Json]:
        model = str(node.get("model", "auto"))
        parameters = {name: node[name] for name in ("temperature", "max_tokens") if name in node}
        config: dict[str, Json] = {"configName": "configA", "type": "generator/text", "params": parameters}
        if model != "auto":
            config.update(provider_name=model.partition("/")[0], model_name=model, credential_name=OURS)
        else:
            config.update(provider_name="", model_name="default", credential_name="")
        return {"generativeModelName": [config]}

    def _said(self, node: Mapping[str, Json], prompt: str) -> dict[str, Json]:
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
                    raise Unsayable("a turn with more than words", "Attach it there by hand.")
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
            made = template(said)
        except Wrong as wrong:
            raise Unsayable(wrong.message, wrong.hint) from wrong
        return said if made is None else self._template(made)

    def _template(self, made: Template) -> str:
        parts = []
        for part in made.parts:
            if isinstance(part, str):
                parts.append(part)
            elif isinstance(part, Literal_) and part.value == "{{":
                parts.append("{{")
            else:
                parts.append("{{" + self._expression(part) + "}}")
        return "".join(parts)

    def _expression(self, said: Expression) -> str:
        match said:
            case Ref(path):
                return self._path(path)
            case Filtered(inner, "text"):
                return self._expression(inner)
            case Filtered(inner, "default", (None,)):
                return self._expression(inner)
            case Filtered(inner, "slice", arguments):
                begin, end = (*arguments, None)[:2]
                return f"{self._expression(inner)}[{begin}:{'' if end is None else end}]"
            case Filtered(inner, "pluck", (str() as name,)):
                found = self._expression(inner)
                return f"{found}.{name}" if found.endswith("]") and ":" in found else f"{found}[:].{name}"
            case Both("or", (Ref() as first, Ref() | Literal_() as other)):
                right = json.dumps(other.value) if isinstance(other, Literal_) else self._expression(other)
                return f"{self._expression(first)} || {right}"
            case Filtered(_, name):
                raise Unsayable(f"the filter {name!r} has no counterpart there", "Work it out in a javascript node.")
        raise Unsayable("an expression that is more than a path", "Work it out in a javascript node.")

    def _path(self, path: tuple[str | int, ...]) -> str:
        root, rest = str(path[0]), path[1:]
        if root == "inputs":
            return f"{TRIGGER}.output{_steps(rest)}"
        if root in self._items and root not in self._kinds:
            return f"{self._items[root]}.output.currentValue{_steps(rest)}"
        if root == "index" and self._items:
            return f"{list(self._items.values())[-1]}.output.index"
        kind = str(self._kinds[root]["kind"]) if root in self._kinds else ""
        self._leaned[root] = None
        if kind == "subflow":
            return f"{root}.output.flowOutput{_steps(rest)}"
        if kind in _SAME:
            below = _SAME[kind]
            if below and (not rest or rest[0] != below):
                raise Unsayable(f"{'.'.join(map(str, path))} has no counterpart there", f"Take its {below}.")
            return f"{root}.output{_steps(rest[1:] if below else rest)}"
        names = _FIELDS.get(kind, {})
        if kind == "memory" and self._kinds[root].get("do") == "remember":
            names = {"memories": "extractedFacts"}
        if not rest or str(rest[0]) not in names:
            raise Unsayable(
                f"{'.'.join(map(str, path))} has no counterpart there", f"Take {', '.join(names) or 'another'}."
            )
        field = names[str(rest[0])]
        if kind == "each":
            batch = self._kinds[root].get("at_once", 8) != 1
            return f"{self._ends[root]}.output.{'batchOutput' if batch else field}{_steps(rest[1:])}"
        return f"{root}.output.{field}{_steps(rest[1:])}"

    def _operand(self, said: Expression) -> str:
        match said:
            case Filtered(inner, "text" | "number" | "lower"):
                return self._operand(inner)
            case Literal_(value):
                return value if isinstance(value, str) else json.dumps(value)
            case Ref() | Filtered():
                return "{{" + self._expression(said) + "}}"
        raise Unsayable("a comparison of more than paths", "Work it out in a javascript node.")

    def _condition(self, said: Expression) -> dict[str, Json]:
        match said:
            case Both(word, parts):
                return {"operator": word.upper(), "operands": [self._one(each) for each in parts]}
        return {"operator": None, "operands": [self._one(said)]}

    def _one(self, said: Expression) -> dict[str, Json]:
        match said:
            case Both():
                return self._condition(said)
            case Compared(Literal_(str() as wanted), "in", Filtered(inner, "lower")):
                return {"name": self._operand(inner), "operator": "ilike", "value": f"%{wanted}%"}
            case Compared(left, "in", right):
                return {"name": self._operand(right), "operator": "contains", "value": self._operand(left)}
            case Compared(left, "==" | "!=" | "<" | "<=" | ">" | ">=" as sign, right):
                return {"name": self._operand(left), "operator": sign, "value": self._operand(right)}
            case Not():
                raise Unsayable("a condition with `not`", "Turn it around.")
        raise Unsayable("a condition that compares nothing", 'Compare it: ... == "true".')


def _steps(path: tuple[str | int, ...]) -> str:
    return "".join(
        f"[{each}]" if isinstance(each, int) else f".{each}" if each.replace("-", "_").isidentifier() else f"[{each!r}]"
        for each in path
    )


# ---- kinds ----------------------------------------------------------------------------------------------------------

Made = tuple[str, dict[str, Json]]
Maker = Callable[[_Export, str, Mapping[str, Json], Mapping[str, str]], Made]


def _ask(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    return "LLMNode", {**at._asks(node), **at._said(node, "prompt")}


def _json(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    return "InstructorLLMNode", {
        **at._asks(node),
        **at._said(node, "prompt"),
        "schema": json.dumps(node["schema"], indent=2, ensure_ascii=False),
    }


def _agent(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    if node.get("agent"):
        raise Unsayable("an agent by its name has no counterpart there", "Write it out: model, system, tools.")
    at._notes.append("its MCP server must be chosen there")
    return "mcpNode", {**at._asks(node), **at._said(node, "task"), "selectedTools": list(node.get("tools") or ())}


def _classify(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    labels = node["labels"]
    listed = [
        {"label": label, "description": labels[label] if isinstance(labels, Mapping) else "", "value": label}
        for label in labels
    ]
    model = {"model": "auto"} if node.get("model", "small") == "small" else {}
    return "agentClassifierNode", {**at._asks({**node, **model}), **at._said(node, "text"), "classifier": listed}


def _search(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    type = {"vector": "searchNode", "words": "fullTextSearchNode"}.get(
        str(node.get("mode", "hybrid")), "hybridSearchNode"
    )
    where = [
        {"path": [name], "operator": "Equal", "valueText": at._text(each)}
        for name, each in (node.get("where") or {}).items()
    ]
    filters = json.dumps({"operator": "And", "operands": where}) if where else "[]"
    base = {"vectorDB": node["knowledge"], "searchQuery": at._text(node["query"])}
    return type, {**base, "limit": node.get("limit", 5), "filters": filters, "certainty": ""}


def _branch(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    cases = node["cases"]
    made: list[dict[str, Json]] = []
    for label in cases:
        if isinstance(cases, list):
            operand = {"name": at._text(node["value"]), "operator": "==", "value": label}
            condition: dict[str, Json] = {"operator": None, "operands": [operand]}
        else:
            found = template(cases[label]) if isinstance(cases[label], str) else None
            if found is None or found.alone is None:
                raise Unsayable(f"its case {label!r} compares nothing", 'Compare it: "{{ ... == ... }}".')
            condition = at._condition(found.alone)
        made.append({"label": label, "value": f"{id}-{label}", "condition": json.dumps(condition, indent=2)})
    made.append({"label": "Else", "value": f"{id}-else", "condition": {}})
    return "conditionNode", {"conditions": made, "allowMultipleConditionExecution": False}


def _each(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    inner = node["nodes"]
    outputs = node.get("outputs")
    shaped = isinstance(outputs, Mapping) and all(
        name in inner and isinstance(each, Mapping) and each.keys() == {"output"} for name, each in outputs.items()
    )
    if not shaped:
        raise Unsayable("its rounds give what it wants, and there what its nodes give", "Gather it behind the loop.")
    at_once = node.get("at_once", 8)
    listed = at._value(node["items"])
    values: dict[str, Json] = {
        "iterateOver": "list", "initialValue": "0", "endValue": "10", "increment": "1", "connectedTo": at._ends[id],
        "iteratorValue": listed if isinstance(listed, str) else json.dumps(listed),
    }  # fmt: skip
    return (
        ("forLoopNode", {**values, "wait": 0})
        if at_once == 1
        else ("batchNode", {**values, "concurrencyLimit": at_once})
    )


def _memory(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    whose, text = at._text(node["whose"]), at._text(node.get("text", ""))
    if node["do"] == "remember":
        return "memoryNode", {"uniqueId": whose, "sessionId": "", "memoryCollection": "memory",
                              "memoryValue": [{"role": "user", "content": text}]}  # fmt: skip
    if node["do"] == "forget":
        raise Unsayable("nothing forgets there", "Leave it out.")
    filters = {"operator": "And", "operands": [{"path": ["uniqueId"], "operator": "Equal", "valueText": whose}]}
    return "memoryRetrieveNode", {"searchQuery": text, "limit": node.get("limit", 5), "memoryCollection": "memory",
                                  "filters": json.dumps(filters)}  # fmt: skip


def _wait(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    if node["seconds"] > 90:
        at._notes.append("nobody waits more than 90 seconds there")
    return "waitNode", {"seconds": node["seconds"]}


def _code(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    lines = []
    for name, each in (node.get("inputs") or {}).items():
        found = at._value(each)
        if isinstance(found, str) and isinstance(each, str) and "{{" in each:
            made = template(each)
            lines.append(f"const {name} = {found if made and made.alone else f'`{found}`'};\n")
        else:
            lines.append(f"const {name} = {json.dumps(found, ensure_ascii=False)};\n")
    return "codeNode", {"code": "".join(lines) + str(node["code"])}


def _template(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    value = node.get("value")
    if not isinstance(value, Mapping) or "text" in node:
        raise Unsayable("a text that is put together has no node there", "Give it a name: value: {text: ...}.")
    return "variablesNode", {
        "mapping": json.dumps({name: _variable(at._value(each)) for name, each in value.items()}, indent=2)
    }


def _variable(value: Json) -> dict[str, Json]:
    if isinstance(value, bool):
        return {"type": "boolean", "value": json.dumps(value)}
    if isinstance(value, (int, float)):
        return {"type": "number", "value": json.dumps(value)}
    if isinstance(value, str):
        return {"type": "string", "value": value}
    return {"type": "object", "value": json.dumps(value)}


def _http(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    if "url" not in node:
        raise Unsayable("a host of the settings has no counterpart there", "Write its whole `url`.")
    retry = node.get("retry") or {}
    body = at._value(node.get("json"))
    return "apiNode", {
        "url": at._text(node["url"]), "method": node.get("method", "GET"),
        "headers": json.dumps(at._value(node["headers"])) if node.get("headers") else "",
        "body": "" if body is None else body if isinstance(body, str) else json.dumps(body, indent=2),
        "retries": str(max(0, retry.get("times", 1) - 1)), "retry_deplay": f"{retry.get('wait_s', 0):g}",
        "convertXmlResponseToJson": False,
    }  # fmt: skip


def _subflow(at: _Export, id: str, node: Mapping[str, Json], ways: Mapping[str, str]) -> Made:
    name = str(node["flow"]).partition("@")[0]
    at._notes.append(f"the id of the flow {name} must be chosen there")
    inputs = json.dumps(at._value(node.get("inputs") or {}), indent=2)
    return "flowNode", {"flowId": "", "nodeName": f"Execute {name}", "requestInput": inputs}


_MAKERS: Mapping[str, Maker] = {
    "ask": _ask, "json": _json, "agent": _agent, "classify": _classify, "search": _search, "branch": _branch,
    "each": _each, "memory": _memory, "wait": _wait, "javascript": _code, "template": _template, "http": _http,
    "subflow": _subflow,
}  # fmt: skip
