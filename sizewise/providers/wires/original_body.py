"""What the other side wrote in its own wire, carried beside its translation; knows no wire by name.

A translation loses what our vocabulary has no words for: marks for a prompt cache, signed reasoning, documents. So the
original travels along in one private field. A wire of the same name sends it on instead, but only where translating it
again gives just what is there: whoever changes the translation makes the original unused, without having to know of it.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import NotTranslatable
from sizewise.messages import Fields

FIELD = "sizewise_origin"


class Origin(Struct, frozen=True):
    """`untold` names what of `body` (paths as `messages[0].content[1]`) the translation does not say.

    `rough` says that some of it is said, but not exactly. `headers` are those of the client's that an upstream of the
    same wire gets, and no other.
    `limit` is what its wire calls the most tokens of an answer.
    """

    wire: str
    body: Raw
    untold: list[str] = []
    rough: bool = False
    headers: dict[str, str] = {}
    limit: str = "max_tokens"

    @property
    def alike(self) -> bool:
        """Whether two requests with the same translation ask the same."""
        return not (self.untold or self.rough or self.headers)

    def field(self) -> Raw:
        return Raw(msgspec.json.encode(self))


def origin(fields: Fields, wire: str) -> Origin | None:
    """The original, where there is one in this wire."""
    if FIELD not in fields:
        return None
    found = msgspec.json.decode(fields[FIELD], type=Origin)
    return found if found.wire == wire else None


def with_limit(field: Raw, tokens: Raw) -> Raw:
    """The same original with an answer of so many tokens at most."""
    found = msgspec.json.decode(field, type=Origin)
    body = msgspec.json.decode(found.body, type=Fields) | {found.limit: tokens}
    return msgspec.structs.replace(found, body=Raw(msgspec.json.encode(body))).field()


def without(fields: Fields) -> Fields:
    return {name: raw for name, raw in fields.items() if name != FIELD}


def told(fields: Fields) -> Fields:
    """The request in our words alone. Raises NotTranslatable where these do not say all that was asked."""
    if FIELD not in fields:
        return fields
    found = msgspec.json.decode(fields[FIELD], type=Origin)
    if found.untold:
        raise untranslatable(found.untold[0])
    return without(fields)


def untranslatable(what: str) -> NotTranslatable:
    """`what` is the path of a field, never its value."""
    return NotTranslatable(
        f"the wire of the chosen model cannot say {what!r}",
        "leave it out, or name a model whose wire has it",
        param=what,
    )
