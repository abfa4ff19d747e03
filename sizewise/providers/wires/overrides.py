"""Per-endpoint overrides of a wire format: fields renamed or dropped by the settings; names no endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TypeVar

import msgspec

from sizewise.messages import ChatRequest, JsonFields, MediaRequest
from sizewise.providers.wires.dropped_fields import write_dropping
from sizewise.providers.wires.openai.completion_request import WIRE_NAME
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody
from sizewise.providers.wires.wire import MediaEndpoints, TextEndpoint, Wire

Payload = TypeVar("Payload")
REQUIRED_FIELDS = frozenset({"model", "messages", "stream", ORIGINAL_FIELD})
"""Fields that a chat cannot be written without."""
_fields = msgspec.json.Decoder(JsonFields)
_encode = msgspec.json.Encoder().encode


def apply_overrides(wire: Wire, rename: Mapping[str, str], drop: Collection[str]) -> Wire:
    """`wire` with request fields renamed by `rename` (our name -> the endpoint's) and those in `drop` removed.

    A removed field is never a reason to refuse a request, nor is a tool or content block whose type or name is in
    `drop`. If a request has both names, the endpoint's own field wins. Replies are unchanged.
    """
    if not rename and not drop:
        return wire

    def bend(write: Callable[[Payload, str], bytes]) -> Callable[[Payload, str], bytes]:
        return lambda what, model: _encode(
            _override(_fields.decode(write(_without_dropped(what, drop), model)), rename, drop)
        )

    def dropping(write: Callable[[ChatRequest, str], bytes]) -> Callable[[ChatRequest, str], bytes]:
        return bend(lambda chat, model: write_dropping(write, chat, model, drop))

    def bend_endpoint(texts: TextEndpoint | None) -> TextEndpoint | None:
        return None if texts is None else replace(texts, write_request=dropping(texts.write_request))

    def bend_media(media: MediaEndpoints | None) -> MediaEndpoints | None:
        if media is None:
            return None

        def write_fields(what: MediaRequest, model: str) -> JsonFields:
            return _override(media.write_fields(what, model), rename, drop)

        return replace(media, write_fields=write_fields)

    return replace(
        wire,
        write_request=dropping(wire.write_request),
        write_embed=bend(wire.write_embed),
        write_rerank=bend(wire.write_rerank),
        completions=bend_endpoint(wire.completions),
        decisions=bend_endpoint(wire.decisions),
        moderations=bend_endpoint(wire.moderations),
        media=bend_media(wire.media),
    )


def _without_dropped(what: Payload, drop: Collection[str]) -> Payload:
    """A chat without what would be dropped anyway, so that no wire refuses it.

    The fields next to an original body of the same wire stay: that body is sent if they are its translation.
    """
    if not drop or not isinstance(what, ChatRequest):
        return what
    fields = {name: raw for name, raw in what.fields.items() if name in REQUIRED_FIELDS or name not in drop}
    if ORIGINAL_FIELD in what.fields:
        found = msgspec.json.decode(what.fields[ORIGINAL_FIELD], type=OriginalBody)
        kept = [path for path in found.untranslated if path_root(path) not in drop]
        original = msgspec.structs.replace(found, untranslated=kept).to_field()
        fields = {**(fields if found.wire == WIRE_NAME else what.fields), ORIGINAL_FIELD: original}
    return msgspec.structs.replace(what, fields=fields)


def path_root(path: str) -> str:
    """`messages` of `messages[0].content`."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _override(fields: JsonFields, rename: Mapping[str, str], drop: Collection[str]) -> JsonFields:
    kept = {name: value for name, value in fields.items() if name not in rename and name not in drop}
    others = {theirs: fields[ours] for ours, theirs in rename.items() if ours in fields}
    return {**others, **kept}
