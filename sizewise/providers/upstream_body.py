"""Checks of an upstream's body that the decoders do not make: UTF-8 throughout, and no error under status 200."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import UpstreamProtocolError


def check_utf8(body: bytes) -> None:
    """Raises UpstreamProtocolError. Decoders skip fields they do not read, and the client would get the bad bytes."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise UpstreamProtocolError(
            "the upstream's response is not UTF-8",
            "check what is served at `base_url` in [providers.NAME]",
        ) from error


class ErrorObject(Struct):
    error: dict[str, Raw] | str


def is_error_object(body: bytes) -> bool:
    """Whether the body is an error object, whatever the status."""
    try:
        msgspec.json.decode(body, type=ErrorObject)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
