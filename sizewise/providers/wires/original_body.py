"""Original request or response body carried along with its translation; knows no wire format by name.

A translation loses what our vocabulary has no words for: marks for a prompt cache, signed reasoning, documents. So the
original travels along in one private field. A wire of the same name sends it on instead, but only where translating it
again gives just what is there: whoever changes the translation makes the original unused, without having to know of it.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import NotTranslatable
from sizewise.messages import JsonFields

ORIGINAL_FIELD = "sizewise_origin"


class OriginalBody(Struct, frozen=True):
    """`untranslated` names what of `body` (paths as `messages[0].content[1]`) the translation does not say.

    `approximate` says that some of it is said, but not exactly. `headers` are those of the client's that an upstream
    of the same wire gets, and no other. `max_tokens_field` is what its wire calls the most tokens of an answer.
    """

    wire: str
    body: Raw
    untranslated: list[str] = []
    approximate: bool = False
    headers: dict[str, str] = {}
    max_tokens_field: str = "max_tokens"

    @property
    def is_lossless(self) -> bool:
        """Whether two requests with the same translation ask the same."""
        return not (self.untranslated or self.approximate or self.headers)

    def to_field(self) -> Raw:
        return Raw(msgspec.json.encode(self))


def original_body(fields: JsonFields, wire: str) -> OriginalBody | None:
    """The original, where there is one in this wire."""
    if ORIGINAL_FIELD not in fields:
        return None
    found = msgspec.json.decode(fields[ORIGINAL_FIELD], type=OriginalBody)
    return found if found.wire == wire else None


def with_max_tokens(field: Raw, tokens: Raw) -> Raw:
    """The same original with an answer of so many tokens at most."""
    found = msgspec.json.decode(field, type=OriginalBody)
    body = msgspec.json.decode(found.body, type=JsonFields) | {found.max_tokens_field: tokens}
    return msgspec.structs.replace(found, body=Raw(msgspec.json.encode(body))).to_field()


def without_original(fields: JsonFields) -> JsonFields:
    return {name: raw for name, raw in fields.items() if name != ORIGINAL_FIELD}


def translated_fields(fields: JsonFields) -> JsonFields:
    """The request in our words alone. Raises NotTranslatable where these do not say all that was asked."""
    if ORIGINAL_FIELD not in fields:
        return fields
    found = msgspec.json.decode(fields[ORIGINAL_FIELD], type=OriginalBody)
    if found.untranslated:
        raise not_translatable(found.untranslated[0])
    return without_original(fields)


def not_translatable(path: str) -> NotTranslatable:
    """`path` is the path of a field, never its value."""
    return NotTranslatable(
        f"the wire of the chosen model cannot say {path!r}",
        "leave it out, or name a model whose wire has it",
        param=path,
    )
