"""Signing in by OpenID Connect: where to send a browser, and who came back; believes nobody's word but a signed one.

Authorization code with PKCE, state and nonce. A sign-in that has begun is bound to one browser by a cookie, to one
provider, and to ten minutes; it is used up by whatever comes back. All that is fetched goes by the one way out: to
origins that were declared, without redirects, and bounded.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from sizewise.auth.authenticator import digest
from sizewise.auth.oidc_token import Claims, Jwk, UnknownKey, verified
from sizewise.errors import ConfigError, SignInRefused, UnknownPath, nearest
from sizewise.http.client import Client, Headers, Timeouts
from sizewise.http.egress import origin
from sizewise.settings.auth import Oidc
from sizewise.settings.load import secret

log = logging.getLogger("sizewise.auth")

T = TypeVar("T")

BYTES = 262_144
"""Of one answer of a provider."""
BEGUN = 10_000
BEGUN_S = 600.0
KEPT_S = 3_600.0
LOOKS = 5
LOOKS_S = 300.0
"""Looks for keys that were not there, in so many seconds: a token of nobody's must not make us ask without end."""
PATIENCE = Timeouts(connect=5, first_byte=10, between_bytes=10, total=15)
_AGAIN = "sign in anew"


class Discovered(Struct):
    """/.well-known/openid-configuration, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class KeySet(Struct):
    keys: list[Jwk]


class Tokens(Struct):
    id_token: str
    access_token: str | None = None


class Begun(Struct, frozen=True):
    """A sign-in under way. `until` is unix seconds."""

    name: str
    state: str
    nonce: str
    verifier: str
    until: float


class Person(Struct, frozen=True):
    """Who came back. `email` is empty unless the provider says that it was verified; `roles` as its claim has them."""

    issuer: str
    subject: str
    email: str
    name: str
    groups: tuple[str, ...]


class Provider:
    """One provider, and what is known of it for an hour."""

    def __init__(self, row: Oidc, client: Client) -> None:
        self.row = row
        self._client = client
        self._about: Discovered | None = None
        self._keys: list[Jwk] = []
        self._about_at = self._keys_at = float("-inf")
        self._looks: deque[float] = deque(maxlen=LOOKS)

    async def about(self) -> Discovered:
        if time.monotonic() - self._about_at > KEPT_S or self._about is None:
            found = await self._get(self.row.issuer.rstrip("/") + "/.well-known/openid-configuration", Discovered)
            if found.issuer.rstrip("/") != self.row.issuer.rstrip("/"):
                raise SignInRefused("the identity provider says that it is another", "check `issuer` in [oidc]")
            self._about, self._about_at = found, time.monotonic()
        return self._about

    async def keys(self, fresh: bool = False) -> list[Jwk]:
        """`fresh`: fetched again, unless that was done too often of late."""
        now = time.monotonic()
        fresh = fresh and (len(self._looks) < LOOKS or now - self._looks[0] > LOOKS_S)
        if fresh:
            self._looks.append(now)
        if fresh or now - self._keys_at > KEPT_S:
            self._keys = (await self._get((await self.about()).jwks_uri, KeySet)).keys[:100]
            self._keys_at = now
        return self._keys

    async def tokens(self, code: str, verifier: str, redirect: str) -> Tokens:
        row, about = self.row, await self.about()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "client_id": row.client_id,
            "code_verifier": verifier,
        }
        headers = [("content-type", "application/x-www-form-urlencoded")]
        if row.client_secret:
            known = secret(row.client_secret)
            if "client_secret_basic" in about.token_endpoint_auth_methods_supported:
                both = f"{quote(row.client_id, safe='')}:{quote(known, safe='')}"
                headers.append(("authorization", "Basic " + b64encode(both.encode()).decode()))
            else:
                form["client_secret"] = known
        return await self._ask("POST", about.token_endpoint, urlencode(form).encode(), headers, Tokens)

    async def claims(self, token: str, nonce: str) -> Claims:
        row = self.row
        for fresh in (False, True):  # a provider may have changed its keys since we looked
            keys = await self.keys(fresh)
            try:
                return verified(token, keys, row.issuer, row.client_id, nonce, time.time())
            except UnknownKey:
                continue
        raise SignInRefused("the identity provider's token is signed by no key of its own", _AGAIN)

    async def more(self, access: str) -> dict[str, object]:
        """What the provider tells of the person beside the token."""
        about = await self.about()
        if about.userinfo_endpoint is None:
            return {}
        headers = [("authorization", f"Bearer {access}")]
        return await self._ask("GET", about.userinfo_endpoint, b"", headers, dict[str, object])

    async def _get(self, url: str, kind: type[T]) -> T:
        return await self._ask("GET", url, b"", [], kind)

    async def _ask(self, method: str, url: str, body: bytes, headers: Headers, kind: type[T]) -> T:
        """Raises SignInRefused; EgressDenied for an origin that nobody declared."""
        parts = urlsplit(url)
        where = origin(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        endpoint = self._client.endpoint(where, [("accept", "application/json")], pool=8)
        async with await endpoint.request(
            method, path, body, headers, why="sign in", data_class="internal", timeouts=PATIENCE
        ) as answer:
            if answer.status != 200:
                raise SignInRefused(f"the identity provider answered with status {answer.status}", _AGAIN)
            text = await answer.read(BYTES)
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SignInRefused("the identity provider's answer cannot be read", _AGAIN) from error


class Relying:
    """Those who rely on others to say who somebody is: all providers, and the sign-ins under way. Outlives Houses."""

    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {}
        self._begun: OrderedDict[bytes, Begun] = OrderedDict()

    def prepare(self, rows: Mapping[str, Oidc], client: Client, roles: Mapping[str, object]) -> Callable[[], None]:
        """The change to these providers. Raises ConfigError for a role that is none."""
        for name, row in rows.items():
            for role in row.roles.values():
                if role not in roles:
                    hint = nearest(role, list(roles)) or f"known: {', '.join(roles)}"
                    raise ConfigError(f"oidc.{name}.roles: there is no role {role!r}", hint)
        providers = {name: Provider(row, client) for name, row in rows.items()}

        def apply() -> None:
            self._providers = providers

        return apply

    def provider(self, name: str) -> Provider:
        """Raises UnknownPath."""
        found = self._providers.get(name)
        if found is None:
            raise UnknownPath(f"there is no identity provider {name[:100]!r}", "see [oidc] in sizewise.toml")
        return found

    async def begin(self, name: str, redirect: str) -> tuple[str, str]:
        """Where to send the browser, and what its cookie holds until it comes back."""
        provider = self.provider(name)
        about = await provider.about()
        started, cookie = self._start(name)
        challenge = urlsafe_b64encode(sha256(started.verifier.encode()).digest()).rstrip(b"=").decode()
        wanted = {
            "response_type": "code",
            "client_id": provider.row.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(provider.row.scopes),
            "state": started.state,
            "nonce": started.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if urlsplit(about.authorization_endpoint).scheme not in ("https", urlsplit(provider.row.issuer).scheme):
            raise SignInRefused("the identity provider's page is not encrypted", "check `issuer` in [oidc]")
        url = about.authorization_endpoint
        return f"{url}{'&' if '?' in url else '?'}{urlencode(wanted)}", cookie

    def _start(self, name: str) -> tuple[Begun, str]:
        cookie, until = secrets.token_urlsafe(32), time.time() + BEGUN_S
        made = Begun(name, secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), until)
        self._begun[digest(cookie)] = made
        while len(self._begun) > BEGUN:
            self._begun.popitem(last=False)
        return made, cookie

    async def finish(self, name: str, cookie: str, query: str, redirect: str) -> Person:
        """Who came back by this browser. Raises SignInRefused; once only, whatever comes of it."""
        said = dict(parse_qsl(query[:16_384]))
        begun = self._begun.pop(digest(cookie), None) if cookie else None
        if begun is None or begun.name != name or time.time() > begun.until:
            raise SignInRefused("this sign-in was not begun in this browser, or too long ago", _AGAIN)
        if not hmac.compare_digest(said.get("state", "").encode(), begun.state.encode()):
            raise SignInRefused("what came back is not the answer to what was asked", _AGAIN)
        provider = self.provider(name)
        about = await provider.about()
        told = said.get("iss")
        named = told is not None or about.authorization_response_iss_parameter_supported
        if named and (told or "").rstrip("/") != provider.row.issuer.rstrip("/"):  # RFC 9207: mix-up
            raise SignInRefused("another identity provider answered than was asked", _AGAIN)
        if "error" in said or not said.get("code"):
            raise SignInRefused("the identity provider did not sign you in", _AGAIN)
        tokens = await provider.tokens(said["code"], begun.verifier, redirect)
        claims = await provider.claims(tokens.id_token, begun.nonce)
        return await self._person(provider, tokens, claims)

    async def _person(self, provider: Provider, tokens: Tokens, claims: Claims) -> Person:
        known, row = claims.all, provider.row
        if tokens.access_token and ("email" not in known or (row.roles and row.roles_claim not in known)):
            more = await provider.more(tokens.access_token)
            if more.get("sub") == claims.sub:  # OpenID Connect Core 5.3.2: else it is of somebody else
                known = {**more, **known}
        email, name = known.get("email"), known.get("name")
        sure = known.get("email_verified") is True and isinstance(email, str)
        groups = known.get(row.roles_claim)
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Person(
            row.issuer,
            claims.sub,
            str(email).strip().lower()[:254] if sure else "",
            "".join(c for c in name if c.isprintable())[:100] if isinstance(name, str) else "",
            tuple(each for each in listed if isinstance(each, str)),
        )
