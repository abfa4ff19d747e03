"""When two requests are the same one: what changes the answer is in the digest, how it is sent back is not; pure."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.handler import Ask
from sizewise.providers.wires.original_body import FIELD, Origin

SENT = frozenset({"stream", "stream_options"})
"""Of a body: how the answer is sent."""
NOTHING = b"null"


def digest(ask: Ask, *more: object) -> bytes:
    """SHA-256 of what is asked and wished for, whatever the door, and of `more`."""
    wishes = replace(ask.wishes, idempotency_key=None, cache=None)
    said = {name: _written(name, raw) for name, raw in ask.what.fields.items() if name not in SENT}
    if said.get(FIELD) == NOTHING:
        del said[FIELD]
    asked = (type(ask.what).__name__, said, wishes, more)
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).digest()


def _written(name: str, raw: Raw) -> bytes:
    """A field's value, however it was written; one that we cannot read (1e999, a deep nest) as it came."""
    try:
        value = _untold(raw) if name == FIELD else msgspec.json.decode(raw)
        return msgspec.json.encode(value, order="sorted")
    except (msgspec.DecodeError, RecursionError):
        return bytes(raw)


def _untold(raw: Raw) -> object:
    """The original of a request whose translation does not say exactly that, but for how its answer is sent."""
    origin = msgspec.json.decode(raw, type=Origin)
    if origin.alike:
        return None
    body = msgspec.json.decode(origin.body, type=dict[str, object])
    return origin.wire, {name: value for name, value in body.items() if name not in SENT}, origin.headers
