"""Forced tool calls: a request whose grammar leaves the model nothing but calls of its tools, and calls from its text.

Source: llama.cpp, tools/server: `response_format` makes a grammar, `tool_choice: none` keeps the tools in the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from sizewise.messages import ChatRequest, FunctionCall
from sizewise.routing.tool_choice import OfferedTool, ToolChoice

MAX_CALLS = 16
"""Calls of one answer: a small model may repeat a call forever."""
UNBOUNDED_KEYWORDS = frozenset(
    {"properties", "additionalProperties", "patternProperties", "$ref", "anyOf", "allOf", "oneOf", "enum", "const"}
)
"""Without any of them, a schema of an object says nothing: the tool takes no arguments."""
NO_ARGUMENTS: Mapping[str, object] = {"type": "object", "properties": {}, "additionalProperties": False}
_CUT_CALL = re.compile(r'\{\s*"name"\s*:\s*"([^"\\]*)"\s*,\s*"arguments"\s*:')

_encode = msgspec.json.Encoder().encode


def forced_request(chat: ChatRequest, choice: ToolChoice) -> ChatRequest:
    """The request whose answer is one call as JSON, or an array of calls. It is not streamed."""
    shape = {"name": "tool_calls", "strict": True, "schema": calls_schema(choice)}
    fields = {name: raw for name, raw in chat.fields.items() if name != "parallel_tool_calls"}
    fields["response_format"] = Raw(_encode({"type": "json_schema", "json_schema": shape}))
    fields["tool_choice"] = Raw(b'"none"')
    return msgspec.structs.replace(chat, fields=fields, schema=True, stream=False)


def free_request(chat: ChatRequest) -> ChatRequest:
    """The request with a `tool_choice` that llama.cpp knows: it takes no object."""
    if bytes(chat.fields.get("tool_choice", b'""')).startswith(b'"'):
        return chat
    return msgspec.structs.replace(chat, fields={**chat.fields, "tool_choice": Raw(b'"auto"')})


def calls_schema(choice: ToolChoice) -> dict[str, object]:
    """The schema of the answer. Every tool's own schema is a definition, and its references lead there."""
    definitions = {f"tool_{n}": _arguments_schema(tool, n) for n, tool in enumerate(choice.tools.values())}
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/tool_{n}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for n, name in enumerate(choice.tools)
    ]
    one: dict[str, object] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    if not choice.is_parallel:
        return {**one, "$defs": definitions}
    return {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_CALLS, "$defs": definitions}


def forced_calls(text: str) -> list[FunctionCall]:
    """The calls of such an answer. Where it was cut off, its whole calls; a first call is kept as it is cut."""
    place, found = text.find("{"), list[FunctionCall]()
    while place >= 0:
        try:
            call, end = json.JSONDecoder().raw_decode(text, place)
        except (ValueError, RecursionError):
            cut = None if found else _CUT_CALL.match(text, place)
            return [FunctionCall(cut[1], text[cut.end() :].strip())] if cut else found
        if not isinstance(call.get("name"), str) or "arguments" not in call:
            return found  # a runtime that ignores the grammar
        found.append(FunctionCall(call["name"], arguments_text(call["arguments"])))
        place = text.find("{", end)
    return found


def arguments_text(arguments: object) -> str:
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def _arguments_schema(tool: OfferedTool, number: int) -> Any:
    schema = msgspec.json.decode(tool.parameters)
    if not isinstance(schema, dict) or not any(schema.get(keyword) for keyword in UNBOUNDED_KEYWORDS):
        return NO_ARGUMENTS
    return _moved(schema, f"#/$defs/tool_{number}")


def _moved(value: Any, place: str) -> Any:
    """The value with every reference into the schema leading to the same part of it at `place`."""
    if isinstance(value, list):
        return [_moved(each, place) for each in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    moved = {name: _moved(each, place) for name, each in value.items()}
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + reference.removeprefix("#")
    return moved
