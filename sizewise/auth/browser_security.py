"""What a browser sends beside its wish: where it meant to go, its session, and whether a page of ours sent it; pure.

A key in a header is put there by whoever wants something. A cookie goes along by itself, so what came with one and
changes something needs a word that only our own pages can know, and must not come from a page of somebody else's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from sizewise.auth.authenticator import Keys
from sizewise.auth.sessions import shows
from sizewise.errors import Forbidden
from sizewise.principal import Caller

Headers = Iterable[tuple[bytes, bytes]]
"""Names in small letters."""

COOKIE = "sizewise"
PROOF = b"x-sizewise-csrf"
SITES = ("same-origin",)


def meant(host: str, hosts: Collection[str]) -> None:
    """Raises Forbidden for a Host that we do not answer to: a web page that had its name rebound to our address."""
    if hosts and host and named(host) not in hosts:  # browsers always name one
        hint = "add it to `allowed_hosts` in [server] of sizewise.toml"
        raise Forbidden(f"this server does not answer to the host name {named(host)[:100]!r}", hint)


def named(host: str) -> str:
    """A Host without its port."""
    return host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()


def cookie(headers: Headers, secure: bool, name: str = COOKIE) -> str:
    """The value of our cookie; empty where there is none, or more than one: then somebody else set one of them."""
    wanted = f"__Host-{name}" if secure else name
    said = "; ".join(value.decode("latin-1") for field, value in headers if field == b"cookie")
    found = [
        value.strip() for each in said.split(";") for key, _, value in [each.partition("=")] if key.strip() == wanted
    ]
    return found[0] if len(found) == 1 else ""


def demand_ours(headers: Headers, host: str, token: str = "") -> None:
    """Raises Forbidden unless a page of ours sent this and, where there is a session, knows its word (see `csrf`)."""
    said = {name: value.decode("latin-1") for name, value in headers}
    site, origin = said.get(b"sec-fetch-site"), said.get(b"origin")
    ours = not token  # no browser leaves out both; and whoever has no session yet has nothing to be abused
    if site is not None:
        ours = site in SITES
    elif origin is not None:
        ours = _host(origin) == host.lower()
    if not ours:
        hint = "send it from a page of this server, or with a key in `Authorization` in place of a cookie"
        raise Forbidden("this request does not come from a page of this server", hint)
    if token and not shows(said.get(PROOF, ""), token):
        hint = f"send the `csrf` of GET /auth/session as {PROOF.decode()}"
        raise Forbidden("this request does not show that a page of ours sent it", hint)


def signed_in(
    keys: Keys, headers: Headers, host: str, peer: str, proxies: tuple[str, ...], *, secure: bool, safe: bool
) -> Caller | None:
    """Whose session came along; None where none did. Raises BadKey, and Forbidden where it may not be used for this:
    only what is `safe` needs no proof that a page of ours sent it."""
    token = cookie(headers, encrypted(secure, peer, headers, proxies))
    if not token:
        return None
    caller, _ = keys.session(token)
    if not safe:
        demand_ours(headers, host, token)
    return caller


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def far_end(peer: str, headers: Headers, proxies: tuple[str, ...]) -> str:
    """The client's address: `peer`, or where that is one of `proxies` the last in X-Forwarded-For that is none."""
    if not proxies or not _among(peer, proxies):
        return peer
    said = ",".join(value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for")
    for each in reversed([each.strip() for each in said.split(",") if each.strip()]):
        peer = each
        if not _among(each, proxies):
            return each  # what stands before it is hearsay
    return peer


def encrypted(secure: bool, peer: str, headers: Headers, proxies: tuple[str, ...]) -> bool:
    """Whether the client's connection is: by TLS here (`secure`), or at a proxy that says so."""
    if secure or not proxies or not _among(peer, proxies):
        return secure
    said = [value.strip().lower() for name, value in headers if name == b"x-forwarded-proto"]
    return said[-1:] == [b"https"]


def _among(address: str, networks: tuple[str, ...]) -> bool:
    try:
        came = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(came, "ipv4_mapped", None)
    return any((mapped or came) in ip_network(each) for each in networks)
