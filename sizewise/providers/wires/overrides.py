"""Per-endpoint overrides of a wire format: fields renamed or dropped by the settings; names no endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TypeVar

import msgspec

from sizewise.messages import JsonFields
from sizewise.providers.wires.wire import Wire

Payload = TypeVar("Payload")
_fields = msgspec.json.Decoder(JsonFields)
_encode = msgspec.json.Encoder().encode


def apply_overrides(wire: Wire, rename: Mapping[str, str], drop: Collection[str]) -> Wire:
    """`wire` with request fields renamed by `rename` (our name -> the endpoint's) and those in `drop` removed.

    If a request has both names, the endpoint's own field wins. Replies are unchanged.
    """
    if not rename and not drop:
        return wire

    def bend(write: Callable[[Payload, str], bytes]) -> Callable[[Payload, str], bytes]:
        return lambda what, model: _encode(_override(_fields.decode(write(what, model)), rename, drop))

    return replace(wire, write_request=bend(wire.write_request), write_embed=bend(wire.write_embed))


def _override(fields: JsonFields, rename: Mapping[str, str], drop: Collection[str]) -> JsonFields:
    kept = {name: value for name, value in fields.items() if name not in rename and name not in drop}
    others = {theirs: fields[ours] for ours, theirs in rename.items() if ours in fields}
    return {**others, **kept}
