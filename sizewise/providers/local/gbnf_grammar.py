"""JSON schema rewritten so that llama.cpp can compile it to a GBNF grammar; never changes its meaning.

llama.cpp follows references to definitions but refuses a reference to the whole schema ("#"), so the whole becomes a
definition too.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from sizewise.messages import ChatRequest

ROOT_DEFINITION = "whole_schema"
ROOT_REFERENCE = b'"$ref":"#"'

_encode = msgspec.json.Encoder().encode


def rewrite_root_references(chat: ChatRequest) -> ChatRequest:
    """The request, with references to the whole schema replaced."""
    asked = msgspec.json.decode(chat.fields["response_format"])
    holder = asked.get("json_schema") or asked
    schema = holder.get("schema") if isinstance(holder, dict) else None
    if not isinstance(schema, dict) or ROOT_REFERENCE not in _encode(schema):
        return chat
    inside = _rewrite(schema)
    definitions = inside.pop("$defs", {})
    holder["schema"] = {"$ref": f"#/$defs/{ROOT_DEFINITION}", "$defs": {**definitions, ROOT_DEFINITION: inside}}
    return msgspec.structs.replace(chat, fields={**chat.fields, "response_format": Raw(_encode(asked))})


def _rewrite(value: Any) -> Any:
    """The value with every reference pointing to the new place of its target."""
    if isinstance(value, list):
        return [_rewrite(each) for each in value]
    if not isinstance(value, dict):
        return value
    moved = {name: _rewrite(each) for name, each in value.items()}
    reference = value.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        stays = reference.startswith("#/$defs/")
        moved["$ref"] = reference if stays else f"#/$defs/{ROOT_DEFINITION}{reference[1:]}"
    return moved
