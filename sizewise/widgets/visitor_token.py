"""Visitor tokens: which conversation of which widget, until when; signed by the widget's key."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from msgspec import Struct

LIFETIME_S = 30 * 60
_TOKEN = re.compile(r"([0-9a-f]{32})\.([0-9]{1,12})\.([0-9a-f]{64})")


class Visit(Struct, frozen=True):
    """`conversation`: 32 hex digits, drawn when the frame was opened. `until`: unix seconds."""

    conversation: str
    until: int


def write_token(digest: str, widget: str, conversation: str, now: float) -> str:
    """`digest`: of the widget's key. A revoked key's tokens are refused by the key itself."""
    until = int(now) + LIFETIME_S
    return f"{conversation}.{until}.{_signature(digest, widget, conversation, until)}"


def read_token(digest: str, widget: str, token: str, now: float) -> Visit | None:
    """None if it is not of this widget, was changed, or has ended."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    conversation, until, signature = found[1], int(found[2]), found[3]
    if not hmac.compare_digest(_signature(digest, widget, conversation, until), signature) or now >= until:
        return None
    return Visit(conversation, until)


def _signature(digest: str, widget: str, conversation: str, until: int) -> str:
    said = f"sizewise widget {widget} {conversation} {until}".encode()
    return hmac.new(bytes.fromhex(digest), said, sha256).hexdigest()
