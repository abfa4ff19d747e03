"""A JSON schema as llama.cpp can make a grammar of it; changes the spelling, never the meaning, and knows no model.

It follows references into a schema's definitions, and refuses one to the whole ("#"): that becomes a definition too.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from sizewise.messages import Chat

WHOLE = "whole_schema"  # the name of the definition
TO_WHOLE = b'"$ref":"#"'

_encode = msgspec.json.Encoder().encode


def spelt(chat: Chat) -> Chat:
    """The request, its schema without references to the whole."""
    asked = msgspec.json.decode(chat.fields["response_format"])
    holder = asked.get("json_schema") or asked
    schema = holder.get("schema") if isinstance(holder, dict) else None
    if not isinstance(schema, dict) or TO_WHOLE not in _encode(schema):
        return chat
    inside = _moved(schema)
    definitions = inside.pop("$defs", {})
    holder["schema"] = {"$ref": f"#/$defs/{WHOLE}", "$defs": {**definitions, WHOLE: inside}}
    return msgspec.structs.replace(chat, fields={**chat.fields, "response_format": Raw(_encode(asked))})


def _moved(value: Any) -> Any:
    """The same, with every reference leading to where its target lies then."""
    if isinstance(value, list):
        return [_moved(each) for each in value]
    if not isinstance(value, dict):
        return value
    moved = {name: _moved(each) for name, each in value.items()}
    reference = value.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        stays = reference.startswith("#/$defs/")
        moved["$ref"] = reference if stays else f"#/$defs/{WHOLE}{reference[1:]}"
    return moved
