"""A wire as one endpoint wants it: fields renamed or left out, by the endpoint's row; pure, and names no endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TypeVar

import msgspec

from sizewise.messages import Fields
from sizewise.providers.wires.wire import Wire

What = TypeVar("What")
_fields = msgspec.json.Decoder(Fields)
_encode = msgspec.json.Encoder().encode


def bent(wire: Wire, rename: Mapping[str, str], leave_out: Collection[str]) -> Wire:
    """`wire`, whose requests call the fields in `rename` as the endpoint does and lack those in `leave_out`.

    Where a request has both names, the endpoint's own stays and ours goes. Replies are read as ever.
    """
    if not rename and not leave_out:
        return wire

    def bend(write: Callable[[What, str], bytes]) -> Callable[[What, str], bytes]:
        return lambda what, model: _encode(_bent(_fields.decode(write(what, model)), rename, leave_out))

    return replace(wire, write_request=bend(wire.write_request), write_embed=bend(wire.write_embed))


def _bent(fields: Fields, rename: Mapping[str, str], leave_out: Collection[str]) -> Fields:
    kept = {name: value for name, value in fields.items() if name not in rename and name not in leave_out}
    others = {theirs: fields[ours] for ours, theirs in rename.items() if ours in fields}
    return {**others, **kept}
