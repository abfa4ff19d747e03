"""OpenID Connect relying party: authorization code flow with PKCE; trusts only a verified ID token.

Uses state, nonce and PKCE. A pending sign-in is bound to one browser by a cookie and to one provider, expires after ten
minutes, and is used up by the first callback. Requests to a provider go through the egress client: declared origins
only, no redirects, bounded responses.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from sizewise.auth.authenticator import digest
from sizewise.auth.oidc_token import (
    IdTokenClaims,
    Jwk,
    LogoutTokenClaims,
    UnknownSigningKey,
    verify_id_token,
    verify_logout_token,
)
from sizewise.errors import ConfigError, PathNotFound, SignInFailed, did_you_mean
from sizewise.http.client import HttpClient, HttpHeaders, HttpTimeouts
from sizewise.http.egress import origin
from sizewise.settings.auth import OidcSettings
from sizewise.settings.load import resolve_secret

log = logging.getLogger("sizewise.auth")

T = TypeVar("T")

MAX_RESPONSE_BYTES = 262_144
MAX_PENDING_SIGN_INS = 10_000
PENDING_SIGN_IN_S = 600.0
METADATA_TTL_S = 3_600.0
MAX_KEY_REFRESHES = 5
KEY_REFRESH_WINDOW_S = 300.0
"""At most MAX_KEY_REFRESHES in this many seconds: forged tokens with unknown keys must not cause endless requests."""
TIMEOUTS = HttpTimeouts(connect=5, first_byte=10, between_bytes=10, total=15)
_RETRY_HINT = "sign in again"


class ProviderMetadata(Struct):
    """The fields used from /.well-known/openid-configuration."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class JsonWebKeySet(Struct):
    keys: list[Jwk]


class TokenResponse(Struct):
    id_token: str
    access_token: str | None = None


class PendingSignIn(Struct, frozen=True):
    """A sign-in that waits for its callback. `expires_at` is unix seconds."""

    provider: str
    state: str
    nonce: str
    code_verifier: str
    expires_at: float


class OidcIdentity(Struct, frozen=True):
    """The identity that a provider confirmed. `email` is empty unless the provider has verified it; `groups` are the
    values of `roles_claim`, None where the provider says nothing of it.
    """

    issuer: str
    subject: str
    email: str
    name: str
    groups: tuple[str, ...] | None
    session: str = ""  # the provider's `sid`; empty: it named none


class MappedRole(Struct, frozen=True):
    """An organization role, and the value of the claim that gives it."""

    role: str
    value: str


def mapped_role(roles: Mapping[str, str], values: Collection[str]) -> MappedRole | None:
    """The first of the mapping that one of `values` matches; None: none is given."""
    return next((MappedRole(role, value) for value, role in roles.items() if value in values), None)


