"""ID token verification: token -> claims or SignInFailed; the only module that imports the JWT library.

The algorithm must be in ALGORITHMS and fit the key: neither `none` nor a MAC made with a public key passes
(CVE-2015-9235 and similar). OpenID Connect Core 1.0, 3.1.3.7.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import SignInFailed

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
KEY_TYPES: Mapping[str, str] = {"R": "RSA", "P": "RSA", "E": "EC"}
LEEWAY_S = 60.0
MAX_AGE_S = 600.0
MAX_TOKEN_BYTES = 16_384
MIN_RSA_BITS = 2_048

Jwk = dict[str, str | list[str]]


class UnknownSigningKey(Exception):
    """No known key fits the token: the provider may have rotated its keys."""


class JwtHeader(Struct):
    alg: str = ""
    kid: str | None = None
    crit: msgspec.Raw | None = None


class IdTokenClaims(Struct):
    """Claims that are checked; `all` holds every claim of the token."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str | None = None
    azp: str | None = None
    all: dict[str, object] = {}


LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class LogoutTokenClaims(Struct):
    """Claims of a logout token. It names a person (`sub`), a session of the provider (`sid`), or both."""

    iss: str
    aud: str | list[str]
    iat: float
    jti: Annotated[str, Meta(min_length=1, max_length=255)]
    events: dict[str, object]
    exp: float | None = None
    sub: Annotated[str, Meta(max_length=255)] | None = None
    sid: Annotated[str, Meta(max_length=255)] | None = None


def verify_logout_token(
    token: str, keys: Sequence[Jwk], *, issuer: str, client_id: str, now: float
) -> LogoutTokenClaims:
    """OpenID Connect Back-Channel Logout 1.0, section 2.6; whether `jti` was seen before is the caller's to know.

    `now`: unix seconds. Raises SignInFailed, or UnknownSigningKey before any claim is read.
    """
    all_claims = _verified(token, keys)
    try:
        claims = msgspec.convert(all_claims, LogoutTokenClaims)
    except msgspec.ValidationError as error:
        raise _refused(f"{type(error).__name__}") from error
    meant = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if claims.iss.rstrip("/") != issuer.rstrip("/"):
        raise _refused("it comes from another issuer")
    if client_id not in meant:
        raise _refused("it was issued to another client")
    if not now - MAX_AGE_S <= claims.iat <= now + LEEWAY_S or (claims.exp is not None and now >= claims.exp + LEEWAY_S):
        raise _refused("it was not issued just now")
    if not isinstance(claims.events.get(LOGOUT_EVENT), dict):
        raise _refused("it is no logout token")
    if "nonce" in all_claims:
        raise _refused("it has a nonce, as an ID token has")
    if not claims.sub and not claims.sid:
        raise _refused("it names neither a person nor a session")
    return claims


def verify_id_token(
    token: str,
    keys: Sequence[Jwk],
    issuer: str,
    client_id: str,
    nonce: str,
    now: float,
) -> IdTokenClaims:
    """`now`: unix seconds. Raises SignInFailed, or UnknownSigningKey before any claim is read."""
    claims = _verified(token, keys)
    try:
        seen = msgspec.convert({**claims, "all": claims}, IdTokenClaims)
    except msgspec.ValidationError as error:
        raise _refused(f"{type(error).__name__}") from error
    _check_claims(seen, issuer, client_id, nonce, now)
    return seen


def _verified(token: str, keys: Sequence[Jwk]) -> dict[str, object]:
    """The claims of a token whose signature is right. Raises SignInFailed, UnknownSigningKey."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    head = _read_header(token)
    if head.alg not in ALGORITHMS or head.crit is not None:
        raise _refused(f"the algorithm {head.alg[:20]!r} is not accepted")
    found = _signing_key(head, keys)
    try:
        return dict(jwt.decode(token, import_key(found), algorithms=[head.alg]).claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _refused(f"{type(error).__name__}") from error


def _check_claims(claims: IdTokenClaims, issuer: str, client_id: str, nonce: str, now: float) -> None:
    meant = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if claims.iss.rstrip("/") != issuer.rstrip("/"):
        raise _refused("it comes from another issuer")
    if (
        client_id not in meant
        or (claims.azp is not None and claims.azp != client_id)
        or (len(meant) > 1 and claims.azp is None)
    ):
        raise _refused("it was issued to another client")
    if now >= claims.exp + LEEWAY_S:
        raise _refused("it has expired")
    if not now - MAX_AGE_S <= claims.iat <= now + LEEWAY_S:
        raise _refused("it was not issued just now")
    if claims.nonce != nonce:
        raise _refused("it was issued for another sign-in")
    if not claims.sub or len(claims.sub) > 255:
        raise _refused("it names no subject")


def _read_header(token: str) -> JwtHeader:
    try:
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError("too long")
        text = token.partition(".")[0]
        return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=JwtHeader)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise _refused("it is not a JWT") from error


def _signing_key(header: JwtHeader, keys: Sequence[Jwk]) -> Jwk:
    """The key with the header's `kid`, or the only key for its algorithm."""
    kind = KEY_TYPES.get(header.alg[0], "") if header.alg not in ("EdDSA", "Ed25519") else "OKP"
    fit = [key for key in keys if key.get("kty") == kind and key.get("use", "sig") == "sig" and _is_long_enough(key)]
    named = [key for key in fit if header.kid is None or key.get("kid") == header.kid]
    if len(named) != 1:
        raise UnknownSigningKey
    if named[0].get("alg", header.alg) != header.alg:
        raise _refused("it uses another algorithm than its key")
    return named[0]


def _is_long_enough(key: Jwk) -> bool:
    n = key.get("n")
    return key.get("kty") != "RSA" or (isinstance(n, str) and len(n) * 6 >= MIN_RSA_BITS)


def _refused(why: str) -> SignInFailed:
    return SignInFailed(
        f"the identity provider's token was rejected: {why}",
        "sign in again; if it fails again, contact the operator of this server",
    )
