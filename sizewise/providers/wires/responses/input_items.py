"""Input items and tools of a Responses API request -> our messages and tools; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody
from sizewise.providers.wires.attachments import split_attachments
from sizewise.providers.wires.responses.client_tools import (
    LOCAL_SHELL,
    CustomTool,
    CustomToolCallItem,
    LocalShellCallItem,
    function_name,
    shell_function,
)

Json = dict[str, Any]


class MessageItem(Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Json]


class FunctionCallItem(Struct):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class NamespaceTool(Struct):
    name: str
    tools: list[Json]


class FunctionCallOutputItem(Struct):
    """The output of a call of any kind. That of the local shell may have its call's id as `id`."""

    output: str | list[Json]
    call_id: str | None = None
    id: str | None = None


class TextPart(Struct):
    text: str


class RefusalPart(Struct):
    refusal: str


class ImagePart(Struct):
    image_url: str | None = None
    detail: str | None = None


class FilePart(Struct):
    file_data: str | None = None
    filename: str | None = None


class AudioPart(Struct):
    input_audio: Json


class ResponsesTool(Struct):
    name: str
    parameters: Raw = Raw(b"null")
    description: str | None = None
    strict: bool | None = None


class ResponsesToolChoice(Struct):
    type: str
    name: str = ""


REPLY_ONLY_KEYS = frozenset(("type", "id", "status"))
"""Keys that an item has because it was in a reply."""

TRANSLATED_KEYS: Mapping[str, frozenset[str]] = {
    "message": REPLY_ONLY_KEYS | {"role", "content", "phase"},
    "function_call": REPLY_ONLY_KEYS | {"call_id", "name", "arguments", "caller", "namespace"},
    "function_call_output": REPLY_ONLY_KEYS | {"call_id", "output", "caller"},
    "text": frozenset(("type", "text", "annotations", "logprobs", "prompt_cache_breakpoint")),
    "refusal": frozenset(("type", "refusal")),
    "input_image": frozenset(("type", "image_url", "detail", "prompt_cache_breakpoint")),
    "input_file": frozenset(("type", "file_data", "filename", "prompt_cache_breakpoint")),
    "input_audio": frozenset(("type", "input_audio")),
    "function": frozenset(("type", "name", "parameters", "description", "strict", "defer_loading")),
    "custom": frozenset(("type", "name", "description", "format", "defer_loading")),
    "local_shell": frozenset(("type",)),
    "namespace": frozenset(("type", "name", "description", "tools")),
    "custom_tool_call": REPLY_ONLY_KEYS | {"call_id", "name", "input", "caller", "namespace"},
    "custom_tool_call_output": REPLY_ONLY_KEYS | {"call_id", "output", "caller", "name"},
    "local_shell_call": REPLY_ONLY_KEYS | {"call_id", "action"},
    "local_shell_call_output": REPLY_ONLY_KEYS | {"call_id", "output"},
}
"""Translated keys of each kind of item, part and tool. Any other key is listed as untranslated.

`defer_loading`: the tool is offered at once.
"""

RESULT_ITEMS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")

DROPPED_ITEMS = ("reasoning", "file_search_call", "web_search_call")
"""Of earlier turns; what was found is not part of the conversation."""
TEXT_PART_TYPES = ("input_text", "output_text", "text")

