"""Verification of signed tokens (HS256 JWT only) with the standard library; pure.

The algorithm is checked before the signature, so that neither `none` nor another kind of key is ever tried.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode
from hashlib import sha256
from typing import TypeVar

import msgspec
from msgspec import Struct

from sizewise.errors import Forbidden

T = TypeVar("T")

MAX_TOKEN_BYTES = 4_096
MIN_SECRET_LENGTH = 16
"""Characters."""
_HINT = "send a JWT signed with HS256 by a secret in [graphql.signers], with an `exp` in the future (unix seconds)"


class _SignedTokenHeader(Struct):
    alg: str


class SignedTokenClaims(Struct):
    """`exp`: unix seconds; without it, the token is valid as long as its secret."""

    project_id: str = ""
    exp: float | None = None


def verify_signed_token(token: str, secrets: list[str], now: float) -> tuple[int, SignedTokenClaims]:
    """Index of the secret that signed the token, and its claims. `now`: unix seconds. Raises Forbidden."""
    head, _, rest = token.partition(".")
    body, _, signature = rest.partition(".")
    if len(token) > MAX_TOKEN_BYTES or _decode(head, _SignedTokenHeader).alg != "HS256":
        raise Forbidden("the token is not signed with HS256", _HINT)
    given, signed = _bytes(signature), f"{head}.{body}".encode()
    fits = [hmac.compare_digest(hmac.new(secret.encode(), signed, sha256).digest(), given) for secret in secrets]
    if True not in fits:
        raise Forbidden("the token is signed with no secret that this server accepts", _HINT)
    claims = _decode(body, SignedTokenClaims)
    if claims.exp is not None and now >= claims.exp:
        raise Forbidden("the token has expired", _HINT)
    return fits.index(True), claims


def _decode(text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(_bytes(text), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Forbidden("the value of `X-Lamatic-Signature` is not a JWT", _HINT) from error


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text.encode("ascii", "replace") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as error:
        raise Forbidden("the value of `X-Lamatic-Signature` is not a JWT", _HINT) from error
