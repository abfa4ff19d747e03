"""Original request or response body carried along with its translation; knows no wire format by name.

A translation loses what the internal format cannot express: prompt cache marks, signed reasoning, documents. So the
original body is carried along in one private field, and a wire of the same name sends it instead. It does so only if
translating it again gives the current request, so code that changes the request need not know about the original.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import NotTranslatable
from sizewise.messages import JsonFields
from sizewise.providers.wires.field_paths import value_at

ORIGINAL_FIELD = "sizewise_origin"
KIND_NAME = re.compile(r"[a-z0-9_]{1,60}")
"""A type that an error may show: an API's own word, not a client's text."""


class OriginalBody(Struct, frozen=True):
    """`untranslated`: paths in `body` that the translation does not express, such as `messages[0].content[1]`.

    `approximate`: some fields are translated inexactly. `headers`: the client's headers to forward to an upstream of
    the same wire. `max_tokens_field`: the wire's name for the limit of output tokens.
    """

    wire: str
    body: Raw
    untranslated: list[str] = []
    approximate: bool = False
    headers: dict[str, str] = {}
    max_tokens_field: str = "max_tokens"
    effort_field: str = ""  # the object of the body whose `effort` says how much to think

    @property
    def is_lossless(self) -> bool:
        """Whether requests with the same translation are equivalent."""
        return not (self.untranslated or self.approximate or self.headers)

    def to_field(self) -> Raw:
        return Raw(msgspec.json.encode(self))


def original_body(fields: JsonFields, wire: str) -> OriginalBody | None:
    """The original body, if there is one in this wire."""
    if ORIGINAL_FIELD not in fields:
        return None
    found = msgspec.json.decode(fields[ORIGINAL_FIELD], type=OriginalBody)
    return found if found.wire == wire else None


def with_max_tokens(field: Raw, tokens: Raw) -> Raw:
    """The same original body with another limit of output tokens."""
    found = msgspec.json.decode(field, type=OriginalBody)
    body = msgspec.json.decode(found.body, type=JsonFields) | {found.max_tokens_field: tokens}
    return msgspec.structs.replace(found, body=Raw(msgspec.json.encode(body))).to_field()


def with_original_effort(field: Raw, effort: str) -> Raw:
    """The same original body with another effort, as far as its wire can say it."""
    found = msgspec.json.decode(field, type=OriginalBody)
    if not found.effort_field:
        return field
    body = msgspec.json.decode(found.body, type=JsonFields)
    before = msgspec.json.decode(body[found.effort_field]) if found.effort_field in body else None
    after = {**(before if isinstance(before, dict) else {}), "effort": effort}
    body[found.effort_field] = Raw(msgspec.json.encode(after))
    return msgspec.structs.replace(found, body=Raw(msgspec.json.encode(body))).to_field()


def without_original(fields: JsonFields) -> JsonFields:
    return {name: raw for name, raw in fields.items() if name != ORIGINAL_FIELD}


def translated_fields(fields: JsonFields) -> JsonFields:
    """The fields without the original body. Raises NotTranslatable if they do not express the whole request."""
    if ORIGINAL_FIELD not in fields:
        return fields
    found = msgspec.json.decode(fields[ORIGINAL_FIELD], type=OriginalBody)
    if found.untranslated:
        path = found.untranslated[0]
        raise not_translatable(path, _kind_at(msgspec.json.decode(found.body), path))
    return without_original(fields)


def _kind_at(body: object, path: str) -> str:
    """The `type` of the object at `path`, such as a tool or a content block; empty if it has none."""
    value = value_at(body, path)
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and KIND_NAME.fullmatch(kind) else ""


def not_translatable(path: str, kind: str = "") -> NotTranslatable:
    """`path`: the path of a field, never its value. `kind`: its type, if it is one of several kinds."""
    return NotTranslatable(
        f"the chosen model's API does not support {path!r}" + (f" of type {kind!r}" if kind else ""),
        "remove it, use a model whose API supports it, or name it in `drop_params` of [providers.NAME]",
        param=path,
    )


def tool_not_translatable(path: str, kind: object) -> NotTranslatable:
    """A tool that is no function. `kind`: its type."""
    error = not_translatable(path, kind[:100] if isinstance(kind, str) else "")
    if kind == "custom":
        function = "offer a function with one text parameter `input`, or use /v1/responses, which makes one of it"
        error.hint = f"{function}; or {error.hint}"
    return error
