"""An ID token -> its claims, or SignInRefused; the only place that touches the library for JSON Web Tokens; pure.

Algorithms come from a list of ours and must fit the key: neither `none` nor a MAC made with a public key can pass
(CVE-2015-9235 and its kin). OpenID Connect Core 1.0, 3.1.3.7.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from sizewise.errors import SignInRefused

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
KINDS: Mapping[str, str] = {"R": "RSA", "P": "RSA", "E": "EC"}
LEEWAY_S = 60.0
OLDEST_S = 600.0
BYTES = 16_384
RSA_BITS = 2_048

Jwk = dict[str, str | list[str]]


class UnknownKey(Exception):
    """No key of this name is among them: the provider may have a new one."""


class Head(Struct):
    alg: str = ""
    kid: str | None = None
    crit: msgspec.Raw | None = None


class Claims(Struct):
    """What is read of a token; whatever else stands in it is kept in `all`."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    iat: float
    nonce: str | None = None
    azp: str | None = None
    all: dict[str, object] = {}


def verified(token: str, keys: Sequence[Jwk], issuer: str, client: str, nonce: str, now: float) -> Claims:
    """`now`: unix seconds. Raises SignInRefused, or UnknownKey before anything is believed."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    head = _head(token)
    if head.alg not in ALGORITHMS or head.crit is not None:
        raise _refused(f"its algorithm is {head.alg[:20]!r}")
    found = _key(head, keys)
    try:
        claims = jwt.decode(token, import_key(found), algorithms=[head.alg]).claims
        seen = msgspec.convert({**claims, "all": claims}, Claims)
    except (JoseError, msgspec.ValidationError, ValueError, TypeError, KeyError) as error:
        raise _refused(f"{type(error).__name__}") from error
    _demand(seen, issuer, client, nonce, now)
    return seen


def _demand(seen: Claims, issuer: str, client: str, nonce: str, now: float) -> None:
    meant = [seen.aud] if isinstance(seen.aud, str) else seen.aud
    if seen.iss.rstrip("/") != issuer.rstrip("/"):
        raise _refused("another issuer made it")
    if client not in meant or (seen.azp is not None and seen.azp != client) or (len(meant) > 1 and seen.azp is None):
        raise _refused("it was made for somebody else")
    if now >= seen.exp + LEEWAY_S:
        raise _refused("it has expired")
    if not now - OLDEST_S <= seen.iat <= now + LEEWAY_S:
        raise _refused("it was not made just now")
    if seen.nonce != nonce:
        raise _refused("it was made for another sign-in")
    if not seen.sub or len(seen.sub) > 255:
        raise _refused("it names nobody")


def _head(token: str) -> Head:
    try:
        if len(token) > BYTES:
            raise ValueError("too long")
        text = token.partition(".")[0]
        return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Head)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise _refused("it is no token") from error


def _key(head: Head, keys: Sequence[Jwk]) -> Jwk:
    """The one key that it says, or the only one that there is for its algorithm."""
    kind = KINDS.get(head.alg[0], "") if head.alg not in ("EdDSA", "Ed25519") else "OKP"
    fit = [key for key in keys if key.get("kty") == kind and key.get("use", "sig") == "sig" and _large(key)]
    named = [key for key in fit if head.kid is None or key.get("kid") == head.kid]
    if len(named) != 1:
        raise UnknownKey
    if named[0].get("alg", head.alg) != head.alg:
        raise _refused("its algorithm is not the key's")
    return named[0]


def _large(key: Jwk) -> bool:
    n = key.get("n")
    return key.get("kty") != "RSA" or (isinstance(n, str) and len(n) * 6 >= RSA_BITS)


def _refused(why: str) -> SignInRefused:
    return SignInRefused(
        f"the identity provider's token is not good: {why}", "sign in anew; if that fails, tell who runs this"
    )
