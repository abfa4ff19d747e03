"""Who comes to /graphql: by a key, and only where none came by a session and a proof of its page; reads no body."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from sizewise.accounts.browser import PROOF, far_end, meant, signed_in
from sizewise.accounts.scope import admit
from sizewise.caller import Caller
from sizewise.house import House

Headers = list[tuple[bytes, bytes]]


def enter(house: House, scope: Scope, more: Mapping[str, str] | None = None) -> Caller:
    """`more`: what a WebSocket said in its first message, as headers that a browser cannot send with it.

    Raises Forbidden or BadKey.
    """
    headers: Headers = [*scope["headers"], *((name.encode(), value.encode()) for name, value in (more or {}).items())]
    peer, proxies = (scope.get("client") or ("",))[0], house.settings.server.proxies
    caller = _caller(house, headers, scope, peer)
    admit(caller, "graphql", far_end(peer, headers, proxies))
    return caller


def _caller(house: House, headers: Headers, scope: Scope, peer: str) -> Caller:
    said = {name: value.decode("latin-1") for name, value in headers}
    scheme, _, key = said.get(b"authorization", "").partition(" ")
    key = (key if scheme.lower() == "bearer" else said.get(b"x-api-key", "")).strip()
    host = said.get(b"host", "")
    if key or b"cookie" not in said:
        return house.caller(key, host)
    meant(host, house.hosts)
    keys, proxies, secure = house.means.keeper.accounts.keys, house.settings.server.proxies, scope["scheme"] in SECURE
    caller = signed_in(keys, headers, host, peer, proxies, secure=secure, safe=False)
    return caller or house.caller("", host)


SECURE = ("https", "wss")
SAID = ("authorization", "x-api-key", PROOF.decode())
"""What a first message may say, by the names of the headers in small letters."""


def said(payload: object) -> Mapping[str, str]:
    """Out of the payload of `connection_init`: the headers that no browser sends with it; `headers` may hold them."""
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("headers")
    known = {**(inner if isinstance(inner, dict) else {}), **payload}
    found = {str(name).lower(): value for name, value in known.items()}
    return {name: found[name] for name in SAID if isinstance(found.get(name), str) and found[name].isascii()}
