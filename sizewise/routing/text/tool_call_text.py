"""Tool calls written as text: Python (`[f(a=1)]`), JSON and tagged calls as names with arguments. Runs nothing.

Models write the same call in the formats that they were trained on: a list of Python calls (Berkeley Function Calling
Leaderboard), `{"name": ..., "arguments": {...}}` (OpenAI), `parameters` (Llama), `<tool_call>` (Hermes, Qwen),
`[TOOL_CALLS]` (Mistral).
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Mapping

MAX_CALL_CHARS = 4_000
"""Characters up to which a text is read as calls: Python's parser is not made for strangers' long texts."""
_TAGGED = re.compile(r"<tool_call>((?:(?!</?tool_call>).)*)</tool_call>", re.DOTALL)
_NAMED_TAG = re.compile(r"<function=([\w.-]+)>((?:(?!</?function[=>]).)*)</function>", re.DOTALL)
_MISTRAL = "[TOOL_CALLS]"
_STARTS = re.compile(r"[\[{<`(]|[A-Za-z_][\w.]*\(")
_BLANKS = re.compile(r"\s*+")
_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None, "none": None}
_PAIRS = (("name", "arguments"), ("name", "parameters"), ("name", "args"), ("name", "input"), ("tool", "arguments"))
_ENVELOPE = frozenset({"id", "type", "index", "call_id", "role", "content"})

WrittenCall = tuple[str, object]
"""Name and arguments."""
Calls = Counter[tuple[str, str]]
"""Name and arguments as JSON with sorted keys; the order of the calls does not matter."""


def written_calls(text: str) -> Calls | None:
    """The calls that a text consists of; None if it is or contains anything else, or is too long."""
    if len(text) > MAX_CALL_CHARS:
        return None
    try:
        return Counter([(name, canonical_arguments(its)) for name, its in read_calls(text)]) or None
    except (ValueError, TypeError, RecursionError):
        return None


def read_calls(text: str) -> list[WrittenCall]:
    """The calls that a text consists of, in order; empty if it is or contains anything else. A fence or tag that is not
    closed ends with the text.
    """
    if _STARTS.match(text.lstrip()) is None:
        return []
    bare = _unfenced(text.strip()).removeprefix(_MISTRAL).strip()
    try:
        return _tagged(bare) or _json(bare) or (_python(bare) if len(bare) <= MAX_CALL_CHARS else [])
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return []


def _unfenced(text: str) -> str:
    if not text.startswith("```"):
        return text
    _, _, inside = text.partition("\n")
    return inside.strip().removesuffix("```").strip()


def canonical_arguments(arguments: object) -> str:
    """Equal for equal arguments: sorted keys, and 1.0 is 1. Raises ValueError or TypeError if it is not JSON."""
    return json.dumps(_number(arguments), sort_keys=True)


def _number(value: object) -> object:
    """1.0 is 1 in JSON; true is not."""
    if isinstance(value, dict):
        return {str(name): _number(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_number(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tagged(text: str) -> list[WrittenCall]:
    for pattern in (_TAGGED, _NAMED_TAG):
        if pattern.match(text) is None or pattern.sub("", text).strip():
            continue
        if pattern is _NAMED_TAG:
            return [(match[1], json.loads(match[2].strip() or "{}")) for match in pattern.finditer(text)]
        return [call for match in pattern.finditer(text) for call in _json(match[1].strip())]
    return _json(text.removeprefix("<tool_call>").strip()) if text.startswith("<tool_call>") else []


def _json(text: str) -> list[WrittenCall]:
    if text[:1] not in ("{", "["):
        return []
    values = _values(text)
    if values is None and text.startswith("{{"):  # doubled as in a template: all braces, or the outer ones
        values = _values(text[1:-1]) or _values(text.replace("{{", "{").replace("}}", "}")) or _values(text[1:])
    return _from_value(values) if values else []


def _values(text: str) -> list[object] | None:
    """One JSON value after another, with blanks between them."""
    values, place = list[object](), 0
    try:
        while place < len(text):
            value, end = json.JSONDecoder().raw_decode(text, place)
            values.append(value)
            blanks = _BLANKS.match(text, end)
            place = end if blanks is None else blanks.end()
    except ValueError:
        return None
    return values


def _from_value(value: object) -> list[WrittenCall]:
    """Empty unless the value is a call, or a list of nothing but calls."""
    if isinstance(value, list):
        lists = [_from_value(each) for each in value]
        return [call for calls in lists for call in calls] if all(lists) else []
    if not isinstance(value, dict):
        return []
    rest = value.keys() - _ENVELOPE
    for inner in ("tool_calls", "function", "function_call"):
        if rest == {inner} and isinstance(value[inner], (dict, list)):
            return _from_value(value[inner])
    for name, arguments in _PAIRS:
        if rest == {name, arguments} and isinstance(value[name], str):
            its = value[arguments]
            return [(value[name], json.loads(its or "{}") if isinstance(its, str) else its or {})]
    if len(value) == 1:
        ((name, arguments),) = value.items()
        return [(name, arguments)] if isinstance(arguments, dict) else []
    return []


def _python(text: str) -> list[WrittenCall]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would print what the model wrote: "\d", a DeprecationWarning before 3.12
        tree = ast.parse(text, mode="eval").body
    nodes = tree.elts if isinstance(tree, (ast.List, ast.Tuple)) else [tree]
    return [_python_call(node) for node in nodes]


def _python_call(node: ast.expr) -> tuple[str, object]:
    """Raises ValueError if the node is no call with named literal arguments."""
    if not isinstance(node, ast.Call) or node.args or any(each.arg is None for each in node.keywords):
        raise ValueError("not a call with named arguments")
    return ast.unparse(_dotted(node.func)), {str(each.arg): _literal(each.value) for each in node.keywords}


def _dotted(node: ast.expr) -> ast.expr:
    inner = node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    if not isinstance(inner, ast.Name):
        raise ValueError("not the name of a tool")
    return node


def _literal(node: ast.expr) -> object:
    """A literal, in which JSON's `true`, `false` and `null` are allowed."""
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List):
        return [_literal(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return {str(key): _literal(its) for key, its in zip(keys, node.values, strict=True)}
    return ast.literal_eval(node)
