"""Request digest: equal for two requests that must get the same answer."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from sizewise.handler import Request
from sizewise.messages import MediaRequest
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody

DELIVERY_FIELDS = frozenset({"stream", "stream_options"})
"""Body fields that only affect how the answer is sent."""
NULL = b"null"


def request_digest(request: Request, *extra: object) -> bytes:
    """SHA-256 of the payload and options, whatever the API, and of `extra`."""
    options = replace(
        request.options,
        idempotency_key=None,
        cache=None,
        progress=UNSET,
        end_user=UNSET,
        tags=UNSET,
        prompt=UNSET,
    )
    said = {name: _normalized(name, raw) for name, raw in request.payload.fields.items() if name not in DELIVERY_FIELDS}
    if said.get(ORIGINAL_FIELD) == NULL:
        del said[ORIGINAL_FIELD]
    files = request.payload.files if isinstance(request.payload, MediaRequest) else ()
    more = (*extra, *(file.digest() for file in files)) if files else extra
    asked = (type(request.payload).__name__, said, options, more)
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).digest()


def _normalized(name: str, raw: Raw) -> bytes:
    """A field's value in canonical JSON; unchanged if it cannot be decoded (1e999, deep nesting)."""
    try:
        value = _original_request(raw) if name == ORIGINAL_FIELD else msgspec.json.decode(raw)
        return msgspec.json.encode(value, order="sorted")
    except (msgspec.DecodeError, RecursionError):
        return bytes(raw)


def _original_request(raw: Raw) -> object:
    """The original body if its translation lost something, without delivery fields; None if it is lossless."""
    origin = msgspec.json.decode(raw, type=OriginalBody)
    if origin.is_lossless:
        return None
    body = msgspec.json.decode(origin.body, type=dict[str, object])
    return origin.wire, {name: value for name, value in body.items() if name not in DELIVERY_FIELDS}, origin.headers