_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class ResponsesInputTranslator:
    """Translates one request. `untranslated`: paths without an equivalent in the internal format.

    `approximate`: something was dropped that only models of this wire use.
    """

    def __init__(self) -> None:
        self.untranslated: list[str] = []
        self.approximate = False
        self._attached: list[Json] = []  # what the last tools returned besides text

    def messages(self, instructions: str | None, input: str | list[Json]) -> list[Json]:
        found: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
        if isinstance(input, str):
            return [*found, {"role": "user", "content": input}] if input else found
        for number, item in enumerate(input):
            self._item(item, f"input[{number}]", found)
        self._attach(found)
        return found

    def _attach(self, found: list[Json]) -> None:
        """A user message with what tools returned besides text, once all their results are there."""
        if self._attached:
            found.append({"role": "user", "content": self._attached})
            self._attached, self.approximate = [], True

    def _item(self, item: Json, at: str, found: list[Json]) -> None:
        kind = item.get("type") or ("message" if "role" in item else "item_reference" if "id" in item else None)
        if kind not in RESULT_ITEMS and kind not in DROPPED_ITEMS:
            self._attach(found)
        match kind:
            case "message":
                self._message(item, at, found)
            case "function_call" | "custom_tool_call" | "local_shell_call":
                self._call(kind, item, at, found)
            case _ if kind in RESULT_ITEMS:
                found.append(self._result(kind, item, at))
            case _ if kind in DROPPED_ITEMS:
                self.approximate = True  # dropped: from an earlier turn
            case str():
                self.untranslated.append(at)
                last = _assistant(found)
                parts = last["content"] or []
                parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
                last["content"] = [*parts, {"type": kind, "item": item}]  # kept for code that inspects parts
            case _:
                raise BadBody(f"`{at}`: the item has no `type`", "see the API reference for this field", param=at)

    def _message(self, item: Json, at: str, found: list[Json]) -> None:
        seen = _convert(item, MessageItem, at)
        self._collect_unknown_keys(item, "message", at)
        content = self._content(seen.content, f"{at}.content")
        if seen.role == "assistant" and found and found[-1]["role"] == "assistant" and found[-1]["content"] is None:
            found[-1]["content"] = content  # text sent after its calls, but before their results
        else:
            found.append({"role": seen.role, "content": content})

    def _call(self, kind: str, item: Json, at: str, found: list[Json]) -> None:
        self._collect_unknown_keys(item, kind, at)
        id: str | None
        if kind == "custom_tool_call":
            custom = _convert(item, CustomToolCallItem, at)
            id, function = custom.call_id, custom.to_function_call()
        elif kind == "local_shell_call":
            shell = _convert(item, LocalShellCallItem, at)
            id, function = shell.call_id or shell.id, shell.to_function_call()
        else:
            seen = _convert(item, FunctionCallItem, at)
            id, function = seen.call_id, {"name": function_name(seen.name, seen.namespace), "arguments": seen.arguments}
        calls = _assistant(found).setdefault("tool_calls", [])
        calls.append({"id": id or "", "type": "function", "function": function})

    def _result(self, kind: str, item: Json, at: str) -> Json:
        seen = _convert(item, FunctionCallOutputItem, at)
        id = seen.call_id or (seen.id if kind == "local_shell_call_output" else None)
        if not id:
            raise BadBody(f"`{at}`: the output has no `call_id`", "see the API reference", param=at)
        self._collect_unknown_keys(item, kind, at)
        content = self._content(seen.output, f"{at}.output")
        if isinstance(content, list):
            content, attached = split_attachments(content, id)
            self._attached += attached
            content = _collapse_text(content)
        return {"role": "tool", "tool_call_id": id, "content": content}

    def _content(self, content: str | list[Json], at: str) -> str | list[Json]:
        if isinstance(content, str):
            return content
        parts = [self._part(part, f"{at}[{i}]") for i, part in enumerate(content)]
        return _collapse_text(parts)

    def _part(self, part: Json, at: str) -> Json:
        kind = part.get("type")
        if not isinstance(kind, str):
            raise BadBody(f"`{at}`: the part has no `type`", "see the API reference for this field", param=at)
        found = _translate_part(kind, part, at)
        if found is None:
            self.untranslated.append(at)
            return {"type": kind, "part": part}
        self._collect_unknown_keys(part, "text" if kind in TEXT_PART_TYPES else kind, at)
        return found

    def _collect_unknown_keys(self, value: Json, kind: str, at: str) -> None:
        self.untranslated += [
            f"{at}.{name}" for name, each in value.items() if name not in TRANSLATED_KEYS[kind] and each is not None
        ]

    # ---- tools

    def tools(self, tools: list[Json], choice: str | Json | None) -> Json:
        found: Json = {}
        if tools:
            found["tools"] = [each for i, tool in enumerate(tools) for each in self._tools(tool, f"tools[{i}]")]
        if isinstance(choice, str):
            found["tool_choice"] = choice
        elif choice is not None:
            seen = _convert(choice, ResponsesToolChoice, "tool_choice")
            name = LOCAL_SHELL if seen.type == LOCAL_SHELL else seen.name
            if seen.type not in ("function", "custom", LOCAL_SHELL) or not name:
                self.untranslated.append("tool_choice")
            found["tool_choice"] = {"type": "function", "function": {"name": name}}
        return found

    def _tools(self, tool: Json, at: str) -> list[Json]:
        """The functions that stand for a tool, or for those in a namespace."""
        if tool.get("type") != "namespace":
            return [self._tool(tool, at)]
        space = _convert(tool, NamespaceTool, at)
        self._collect_unknown_keys(tool, "namespace", at)
        self.approximate = True
        found = [self._tool(each, f"{at}.tools[{i}]") for i, each in enumerate(space.tools)]
        for each in found:
            if each.get("type") == "function" and "function" in each:
                each["function"]["name"] = function_name(each["function"]["name"], space.name)
        return found

    def _tool(self, tool: Json, at: str) -> Json:
        kind = tool.get("type")
        if kind in ("custom", LOCAL_SHELL):
            self._collect_unknown_keys(tool, kind, at)
            self.approximate = True
            function = shell_function() if kind == LOCAL_SHELL else _convert(tool, CustomTool, at).to_function()
            return {"type": "function", "function": function}
        if kind != "function":
            self.untranslated.append(at)
            return tool
        seen = _convert(tool, ResponsesTool, at)
        self._collect_unknown_keys(tool, "function", at)
        function = {"name": seen.name}
        for name in ("description", "parameters", "strict"):
            if tool.get(name) is not None:
                function[name] = getattr(seen, name)
        return {"type": "function", "function": function}


