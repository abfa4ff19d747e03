"""Signatures of webhooks (Standard Webhooks): signing and verification; sends nothing.

HMAC-SHA256 over `id.timestamp.body`, with several signatures during a secret rotation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from sizewise.errors import Busy, ConfigError, Forbidden

TOLERANCE_S = 300.0
"""Allowed clock difference in seconds, either way."""
PREFIX = "whsec_"
MAX_SIGNATURES = 16
MAX_SIGNATURE_HEADER = 4_096
MESSAGE_ID = re.compile(r"[!-~]{1,200}\Z")
TIMESTAMP = re.compile(r"[0-9]{1,12}\Z")
EMBEDDED_TIMESTAMP = re.compile(r"\.[0-9]{10,12}(\.|\Z)")
"""A part of an id that may be a timestamp. What is signed, `id.timestamp.body`, could then be split in two ways: one
who saw a message could present it with another id, timestamp and body. Without such a part there is one way.
"""
_HEADERS_HINT = "send webhook-id, webhook-timestamp and webhook-signature"


def sign_webhook(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers. `secrets`: `whsec_<base64>`, each signs; `timestamp`: unix seconds. Raises ConfigError."""
    wrong, hint = id_error(id)
    if wrong:
        raise ConfigError(wrong, hint)
    marks = (base64.b64encode(_signature(key, id, timestamp, body)).decode() for key in map(_decode_secret, secrets))
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


def id_error(id: str) -> tuple[str, str]:
    """Why `id` cannot be signed, and what to do; empty if it can."""
    if not MESSAGE_ID.match(id):
        return "webhook-id is not valid", "use 1 to 200 printable ASCII characters without blanks"
    if EMBEDDED_TIMESTAMP.search(id):
        return (
            f"webhook-id {id!r} has a part of 10 to 12 digits after a dot, as a timestamp has",
            "join that part by another character, as `-`: what is signed, `id.timestamp.body`, must have one meaning",
        )
    return "", ""


class ReplayGuard:
    """Remembers message ids as long as their timestamps are valid. Not thread-safe."""

    def __init__(self, max_ids: int = 100_000, tolerance_s: float = TOLERANCE_S) -> None:
        self._max_ids = max_ids
        self._tolerance_s = tolerance_s
        self._ids: set[str] = set()
        self._order: deque[tuple[float, str]] = deque()

    def register(self, id: str, now: float) -> None:
        """Raises Forbidden for a known id, Busy if no more ids can be stored (fails closed)."""
        while self._order and self._order[0][0] < now - 2 * self._tolerance_s:
            self._ids.discard(self._order.popleft()[1])
        if id in self._ids:
            raise Forbidden("this webhook was received before", "send a new webhook-id with a new message")
        if len(self._ids) >= self._max_ids:
            raise Busy("too many webhooks within a few minutes", "send it again later", retry_after=self._tolerance_s)
        self._ids.add(id)
        self._order.append((now, id))


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float,
    replay_guard: ReplayGuard,
) -> str:
    """The message's id. Raises Forbidden if it is not signed by one of `secrets`, too old, too new or a replay."""
    id, at, marks = read_signature_headers(headers, now)
    if not _has_valid_signature(
        marks.split()[:MAX_SIGNATURES],
        [_signature(_decode_secret(each), id, int(at), body) for each in secrets],
    ):
        raise invalid_signature()
    replay_guard.register(id, now)
    return id


def invalid_signature() -> Forbidden:
    return Forbidden("the webhook's signature is not valid", "sign the exact bytes of the body with the shared secret")


def read_signature_headers(headers: Mapping[str, str], now: float) -> tuple[str, str, str]:
    """Id, timestamp and signatures, unverified. Raises Forbidden, which names the header that is wrong."""
    said = {name.lower(): value for name, value in headers.items()}
    id, at, marks = (said.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    missing = [f"webhook-{name}" for name in ("id", "timestamp", "signature") if not said.get(f"webhook-{name}")]
    if missing:
        raise Forbidden(f"the webhook is not signed: it has no {' and no '.join(missing)}", _HEADERS_HINT)
    wrong, hint = id_error(id)
    if wrong:
        raise Forbidden(wrong, hint)
    if not TIMESTAMP.match(at):
        raise Forbidden("webhook-timestamp is not a number of seconds", "send the unix time in seconds, as digits")
    if abs(now - int(at)) > TOLERANCE_S:
        hint = f"sign the message when you send it, and check the clock: at most {TOLERANCE_S:.0f} s off"
        raise Forbidden("webhook-timestamp is too far from this server's time", hint)
    if len(marks) > MAX_SIGNATURE_HEADER:
        raise Forbidden(
            f"webhook-signature is longer than {MAX_SIGNATURE_HEADER} characters",
            "send the signatures of the secrets in use alone",
        )
    return id, at, marks


def _has_valid_signature(signatures: Sequence[str], expected: Sequence[bytes]) -> bool:
    """Compares every pair in constant time."""
    found = False
    for mark in signatures:
        version, _, text = mark.partition(",")
        theirs = b""
        with suppress(binascii.Error, ValueError):
            theirs = base64.b64decode(text, validate=True)
        for own in expected:
            found |= hmac.compare_digest(own, theirs) and version == "v1"
    return found


def _signature(key: bytes, id: str, at: int, body: bytes) -> bytes:
    return hmac.new(key, b"%b.%d.%b" % (id.encode(), at, body), hashlib.sha256).digest()


def require_secrets(secrets: Sequence[str], trigger: str) -> None:
    """Raises ConfigError unless the webhook [triggers.NAME] has secrets, and each can sign."""
    if not secrets:
        raise ConfigError("this webhook has no secret", f'set one: secret = "env:..." in [triggers.{trigger}]')
    for each in secrets:
        _decode_secret(each)


def _decode_secret(text: str) -> bytes:
    """Raises ConfigError, which never shows the secret."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        hint = f"create one: printf {PREFIX}; openssl rand -base64 32"
        raise ConfigError(f"the webhook secret is not {PREFIX!r} and 24 to 64 bytes in base64", hint)
    return key