class OidcProvider:
    """One provider. Its metadata and signing keys are cached for METADATA_TTL_S."""

    def __init__(self, settings: OidcSettings, client: HttpClient) -> None:
        self.settings = settings
        self._client = client
        self._metadata: ProviderMetadata | None = None
        self._signing_keys: list[Jwk] = []
        self._metadata_fetched_at = self._keys_fetched_at = float("-inf")
        self._key_refreshes: deque[float] = deque(maxlen=MAX_KEY_REFRESHES)

    async def metadata(self) -> ProviderMetadata:
        if time.monotonic() - self._metadata_fetched_at > METADATA_TTL_S or self._metadata is None:
            found = await self._get_json(
                self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration",
                ProviderMetadata,
            )
            if found.issuer.rstrip("/") != self.settings.issuer.rstrip("/"):
                raise SignInFailed("the identity provider's metadata names another issuer", "check `issuer` in [oidc]")
            self._metadata, self._metadata_fetched_at = found, time.monotonic()
        return self._metadata

    async def signing_keys(self, refresh: bool = False) -> list[Jwk]:
        """`refresh`: fetch again, unless MAX_KEY_REFRESHES is reached."""
        now = time.monotonic()
        refresh = refresh and (
            len(self._key_refreshes) < MAX_KEY_REFRESHES or now - self._key_refreshes[0] > KEY_REFRESH_WINDOW_S
        )
        if refresh:
            self._key_refreshes.append(now)
        if refresh or now - self._keys_fetched_at > METADATA_TTL_S:
            self._signing_keys = (await self._get_json((await self.metadata()).jwks_uri, JsonWebKeySet)).keys[:100]
            self._keys_fetched_at = now
        return self._signing_keys

    async def exchange_code(self, code: str, code_verifier: str, redirect_uri: str) -> TokenResponse:
        row, about = self.settings, await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": row.client_id,
            "code_verifier": code_verifier,
        }
        headers = [("content-type", "application/x-www-form-urlencoded")]
        if row.client_secret:
            known = resolve_secret(row.client_secret)
            if "client_secret_basic" in about.token_endpoint_auth_methods_supported:
                both = f"{quote(row.client_id, safe='')}:{quote(known, safe='')}"
                headers.append(("authorization", "Basic " + b64encode(both.encode()).decode()))
            else:
                form["client_secret"] = known
        return await self._request_json("POST", about.token_endpoint, urlencode(form).encode(), headers, TokenResponse)

    async def verified_claims(self, id_token: str, nonce: str) -> IdTokenClaims:
        row = self.settings
        for fresh in (False, True):  # the provider may have rotated its keys
            keys = await self.signing_keys(fresh)
            try:
                return verify_id_token(id_token, keys, row.issuer, row.client_id, nonce, time.time())
            except UnknownSigningKey:
                continue
        raise SignInFailed("the identity provider's token is signed with an unknown key", _RETRY_HINT)

    async def verified_logout(self, token: str) -> LogoutTokenClaims:
        """Raises SignInFailed."""
        row = self.settings
        for fresh in (False, True):  # as above
            keys = await self.signing_keys(fresh)
            try:
                return verify_logout_token(token, keys, issuer=row.issuer, client_id=row.client_id, now=time.time())
            except UnknownSigningKey:
                continue
        raise SignInFailed("the identity provider's token is signed with an unknown key", _RETRY_HINT)

    async def userinfo(self, access_token: str) -> dict[str, object]:
        """Further claims from the userinfo endpoint; empty if the provider has none."""
        about = await self.metadata()
        if about.userinfo_endpoint is None:
            return {}
        headers = [("authorization", f"Bearer {access_token}")]
        return await self._request_json("GET", about.userinfo_endpoint, b"", headers, dict[str, object])

    async def _get_json(self, url: str, kind: type[T]) -> T:
        return await self._request_json("GET", url, b"", [], kind)

    async def _request_json(self, method: str, url: str, body: bytes, headers: HttpHeaders, kind: type[T]) -> T:
        """Raises SignInFailed, and EgressDenied for an undeclared origin."""
        parts = urlsplit(url)
        where = origin(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        endpoint = self._client.endpoint(where, [("accept", "application/json")], max_connections=8)
        async with await endpoint.request(
            method,
            path,
            body,
            headers,
            purpose="sign in",
            data_class="internal",
            timeouts=TIMEOUTS,
        ) as answer:
            if answer.status != 200:
                raise SignInFailed(f"the identity provider answered with status {answer.status}", _RETRY_HINT)
            text = await answer.read(MAX_RESPONSE_BYTES)
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SignInFailed("the identity provider's answer cannot be read", _RETRY_HINT) from error


class RelyingParty:
    """All identity providers and the pending sign-ins. Survives a reload of the application."""

    def __init__(self) -> None:
        self._providers: dict[str, OidcProvider] = {}
        self._pending: OrderedDict[bytes, PendingSignIn] = OrderedDict()

    def prepare(
        self,
        rows: Mapping[str, OidcSettings],
        client: HttpClient,
        roles: Mapping[str, object],
    ) -> Callable[[], None]:
        """Returns a function that switches to these providers. Raises ConfigError for an unknown role."""
        for name, row in rows.items():
            for role in row.roles.values():
                if role not in roles:
                    hint = did_you_mean(role, list(roles)) or f"known: {', '.join(roles)}"
                    raise ConfigError(f"oidc.{name}.roles: there is no role {role!r}", hint)
        providers = {name: OidcProvider(row, client) for name, row in rows.items()}

        def apply() -> None:
            self._providers = providers

        return apply

    @property
    def providers(self) -> Mapping[str, OidcProvider]:
        return self._providers

    def provider(self, name: str) -> OidcProvider:
        """Raises PathNotFound."""
        found = self._providers.get(name)
        if found is None:
            raise PathNotFound(f"there is no identity provider {name[:100]!r}", "add it under [oidc] in sizewise.toml")
        return found

    async def start_sign_in(self, name: str, redirect_uri: str) -> tuple[str, str]:
        """URL to redirect the browser to, and the value of the sign-in cookie."""
        provider = self.provider(name)
        about = await provider.metadata()
        started, cookie = self._add_pending(name)
        challenge = urlsafe_b64encode(sha256(started.code_verifier.encode()).digest()).rstrip(b"=").decode()
        wanted = {
            "response_type": "code",
            "client_id": provider.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(provider.settings.scopes),
            "state": started.state,
            "nonce": started.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if urlsplit(about.authorization_endpoint).scheme not in ("https", urlsplit(provider.settings.issuer).scheme):
            raise SignInFailed("the identity provider's sign-in page does not use https", "check `issuer` in [oidc]")
        url = about.authorization_endpoint
        return f"{url}{'&' if '?' in url else '?'}{urlencode(wanted)}", cookie

    def _add_pending(self, name: str) -> tuple[PendingSignIn, str]:
        cookie, until = secrets.token_urlsafe(32), time.time() + PENDING_SIGN_IN_S
        made = PendingSignIn(
            provider=name,
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            code_verifier=secrets.token_urlsafe(48),
            expires_at=until,
        )
        self._pending[digest(cookie)] = made
        while len(self._pending) > MAX_PENDING_SIGN_INS:
            self._pending.popitem(last=False)
        return made, cookie

    async def complete_sign_in(self, name: str, cookie: str, query: str, redirect_uri: str) -> OidcIdentity:
        """The identity of the callback. Each pending sign-in can be completed once, even if it fails. Raises
        SignInFailed.
        """
        said = dict(parse_qsl(query[:16_384]))
        begun = self._pending.pop(digest(cookie), None) if cookie else None
        if begun is None or begun.provider != name or time.time() > begun.expires_at:
            raise SignInFailed("this sign-in was started too long ago, or in another browser", _RETRY_HINT)
        if not hmac.compare_digest(said.get("state", "").encode(), begun.state.encode()):
            raise SignInFailed("the identity provider's response does not belong to this sign-in", _RETRY_HINT)
        provider = self.provider(name)
        about = await provider.metadata()
        told = said.get("iss")
        named = told is not None or about.authorization_response_iss_parameter_supported
        if named and (told or "").rstrip("/") != provider.settings.issuer.rstrip("/"):  # RFC 9207: mix-up
            raise SignInFailed("the response comes from another identity provider", _RETRY_HINT)
        if "error" in said or not said.get("code"):
            raise SignInFailed("the identity provider did not sign you in", _RETRY_HINT)
        tokens = await provider.exchange_code(said["code"], begun.code_verifier, redirect_uri)
        claims = await provider.verified_claims(tokens.id_token, begun.nonce)
        return await self._identity(provider, tokens, claims)

    async def _identity(self, provider: OidcProvider, tokens: TokenResponse, claims: IdTokenClaims) -> OidcIdentity:
        known, row = claims.all, provider.settings
        if tokens.access_token and ("email" not in known or (row.roles and row.roles_claim not in known)):
            more = await provider.userinfo(tokens.access_token)
            if more.get("sub") == claims.sub:  # OpenID Connect Core 5.3.2: otherwise of another user
                known = {**more, **known}
        email, name = known.get("email"), known.get("name")
        sure = known.get("email_verified") is True and isinstance(email, str)
        groups = known.get(row.roles_claim)
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else None
        return OidcIdentity(
            issuer=row.issuer,
            subject=claims.sub,
            email=str(email).strip().lower()[:254] if sure else "",
            name="".join(c for c in name if c.isprintable())[:100] if isinstance(name, str) else "",
            groups=None if listed is None else tuple(each for each in listed if isinstance(each, str)),
            session=sid[:255] if isinstance(sid := claims.all.get("sid"), str) else "",
        )
