"""Translations of Lamatic's control nodes: code, variables, API calls, subflows, waits, conditions, loops."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic import javascript_templates
from sizewise.lamatic.canvas import CanvasNode
from sizewise.lamatic.conditions import translate_condition
from sizewise.lamatic.template_parser import TranslationError
from sizewise.lamatic.translator import NodeOutputs, NodeTranslation, TranslatedNode, Translator

_HOST = re.compile(r"https?://([^/{?#:]{1,253})")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
MAX_RANGE = 200
"""A longer range of numbers is computed by a javascript node instead of listed."""
RANGE_CODE = """\
output = [];
const stride = Number(step) || 1;
for (let n = Number(first); n < Number(last) && output.length < 10000; n += stride) output.push(n);
"""


# ---- code and variables ---------------------------------------------------------------------------------------------


def _passthrough_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(translator.node_name(node.id), passthrough=True)


def _translate_code(translator: Translator, node: CanvasNode) -> TranslatedNode:
    code = node.values.get("code")
    if code in (None, ""):
        raise TranslationError("the node has no code", "Write the code.")
    text, inputs = translator.translate_code(code, "code")
    for each in javascript_templates.unsupported_globals(text):
        raise TranslationError(
            f"the code {javascript_templates.UNSUPPORTED_GLOBALS[each]} ({each})",
            "The sandbox does not allow this; use an http node.",
        )
    made: dict[str, Json] = {"kind": "javascript"}
    if inputs:
        made["inputs"] = inputs
    made["code"] = text if text.endswith("\n") or "\n" not in text else f"{text}\n"
    return TranslatedNode({translator.node_name(node.id): made})


def _variable_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(f"{translator.node_name(node.id)}.value", passthrough=True)


def _translate_variables(translator: Translator, node: CanvasNode) -> TranslatedNode:
    mapping = translator.parse_data(node.values.get("mapping"), "mapping") or {}
    if not isinstance(mapping, Mapping):
        raise TranslationError("the variables have no names", "Name each variable.")
    value: dict[str, Json] = {}
    for name, each in mapping.items():
        said = each.get("value") if isinstance(each, Mapping) and "value" in each else each
        kind = str(each.get("type", "string")) if isinstance(each, Mapping) else ""
        value[str(name)] = _typed(translator, said, kind)
    return TranslatedNode({translator.node_name(node.id): {"kind": "template", "value": value}})


def _typed(translator: Translator, said: Json, kind: str) -> Json:
    if isinstance(said, str) and "{{" not in said:
        if kind in ("number", "int", "float", "integer"):
            try:
                number = float(said)
                return int(number) if number.is_integer() and abs(number) < 1e15 else number
            except (ValueError, OverflowError):
                return said
        if kind in ("boolean", "bool"):
            return said.strip().lower() == "true"
        if kind in ("object", "array", "json", "list") and said.strip():
            return translator.translate_value(translator.parse_data(said, "mapping"), "mapping")
    return translator.translate_value(said, "mapping")


# ---- API calls, subflows and waits ----------------------------------------------------------------------------------


def _json_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs(f"{translator.node_name(node.id)}.json", passthrough=True)


def _translate_api(translator: Translator, node: CanvasNode) -> TranslatedNode:
    values = node.values
    url = translator.translate_text(values.get("url"), "url").strip()
    if not url:
        raise TranslationError("the node has no URL", "Set the URL.")
    method = str(values.get("method") or "GET").upper()
    if method not in METHODS:
        raise TranslationError(f"the method {method[:20]!r} is not supported", f"Known: {', '.join(METHODS)}.")
    host = _HOST.match(url)
    translator.add_note(
        "the host must be allowed",
        f"Allow it: [hosts.NAME] url = {json.dumps(host[0] if host else url[:60])}",
    )
    made: dict[str, Json] = {"kind": "http", "url": url, "method": method}
    if headers := _headers(translator, values.get("headers")):
        made["headers"] = headers
    body = values.get("body")
    if method not in ("GET", "HEAD") and body not in (None, "", {}):
        found = (
            translator.parse_data(body, "body")
            if isinstance(body, str) and body.strip()[:1] in "[{" and body.strip()[:2] != "{{"
            else body
        )
        made["json"] = translator.translate_value(found, "body")
    if values.get("convertXmlResponseToJson") is True:
        translator.add_note("XML is not converted to JSON", "Parse its `text` in a javascript node.")
    retry = _retry(values)
    if retry:
        made["retry"] = retry
    return TranslatedNode({translator.node_name(node.id): made})


def _headers(translator: Translator, said: object) -> dict[str, str]:
    found = translator.parse_data(said, "headers") if said not in (None, "") else {}
    if not isinstance(found, Mapping):
        raise TranslationError("the headers have no names", "Name each header.")
    made: dict[str, str] = {}
    for name, each in found.items():
        if isinstance(each, str) and "{{secrets." in each.replace(" ", ""):
            translator.add_note(
                f"the header {str(name)[:40]} contains a secret",
                "Set keys in [hosts.NAME]; Sizewise sends them.",
            )
        elif str(name).lower() != "content-type":
            made[str(name)] = translator.translate_text(each, "headers")
    return made


def _retry(values: Mapping[str, Json]) -> dict[str, Json]:
    """`retries` excludes the first attempt; Lamatic spells the delay in two ways."""
    times = str(values.get("retries") or "0")
    delay = str(values.get("retry_deplay") or values.get("retry_delay") or "0")
    if not times.isdecimal() or int(times) == 0:
        return {}
    made: dict[str, Json] = {"times": min(10, int(times) + 1)}
    if delay.isdecimal() and 0 < int(delay) <= 86_400:
        made["wait_s"] = int(delay) if int(delay) <= 60 else int(delay) / 1000  # over 60: probably milliseconds
    return made


def _subflow_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs("", {"flowOutput": translator.node_name(node.id)})


def _translate_subflow(translator: Translator, node: CanvasNode) -> TranslatedNode:
    id, called = str(node.values.get("flowId") or ""), node.label
    called = called.removeprefix("Execute ").strip()
    name = translator.flows.get(id) or translator.flows.get(called) or translator.flows.get(called.lower())
    if name is None:
        raise TranslationError(
            "the subflow is not among the imported flows",
            "Import both, or set the name of your own flow: flow: NAME.",
        )
    given = translator.parse_data(node.values.get("requestInput"), "requestInput") or {}
    if not isinstance(given, Mapping):
        raise TranslationError("the subflow's inputs have no names", "Name each input.")
    if id not in translator.flows:
        translator.add_note("the subflow was matched by name", f"Check that {name} is the right flow.")
    return TranslatedNode(
        {
            translator.node_name(node.id): {
                "kind": "subflow",
                "flow": name,
                "inputs": translator.translate_value(dict(given), "requestInput"),
            },
        },
    )


def _wait_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs("", {"success": f"{translator.node_name(node.id)}.waited"})


def _translate_wait(translator: Translator, node: CanvasNode) -> TranslatedNode:
    said = node.values.get("seconds", node.values.get("waitTime"))
    try:
        seconds: Json = float(str(said))
        seconds = int(seconds) if seconds.is_integer() else seconds
    except ValueError as error:
        raise TranslationError("the number of seconds is missing", "Set it: seconds: 10.") from error
    return TranslatedNode({translator.node_name(node.id): {"kind": "wait", "seconds": seconds}})


# ---- conditions -----------------------------------------------------------------------------------------------------


def _case_outputs(translator: Translator, node: CanvasNode) -> NodeOutputs:
    return NodeOutputs("", {"condition": f"{translator.node_name(node.id)}.case"}, text_fields=frozenset({"condition"}))


def _translate_condition_node(translator: Translator, node: CanvasNode) -> TranslatedNode:
    listed = translator.parse_data(node.values.get("conditions"), "conditions") or []
    named: dict[str, str] = {}
    other = ""
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, Mapping):
            raise TranslationError("the condition cannot be parsed", "Write it as a literal.")
        label = str(each.get("label") or f"Condition {len(named) + 1}")[:100].replace("{{", "{ {")
        if each.get("condition") in (None, "", {}, "{}"):
            other = label
        else:
            named[label] = translate_condition(translator, each["condition"])
    if not named:
        raise TranslationError("the node has no conditions", "Add a condition.")
    id = translator.node_name(node.id)
    if node.values.get("allowMultipleConditionExecution") in (True, "true"):
        return _independent_branches(translator, id, named, other)
    cases = {_case(label): "{{ " + each + " }}" for label, each in named.items()}
    ways = {label: (id, _case(label)) for label in named}
    return TranslatedNode(
        {id: {"kind": "branch", "cases": cases}},
        {**ways, **({other: (id, "else")} if other else {})},
    )


def _independent_branches(translator: Translator, id: str, named: Mapping[str, str], other: str) -> TranslatedNode:
    """A branch per condition, because several may be true at once."""
    nodes: dict[str, dict[str, Json]] = {}
    ways: dict[str, tuple[str, str]] = {}
    for number, (label, each) in enumerate(named.items(), 1):
        own = translator.unique_name(f"{id}_{number}")
        nodes[own] = {"kind": "branch", "cases": {"holds": "{{ " + each + " }}"}}
        ways[label] = (own, "holds")
    nodes[id] = {
        "kind": "branch",
        "cases": {"any": "{{ " + " or ".join(f"({each})" for each in named.values()) + " }}"},
    }
    if other:
        ways[other] = (id, "else")
    translator.add_note("several of the conditions may be true at once, so each becomes its own branch")
    return TranslatedNode(nodes, ways)


def _case(label: str) -> str:
    return label if label.lower() != "else" else "otherwise"


# ---- loops ----------------------------------------------------------------------------------------------------------


def loop_items(translator: Translator, node: CanvasNode) -> tuple[Json, dict[str, dict[str, Json]]]:
    """The list that a loop iterates over, and the node that computes it, if necessary. Raises TranslationError."""
    values = node.values
    if str(values.get("iterateOver") or "list") == "list":
        made = translator.translate_value(values.get("iteratorValue"), "iteratorValue")
        if isinstance(made, str) and not made.startswith("{{"):
            made = translator.parse_data(made, "iteratorValue")
        if not made:
            raise TranslationError("the loop has no list", "Set the list to iterate over.")
        if (isinstance(made, str) and not (made.count("{{") == 1 and made.endswith("}}"))) or isinstance(
            made,
            (int, float),
        ):
            raise TranslationError("the loop iterates over a value that is not a list", "Use a list.")
        if isinstance(made, str) and _is_text(translator, made):
            made = made.replace(" }}", " | parsed }}")
        return made, {}
    ends = [values.get(name) for name in ("initialValue", "endValue", "increment")]
    try:
        first, last, step = (
            int(float(str(each if each not in (None, "") else other)))
            for each, other in zip(ends, (0, 10, 1), strict=True)
        )
    except (ValueError, OverflowError):
        maker = translator.unique_name(f"{translator.node_name(node.id)}_numbers")
        inputs = dict(
            zip(("first", "last", "step"), (translator.translate_value(each, "range") for each in ends), strict=True),
        )
        code = RANGE_CODE
        schema = {"type": "array", "items": {"type": "number"}}
        return "{{ " + maker + " }}", {maker: {"kind": "javascript", "inputs": inputs, "schema": schema, "code": code}}
    if step == 0:
        raise TranslationError("the loop's numbers never reach the end", "Set a step.")
    numbers = range(first, last, step)
    if len(numbers) > 10_000:
        raise TranslationError("the loop has more than 10,000 rounds", "Process the data in parts.")
    if len(numbers) <= MAX_RANGE:
        return list(numbers), {}
    maker = translator.unique_name(f"{translator.node_name(node.id)}_numbers")
    code = f"output = Array.from({{ length: {len(numbers)} }}, (_, at) => {first} + at * {step});"
    schema = {"type": "array", "items": {"type": "number"}}
    return "{{ " + maker + " }}", {maker: {"kind": "javascript", "schema": schema, "code": code}}


def _is_text(translator: Translator, template: str) -> bool:
    path = template.strip("{} ")
    return path.startswith("inputs.") and translator.input_type(path.removeprefix("inputs.")) == "text"


def loop_outputs(translator: Translator, node: CanvasNode, item: str) -> NodeOutputs:
    fields = {"currentValue": item, "index": "index", "currentIndex": "index"}
    hint = "Use a loop node, which passes the result of each round to the next."
    return NodeOutputs("", fields, unavailable=dict.fromkeys(("intermediateOutput", "previousIterationOutput"), hint))


def loop_end_outputs(translator: Translator, start: str) -> NodeOutputs:
    id = translator.node_name(start)
    gone = {"accumulated": "Collect it from loopOutput in a javascript node."}
    return NodeOutputs("", {"loopOutput": f"{id}.results", "batchOutput": f"{id}.results"}, unavailable=gone)


def translate_loop(
    translator: Translator,
    node: CanvasNode,
    item: str,
    concurrency: int,
    nodes: dict[str, dict[str, Json]],
    outputs: Json,
) -> TranslatedNode:
    listed, before = loop_items(translator, node)
    if str(node.values.get("wait") or "0") not in ("0", "0.0"):
        translator.add_note("the loop waits between its rounds", "Add a wait node to the loop.")
    made = {"kind": "each", "items": listed, "name": item, "at_once": concurrency, "nodes": nodes, "outputs": outputs}
    return TranslatedNode({**before, translator.node_name(node.id): made})


CONTROL_NODES: Mapping[str, NodeTranslation] = {
    "codeNode": NodeTranslation("`javascript`", _passthrough_outputs, _translate_code),
    "variablesNode": NodeTranslation("`template` with a value", _variable_outputs, _translate_variables),
    "apiNode": NodeTranslation("`http`", _json_outputs, _translate_api),
    "flowNode": NodeTranslation("`subflow`", _subflow_outputs, _translate_subflow),
    "waitNode": NodeTranslation("`wait`", _wait_outputs, _translate_wait),
    "conditionNode": NodeTranslation("`branch`", _case_outputs, _translate_condition_node),
}
