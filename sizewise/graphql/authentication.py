"""Authenticates a GraphQL request by API key, signed token, or session cookie with CSRF token."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec.structs import replace
from starlette.types import Scope

from sizewise.app.application import Application
from sizewise.auth.authenticator import Authenticator
from sizewise.auth.browser_security import CSRF_HEADER, authenticate_browser, check_host, client_address
from sizewise.auth.key_scope import check_scope
from sizewise.auth.signed_tokens import MIN_SECRET_LENGTH, verify_signed_token
from sizewise.errors import ConfigError, Forbidden
from sizewise.principal import Principal
from sizewise.settings.load import resolve_secret

Headers = list[tuple[bytes, bytes]]


def authenticate(
    app: Application, keys: Authenticator, scope: Scope, extra_headers: Mapping[str, str] | None = None
) -> Principal:
    """`extra_headers`: from a WebSocket's first message, since a browser cannot set headers when it opens one.

    Raises Forbidden, InvalidApiKey.
    """
    headers: Headers = [
        *scope["headers"],
        *((name.encode(), value.encode()) for name, value in (extra_headers or {}).items()),
    ]
    peer, proxies = (scope.get("client") or ("",))[0], app.settings.server.trusted_proxies
    principal = _principal(app, keys, headers, scope, peer)
    check_scope(principal, "graphql", client_address(peer, headers, proxies))
    return _in_selected_project(keys, principal, headers)


def _in_selected_project(keys: Authenticator, principal: Principal, headers: Headers) -> Principal:
    """Switches to the project in `x-project-id`, if the caller can access all projects. An unknown project is ignored,
    since Lamatic's clients always send one. Raises Forbidden.
    """
    project = next((value.decode("latin-1").strip() for name, value in headers if name == b"x-project-id"), "")
    if not project or project == principal.project or not keys.has_project(project):
        return principal
    if not principal.all_projects:
        hint = "remove the header x-project-id, or use a key of that project"
        raise Forbidden(f"{principal.key_id!r} is limited to the project {principal.project!r}", hint)
    return replace(principal, project=project)


def _principal(app: Application, keys: Authenticator, headers: Headers, scope: Scope, peer: str) -> Principal:
    said = {name: value.decode("latin-1") for name, value in headers}
    scheme, _, key = said.get(b"authorization", "").partition(" ")
    key = (key if scheme.lower() == "bearer" else said.get(b"x-api-key", "")).strip()
    host = said.get(b"host", "")
    if not key and SIGNATURE_HEADER in said:
        check_host(host, app.allowed_hosts)
        return _principal_of_token(app, keys, said[SIGNATURE_HEADER].strip())
    if key or b"cookie" not in said:
        return app.authenticate(key, host)
    check_host(host, app.allowed_hosts)
    proxies, secure = app.settings.server.trusted_proxies, scope["scheme"] in SECURE_SCHEMES
    principal = authenticate_browser(keys, headers, host, peer, proxies, secure=secure, safe=False)
    return principal or app.authenticate("", host)


def _principal_of_token(app: Application, keys: Authenticator, token: str) -> Principal:
    """The principal of the key that the signer's tokens act as. Raises Forbidden, InvalidApiKey, ConfigError."""
    signers = list(app.settings.graphql.signers.values())
    secrets = [resolve_secret(signer.secret) for signer in signers]
    if any(len(each) < MIN_SECRET_LENGTH for each in secrets):
        raise ConfigError(
            f"a secret in [graphql.signers] is shorter than {MIN_SECRET_LENGTH} characters",
            "use a longer secret",
        )
    number, _ = verify_signed_token(token, secrets, time.time())
    return keys.principal_by_key_id(signers[number].key)


SIGNATURE_HEADER = b"x-lamatic-signature"
SECURE_SCHEMES = ("https", "wss")
INIT_HEADERS = (b"authorization", b"x-api-key", CSRF_HEADER)
"""Headers accepted in the first WebSocket message, in lower case."""


def init_headers(payload: object) -> Mapping[str, str]:
    """The INIT_HEADERS in the payload of `connection_init`, at its top level or in its `headers`."""
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("headers")
    known = {**(inner if isinstance(inner, dict) else {}), **payload}
    found = {str(name).lower(): value for name, value in known.items()}
    names = [name.decode() for name in INIT_HEADERS]
    return {name: found[name] for name in names if isinstance(found.get(name), str) and found[name].isascii()}
