"""ID token verification: token -> claims or SignInFailed; the only module that imports the JWT library.

The algorithm must be in ALGORITHMS and fit the key: neither `none` nor a MAC made with a public key passes
(CVE-2015-9235 and similar). OpenID Connect Core 1.0, 3.1.3.7.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

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


def verify_id_token(
    token: str,
    keys: Sequence[Jwk],
    issuer: str,
    client_id: str,
    nonce: str,
    now: float,
) -> IdTokenClaims:
    """`now`: unix seconds. Raises SignInFailed, or UnknownSigningKey before any claim is read."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    head = _read_header(token)
    if head.alg not in ALGORITHMS or head.crit is not None:
        raise _refused(f"the algorithm {head.alg[:20]!r} is not accepted")
    found = _signing_key(head, keys)
    try:
        claims = jwt.decode(token, import_key(found), algorithms=[head.alg]).claims
        seen = msgspec.convert({**claims, "all": claims}, IdTokenClaims)
    except (JoseError, msgspec.ValidationError, ValueError, TypeError, KeyError) as error:
        raise _refused(f"{type(error).__name__}") from error
    _check_claims(seen, issuer, client_id, nonce, now)
    return seen


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
