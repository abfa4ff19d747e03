"""Drops what a wire cannot express and the provider's `drop_params` names; whatever it does not name stays refused."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec
from msgspec import Raw

from sizewise.errors import NotTranslatable
from sizewise.messages import ChatRequest, JsonFields, Message
from sizewise.providers.wires.field_paths import delete_at, names_of, path_steps, value_at
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody

Json = dict[str, Any]

ORIGINAL_BLOCKS = ("block", "part", "item")
"""Keys that hold a content block without an equivalent in the internal format."""

_encode = msgspec.json.Encoder().encode


def write_dropping(
    write: Callable[[ChatRequest, str], bytes], chat: ChatRequest, model: str, drop: Collection[str]
) -> bytes:
    """`write(chat, model)`, without the fields in `drop` if they are refused. Raises what `write` raises."""
    while True:
        try:
            return write(chat, model)
        except NotTranslatable as error:
            shorter = _without(chat, error.param or "", drop)
            if shorter is None:
                raise
            chat = shorter


def _without(chat: ChatRequest, path: str, drop: Collection[str]) -> ChatRequest | None:
    """The request without the field at `path`; None if `drop` does not name it."""
    if ORIGINAL_FIELD in chat.fields:
        original = msgspec.json.decode(chat.fields[ORIGINAL_FIELD], type=OriginalBody)
        if path in original.untranslated:
            return _without_untranslated(chat, original, path, drop)
    top = next(iter(path_steps(path)), None)
    if not isinstance(top, str) or top not in chat.fields:
        return None
    fields: Json = {top: msgspec.json.decode(chat.fields[top])}
    if names_of(path, value_at(fields, path)).isdisjoint(drop):
        return None
    try:
        delete_at(fields, path)
    except (KeyError, IndexError, TypeError):  # a path through a key of the client's own spelling
        return None
    kept = {name: raw for name, raw in chat.fields.items() if name != top}
    return _with_fields(chat, kept | {name: Raw(_encode(value)) for name, value in fields.items()})


def _without_untranslated(
    chat: ChatRequest, original: OriginalBody, path: str, drop: Collection[str]
) -> ChatRequest | None:
    """Drops a part of the client's own body, and what the translation holds in its place."""
    value = value_at(msgspec.json.decode(original.body), path)
    if names_of(path, value).isdisjoint(drop):
        return None
    left = [each for each in original.untranslated if each != path]
    kept = msgspec.structs.replace(original, untranslated=left, approximate=True)
    fields = {**chat.fields, ORIGINAL_FIELD: kept.to_field()}
    if path.startswith("tools[") and isinstance(value, dict) and "tools" in fields:
        fields["tools"] = Raw(_encode([tool for tool in msgspec.json.decode(fields["tools"]) if tool != value]))
    elif isinstance(value, dict):
        messages = msgspec.json.decode(fields["messages"])
        for message in messages:
            if isinstance(message.get("content"), list):
                message["content"] = [part for part in message["content"] if not _holds(part, value)]
        fields["messages"] = Raw(_encode([each for each in messages if each.get("content") != []]))
    return _with_fields(chat, fields)


def _holds(part: Json, block: Json) -> bool:
    return any(part.get(key) == block for key in ORIGINAL_BLOCKS)


def _with_fields(chat: ChatRequest, fields: JsonFields) -> ChatRequest:
    """The request with these fields. The choice of a tool goes with the tool."""
    tools: list[Json] = msgspec.json.decode(fields["tools"]) if "tools" in fields else []
    if not tools:
        fields = {k: v for k, v in fields.items() if k not in ("tools", "tool_choice", "parallel_tool_calls")}
    elif "tool_choice" in fields and _names_no_tool(msgspec.json.decode(fields["tool_choice"]), tools):
        fields = {k: v for k, v in fields.items() if k != "tool_choice"}
    messages = msgspec.json.decode(fields["messages"], type=list[Message])
    return msgspec.structs.replace(chat, fields=fields, messages=messages, tools=bool(tools))


def _names_no_tool(choice: object, tools: list[Json]) -> bool:
    return isinstance(choice, dict) and _function_name(choice) not in map(_function_name, tools)


def _function_name(tool: Json) -> object:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None
