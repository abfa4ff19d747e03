"""Lamatic's nodes that decide, count, call and wait, as nodes of ours; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic import javascript_templates
from sizewise.lamatic.canvas import Box
from sizewise.lamatic.conditions import condition
from sizewise.lamatic.template_parser import Unsayable
from sizewise.lamatic.translator import Bench, Made, Shape, Sort

_HOST = re.compile(r"https?://([^/{?#:]{1,253})")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
RANGE = 200
"""Numbers of a loop that are written out."""
NUMBERS = """\
output = [];
const stride = Number(step) || 1;
for (let n = Number(first); n < Number(last) && output.length < 10000; n += stride) output.push(n);
"""


# ---- code and variables ---------------------------------------------------------------------------------------------


def _open_shape(bench: Bench, box: Box) -> Shape:
    return Shape(bench.name(box.id), open=True)


def _code(bench: Bench, box: Box) -> Made:
    code = box.values.get("code")
    if code in (None, ""):
        raise Unsayable("it has no code", "Write it.")
    text, inputs = bench.code(code, "code")
    for each in javascript_templates.reached(text):
        raise Unsayable(
            f"its code {javascript_templates.REACHES[each]} ({each})", "A sandbox has none of it: take an http node."
        )
    made: dict[str, Json] = {"kind": "javascript"}
    if inputs:
        made["inputs"] = inputs
    made["code"] = text if text.endswith("\n") or "\n" not in text else f"{text}\n"
    return Made({bench.name(box.id): made})


def _variables_shape(bench: Bench, box: Box) -> Shape:
    return Shape(f"{bench.name(box.id)}.value", open=True)


def _variables(bench: Bench, box: Box) -> Made:
    mapping = bench.data(box.values.get("mapping"), "mapping") or {}
    if not isinstance(mapping, Mapping):
        raise Unsayable("its variables have no names", "Name each.")
    value: dict[str, Json] = {}
    for name, each in mapping.items():
        said = each.get("value") if isinstance(each, Mapping) and "value" in each else each
        kind = str(each.get("type", "string")) if isinstance(each, Mapping) else ""
        value[str(name)] = _typed(bench, said, kind)
    return Made({bench.name(box.id): {"kind": "template", "value": value}})


def _typed(bench: Bench, said: Json, kind: str) -> Json:
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
            return bench.value(bench.data(said, "mapping"), "mapping")
    return bench.value(said, "mapping")


# ---- outside --------------------------------------------------------------------------------------------------------


def _json_shape(bench: Bench, box: Box) -> Shape:
    return Shape(f"{bench.name(box.id)}.json", open=True)


def _api(bench: Bench, box: Box) -> Made:
    values = box.values
    url = bench.text(values.get("url"), "url").strip()
    if not url:
        raise Unsayable("it has no URL", "Write it.")
    method = str(values.get("method") or "GET").upper()
    if method not in METHODS:
        raise Unsayable(f"the method {method[:20]!r}", f"Known: {', '.join(METHODS)}.")
    host = _HOST.match(url)
    bench.note(
        "it needs leave to ask that host", f"Allow it: [hosts.NAME] url = {json.dumps(host[0] if host else url[:60])}"
    )
    made: dict[str, Json] = {"kind": "http", "url": url, "method": method}
    if headers := _headers(bench, values.get("headers")):
        made["headers"] = headers
    body = values.get("body")
    if method not in ("GET", "HEAD") and body not in (None, "", {}):
        found = (
            bench.data(body, "body")
            if isinstance(body, str) and body.strip()[:1] in "[{" and body.strip()[:2] != "{{"
            else body
        )
        made["json"] = bench.value(found, "body")
    if values.get("convertXmlResponseToJson") is True:
        bench.note("XML is not turned into JSON", "Take its `text` apart in a javascript node.")
    retry = _retry(values)
    if retry:
        made["retry"] = retry
    return Made({bench.name(box.id): made})


def _headers(bench: Bench, said: object) -> dict[str, str]:
    found = bench.data(said, "headers") if said not in (None, "") else {}
    if not isinstance(found, Mapping):
        raise Unsayable("its headers have no names", "Name each.")
    made: dict[str, str] = {}
    for name, each in found.items():
        if isinstance(each, str) and "{{secrets." in each.replace(" ", ""):
            bench.note(
                f"its header {str(name)[:40]} holds a secret", "Keys belong into [hosts.NAME], which sends them."
            )
        elif str(name).lower() != "content-type":
            made[str(name)] = bench.text(each, "headers")
    return made


def _retry(values: Mapping[str, Json]) -> dict[str, Json]:
    """`retries` after the first try; the delay has two spellings there."""
    times = str(values.get("retries") or "0")
    delay = str(values.get("retry_deplay") or values.get("retry_delay") or "0")
    if not times.isdecimal() or int(times) == 0:
        return {}
    made: dict[str, Json] = {"times": min(10, int(times) + 1)}
    if delay.isdecimal() and 0 < int(delay) <= 86_400:
        made["wait_s"] = int(delay) if int(delay) <= 60 else int(delay) / 1000  # some write milliseconds
    return made


def _flow_shape(bench: Bench, box: Box) -> Shape:
    return Shape("", {"flowOutput": bench.name(box.id)})


def _flow(bench: Bench, box: Box) -> Made:
    id, called = str(box.values.get("flowId") or ""), box.name
    called = called.removeprefix("Execute ").strip()
    name = bench.flows.get(id) or bench.flows.get(called) or bench.flows.get(called.lower())
    if name is None:
        raise Unsayable(
            "the flow that it runs is not among those that are imported", "Import both, or name yours: flow: NAME."
        )
    given = bench.data(box.values.get("requestInput"), "requestInput") or {}
    if not isinstance(given, Mapping):
        raise Unsayable("what it gives the flow has no names", "Name each.")
    if id not in bench.flows:
        bench.note("the flow was found by its name", f"See that it is {name}.")
    return Made(
        {bench.name(box.id): {"kind": "subflow", "flow": name, "inputs": bench.value(dict(given), "requestInput")}}
    )


def _wait_shape(bench: Bench, box: Box) -> Shape:
    return Shape("", {"success": f"{bench.name(box.id)}.waited"})


def _wait(bench: Bench, box: Box) -> Made:
    said = box.values.get("seconds", box.values.get("waitTime"))
    try:
        seconds: Json = float(str(said))
        seconds = int(seconds) if seconds.is_integer() else seconds
    except ValueError as error:
        raise Unsayable("it says no number of seconds", "Write one: seconds: 10.") from error
    return Made({bench.name(box.id): {"kind": "wait", "seconds": seconds}})


# ---- conditions -----------------------------------------------------------------------------------------------------


def _case_shape(bench: Bench, box: Box) -> Shape:
    return Shape("", {"condition": f"{bench.name(box.id)}.case"}, texts=frozenset({"condition"}))


def _condition(bench: Bench, box: Box) -> Made:
    listed = bench.data(box.values.get("conditions"), "conditions") or []
    named: dict[str, str] = {}
    other = ""
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, Mapping):
            raise Unsayable("a condition that cannot be read", "Write it as a literal.")
        label = str(each.get("label") or f"Condition {len(named) + 1}")[:100].replace("{{", "{ {")
        if each.get("condition") in (None, "", {}, "{}"):
            other = label
        else:
            named[label] = condition(bench, each["condition"])
    if not named:
        raise Unsayable("it has no conditions", "Write one.")
    id = bench.name(box.id)
    if box.values.get("allowMultipleConditionExecution") in (True, "true"):
        return _several(bench, id, named, other)
    cases = {_case(label): "{{ " + each + " }}" for label, each in named.items()}
    ways = {label: (id, _case(label)) for label in named}
    return Made({id: {"kind": "branch", "cases": cases}}, {**ways, **({other: (id, "else")} if other else {})})


def _several(bench: Bench, id: str, named: Mapping[str, str], other: str) -> Made:
    """Each condition is a branch of its own, since several may hold."""
    nodes: dict[str, dict[str, Json]] = {}
    ways: dict[str, tuple[str, str]] = {}
    for number, (label, each) in enumerate(named.items(), 1):
        own = bench.fresh(f"{id}_{number}")
        nodes[own] = {"kind": "branch", "cases": {"holds": "{{ " + each + " }}"}}
        ways[label] = (own, "holds")
    nodes[id] = {
        "kind": "branch",
        "cases": {"any": "{{ " + " or ".join(f"({each})" for each in named.values()) + " }}"},
    }
    if other:
        ways[other] = (id, "else")
    bench.note("several of its conditions may hold at once, so each is a branch of its own")
    return Made(nodes, ways)


def _case(label: str) -> str:
    return label if label.lower() != "else" else "otherwise"


# ---- loops ----------------------------------------------------------------------------------------------------------


def items(bench: Bench, box: Box) -> tuple[Json, dict[str, dict[str, Json]]]:
    """The list that a loop goes over, and the node that makes it, where one must. Raises Unsayable."""
    values = box.values
    if str(values.get("iterateOver") or "list") == "list":
        made = bench.value(values.get("iteratorValue"), "iteratorValue")
        if isinstance(made, str) and not made.startswith("{{"):
            made = bench.data(made, "iteratorValue")
        if not made:
            raise Unsayable("it goes over nothing", "Give it a list.")
        if (isinstance(made, str) and not (made.count("{{") == 1 and made.endswith("}}"))) or isinstance(
            made, (int, float)
        ):
            raise Unsayable("it goes over what is no list", "Give it a list.")
        if isinstance(made, str) and _is_text(bench, made):
            made = made.replace(" }}", " | parsed }}")
        return made, {}
    ends = [values.get(name) for name in ("initialValue", "endValue", "increment")]
    try:
        first, last, step = (
            int(float(str(each if each not in (None, "") else other)))
            for each, other in zip(ends, (0, 10, 1), strict=True)
        )
    except (ValueError, OverflowError):
        maker = bench.fresh(f"{bench.name(box.id)}_numbers")
        inputs = dict(zip(("first", "last", "step"), (bench.value(each, "range") for each in ends), strict=True))
        code = NUMBERS
        schema = {"type": "array", "items": {"type": "number"}}
        return "{{ " + maker + " }}", {maker: {"kind": "javascript", "inputs": inputs, "schema": schema, "code": code}}
    if step == 0:
        raise Unsayable("its numbers do not go on", "Give it a step.")
    numbers = range(first, last, step)
    if len(numbers) > 10_000:
        raise Unsayable("it goes more than 10,000 rounds", "Work in parts.")
    if len(numbers) <= RANGE:
        return list(numbers), {}
    maker = bench.fresh(f"{bench.name(box.id)}_numbers")
    code = f"output = Array.from({{ length: {len(numbers)} }}, (_, at) => {first} + at * {step});"
    schema = {"type": "array", "items": {"type": "number"}}
    return "{{ " + maker + " }}", {maker: {"kind": "javascript", "schema": schema, "code": code}}


def _is_text(bench: Bench, template: str) -> bool:
    path = template.strip("{} ")
    return path.startswith("inputs.") and bench.type_of(path.removeprefix("inputs.")) == "text"


def loop_shape(bench: Bench, box: Box, item: str) -> Shape:
    fields = {"currentValue": item, "index": "index", "currentIndex": "index"}
    hint = "Take a loop node, which hands on what a round gave."
    return Shape("", fields, gone=dict.fromkeys(("intermediateOutput", "previousIterationOutput"), hint))


def end_shape(bench: Bench, start: str) -> Shape:
    id = bench.name(start)
    gone = {"accumulated": "Gather it from loopOutput in a javascript node."}
    return Shape("", {"loopOutput": f"{id}.results", "batchOutput": f"{id}.results"}, gone=gone)


def loop(bench: Bench, box: Box, item: str, at_once: int, nodes: dict[str, dict[str, Json]], outputs: Json) -> Made:
    listed, before = items(bench, box)
    if str(box.values.get("wait") or "0") not in ("0", "0.0"):
        bench.note("it waits between its rounds", "Put a wait node into it.")
    made = {"kind": "each", "items": listed, "name": item, "at_once": at_once, "nodes": nodes, "outputs": outputs}
    return Made({**before, bench.name(box.id): made})


SORTS: Mapping[str, Sort] = {
    "codeNode": Sort("`javascript`", _open_shape, _code),
    "variablesNode": Sort("`template`, with a value", _variables_shape, _variables),
    "apiNode": Sort("`http`", _json_shape, _api),
    "flowNode": Sort("`subflow`", _flow_shape, _flow),
    "waitNode": Sort("`wait`", _wait_shape, _wait),
    "conditionNode": Sort("`branch`", _case_shape, _condition),
}
