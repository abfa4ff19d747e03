"""Who comes to /graphql: by a key, else by a signed token, else by a session and the proof of its page."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec.structs import replace
from starlette.types import Scope

from sizewise.app.application import House
from sizewise.auth.browser_security import PROOF, far_end, meant, signed_in
from sizewise.auth.key_scope import admit
from sizewise.auth.signed_tokens import LEAST, verified
from sizewise.errors import ConfigError, Forbidden
from sizewise.principal import Caller
from sizewise.settings.load import secret

Headers = list[tuple[bytes, bytes]]


def enter(house: House, scope: Scope, more: Mapping[str, str] | None = None) -> Caller:
    """`more`: what a WebSocket said in its first message, as headers that a browser cannot send with it.

    Raises Forbidden or BadKey.
    """
    headers: Headers = [*scope["headers"], *((name.encode(), value.encode()) for name, value in (more or {}).items())]
    peer, proxies = (scope.get("client") or ("",))[0], house.settings.server.trusted_proxies
    caller = _caller(house, headers, scope, peer)
    admit(caller, "graphql", far_end(peer, headers, proxies))
    return _working(house, caller, headers)


def _working(house: House, caller: Caller, headers: Headers) -> Caller:
    """In the project that `x-project-id` names, where the caller sees them all. A name that no project has means
    nothing: clients of Lamatic's must send one. Raises Forbidden."""
    project = next((value.decode("latin-1").strip() for name, value in headers if name == b"x-project-id"), "")
    if not project or project == caller.project or not house.means.keeper.accounts.keys.project(project):
        return caller
    if not caller.wide:
        hint = "leave x-project-id out, or use a key of that project"
        raise Forbidden(f"{caller.key!r} works in the project {caller.project!r} alone", hint)
    return replace(caller, project=project)


def _caller(house: House, headers: Headers, scope: Scope, peer: str) -> Caller:
    said = {name: value.decode("latin-1") for name, value in headers}
    scheme, _, key = said.get(b"authorization", "").partition(" ")
    key = (key if scheme.lower() == "bearer" else said.get(b"x-api-key", "")).strip()
    host = said.get(b"host", "")
    if not key and SIGNATURE in said:
        meant(host, house.hosts)
        return _signed(house, said[SIGNATURE].strip())
    if key or b"cookie" not in said:
        return house.caller(key, host)
    meant(host, house.hosts)
    keys, proxies, secure = (
        house.means.keeper.accounts.keys,
        house.settings.server.trusted_proxies,
        scope["scheme"] in SECURE,
    )
    caller = signed_in(keys, headers, host, peer, proxies, secure=secure, safe=False)
    return caller or house.caller("", host)


def _signed(house: House, token: str) -> Caller:
    """Whoever the key is that the signer's tokens stand for. Raises Forbidden, BadKey."""
    signers = list(house.settings.graphql.signers.values())
    secrets = [secret(signer.secret) for signer in signers]
    if any(len(each) < LEAST for each in secrets):
        raise ConfigError(f"a secret in [graphql.signers] is shorter than {LEAST} characters", "take a longer one")
    number, _ = verified(token, secrets, time.time())
    return house.means.keeper.accounts.keys.held(signers[number].key)


SIGNATURE = b"x-lamatic-signature"
SECURE = ("https", "wss")
SAID = (b"authorization", b"x-api-key", PROOF)
"""What a first message may say, by the names of the headers in small letters."""


def said(payload: object) -> Mapping[str, str]:
    """Out of the payload of `connection_init`: the headers that no browser sends with it; `headers` may hold them."""
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("headers")
    known = {**(inner if isinstance(inner, dict) else {}), **payload}
    found = {str(name).lower(): value for name, value in known.items()}
    names = [name.decode() for name in SAID]
    return {name: found[name] for name in names if isinstance(found.get(name), str) and found[name].isascii()}