def _assistant(found: list[Json]) -> Json:
    """The current assistant message; text and calls of one turn share it in the internal format."""
    if not found or found[-1]["role"] != "assistant":
        found.append({"role": "assistant", "content": None})
    return found[-1]


def _collapse_text(parts: list[Json]) -> str | list[Json]:
    """A single text part becomes a string, which every server accepts."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _translate_part(kind: str, part: Json, at: str) -> Json | None:
    """None for parts without an equivalent: files in the vendor's store, unknown kinds."""
    if kind in TEXT_PART_TYPES:
        return {"type": "text", "text": _convert(part, TextPart, at).text}
    match kind:
        case "refusal":
            return {"type": "refusal", "refusal": _convert(part, RefusalPart, at).refusal}
        case "input_image":
            image = _convert(part, ImagePart, at)
            detail = {"detail": image.detail} if image.detail not in (None, "auto") else {}
            return {"type": "image_url", "image_url": {"url": image.image_url, **detail}} if image.image_url else None
        case "input_file":
            file = _convert(part, FilePart, at)
            name = file.filename or "document"
            return {"type": "file", "file": {"filename": name, "file_data": file.file_data}} if file.file_data else None
        case "input_audio":
            return {"type": "input_audio", "input_audio": _convert(part, AudioPart, at).input_audio}
    return None


def _convert(value: Json, kind: type[T], at: str) -> T:
    try:
        return msgspec.json.decode(_encode(value), type=kind)  # not `convert`: Raw fields need bytes
    except msgspec.ValidationError as error:
        reason = str(error).partition(" - at `$")[0]
        raise BadBody(f"`{at}`: {reason[:1].lower()}{reason[1:]}", "see the API reference", param=at) from error
