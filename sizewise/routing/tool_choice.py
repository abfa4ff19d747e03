"""Tools and `tool_choice` of a chat request, in OpenAI's form: which may be called, and whether one must be.

Tools that are not functions are left out: their calls are not JSON objects.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import ChatRequest
from sizewise.routing.structured_output import OutputSchema, compile_output_schema

MAX_COMPILED = 256
"""Compiled schemas of arguments that are kept."""
NO_SCHEMA = Raw(b"null")


class FunctionEntry(Struct, frozen=True):
    name: str = ""
    parameters: Raw = NO_SCHEMA


class ToolEntry(Struct, frozen=True):
    function: FunctionEntry | None = None


class AllowedTools(Struct, frozen=True):
    mode: str = "auto"
    tools: list[ToolEntry] = []


class ToolChoiceObject(Struct, frozen=True):
    """One function, or `allowed_tools`."""

    function: FunctionEntry | None = None
    allowed_tools: AllowedTools | None = None


class OfferedTool(Struct, frozen=True):
    """`parameters`: JSON Schema of the arguments; null if there is none. `path`: its place in the request."""

    parameters: Raw
    path: str


class ArgumentSchemas:
    """Compiled schemas of arguments; keeps the `max_size` most recently used."""

    def __init__(self, max_size: int = MAX_COMPILED) -> None:
        self._max_size = max_size
        self._schemas: OrderedDict[bytes, OutputSchema] = OrderedDict()

    def __call__(self, tool: OfferedTool) -> OutputSchema | None:
        """The schema to check arguments with; None if there is none. Raises BadBody if it is invalid or too complex."""
        raw = bytes(tool.parameters)
        if raw == b"null":
            return None
        schema = self._schemas.get(raw)
        if schema is None:
            schema = self._schemas[raw] = _compile(raw, tool.path)
            if len(self._schemas) > self._max_size:
                self._schemas.popitem(last=False)
        self._schemas.move_to_end(raw)
        return schema


class ToolChoice(Struct, frozen=True):
    """`tools`: those that may be called, by name. `is_named`: the request names the one to call."""

    tools: Mapping[str, OfferedTool]
    is_required: bool = False
    is_named: bool = False
    is_parallel: bool = True


def read_tool_choice(chat: ChatRequest) -> ToolChoice:
    """Without tools if none may be called. Raises BadBody if `tool_choice` names a tool that is not offered."""
    tools = _offered_tools(chat)
    asked = _choice(chat)
    parallel = bytes(chat.fields.get("parallel_tool_calls", b"null")) != b"false"
    if asked == "none":
        return ToolChoice({})
    if not isinstance(asked, ToolChoiceObject):
        return ToolChoice(tools, is_required=asked in ("required", "any"), is_parallel=parallel)
    if asked.allowed_tools is not None:
        names = [each.function.name for each in asked.allowed_tools.tools if each.function is not None]
        return ToolChoice(_select(tools, names), asked.allowed_tools.mode == "required", is_parallel=parallel)
    if asked.function is None:
        return ToolChoice(tools, is_parallel=parallel)
    return ToolChoice(_select(tools, [asked.function.name]), is_required=True, is_named=True, is_parallel=False)


def _select(tools: Mapping[str, OfferedTool], names: list[str]) -> Mapping[str, OfferedTool]:
    unknown = next((name for name in names if name not in tools), None)
    if unknown is not None:
        raise BadBody(
            f"`tool_choice` names the tool {unknown[:100]!r}, which is not in `tools`",
            "name a function of `tools`",
            param="tool_choice",
        )
    return {name: tools[name] for name in names}


def _choice(chat: ChatRequest) -> str | ToolChoiceObject:
    raw = chat.fields.get("tool_choice")
    try:
        return (msgspec.json.decode(raw, type=str | ToolChoiceObject | None) if raw is not None else None) or "auto"
    except msgspec.ValidationError:
        return "auto"


def _offered_tools(chat: ChatRequest) -> dict[str, OfferedTool]:
    """Empty if their shape is not the API's: the model's runtime then says what is wrong."""
    try:
        tools = msgspec.json.decode(chat.fields.get("tools", b"[]"), type=list[ToolEntry])
    except msgspec.ValidationError:
        return {}
    return {
        each.function.name: OfferedTool(each.function.parameters, f"tools[{place}].function.parameters")
        for place, each in enumerate(tools)
        if each.function is not None and each.function.name
    }


def _compile(schema: bytes, path: str) -> OutputSchema:
    try:
        return compile_output_schema(msgspec.json.decode(schema, type=dict[str, object]), path)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody(f"`{path}` is not a JSON schema", "send a JSON Schema of an object", param=path) from error
