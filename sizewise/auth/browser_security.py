"""Browser request checks: Host allowlist, session cookie, CSRF and client address behind proxies; pure functions.

A client sends a key in a header deliberately, but a browser sends a cookie by itself. So a request with a cookie that
changes something must also have the same origin and a CSRF token, which only pages of this server know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_network
from urllib.parse import urlsplit

from sizewise.auth.authenticator import Authenticator
from sizewise.auth.ip_addresses import parse_ip
from sizewise.auth.sign_in_sessions import verify_csrf_token
from sizewise.errors import Forbidden
from sizewise.principal import Principal

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case."""

SESSION_COOKIE = "sizewise"
CSRF_HEADER = b"x-sizewise-csrf"
ALLOWED_FETCH_SITES = ("same-origin",)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def allowed_hosts(bind_host: str, more: Iterable[str]) -> frozenset[str]:
    """Host names that a server bound to `bind_host` accepts; empty: all."""
    return frozenset((*LOOPBACK, *more)) if bind_host in LOOPBACK else frozenset()


def check_host(host: str, allowed_hosts: Collection[str]) -> None:
    """Raises Forbidden for a Host that is not allowed. Prevents DNS rebinding."""
    if allowed_hosts and host and strip_port(host) not in allowed_hosts:  # browsers always send a Host
        hint = "add it to `allowed_hosts` in [server] of sizewise.toml"
        raise Forbidden(f"this server does not accept the host name {strip_port(host)[:100]!r}", hint)


def check_origin(headers: Headers, host: str, allowed_hosts: Collection[str]) -> None:
    """Raises Forbidden for a request of a page that is neither of this server nor of one of `allowed_hosts`.

    Programs send no Origin. Required by the Model Context Protocol, against DNS rebinding.
    """
    for name, value in headers:
        if name == b"origin":
            came = _host(value.decode("latin-1").strip())
            if not came or (came != host.lower() and strip_port(came) not in allowed_hosts):
                hint = "call it from a program, or add the page's host name to `allowed_hosts` in [server]"
                raise Forbidden(f"this server does not accept requests from pages of {came[:100]!r}", hint)


def strip_port(host: str) -> str:
    return host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()


def read_cookie(headers: Headers, secure: bool, name: str = SESSION_COOKIE) -> str:
    """The value of the cookie; empty if there is none, or several: then another site may have set one of them."""
    wanted = f"__Host-{name}" if secure else name
    said = "; ".join(value.decode("latin-1") for field, value in headers if field == b"cookie")
    found = [
        value.strip() for each in said.split(";") for key, _, value in [each.partition("=")] if key.strip() == wanted
    ]
    return found[0] if len(found) == 1 else ""


def check_csrf(headers: Headers, host: str, token: str = "") -> None:
    """Raises Forbidden unless the request has the same origin and, if there is a session, its CSRF token."""
    said = {name: value.decode("latin-1") for name, value in headers}
    site, origin = said.get(b"sec-fetch-site"), said.get(b"origin")
    ours = not token  # browsers send at least one of the two; without a session, there is nothing to abuse
    if site is not None:
        ours = site in ALLOWED_FETCH_SITES
    elif origin is not None:
        ours = _host(origin) == host.lower()
    if not ours:
        hint = "send it from a page of this server, or with an API key in `Authorization` instead of the cookie"
        raise Forbidden("the request does not come from a page of this server", hint)
    if token and not verify_csrf_token(said.get(CSRF_HEADER, ""), token):
        hint = f"send the `csrf` of GET /auth/session as {CSRF_HEADER.decode()}"
        raise Forbidden("the request has no valid CSRF token", hint)


def authenticate_browser(
    authenticator: Authenticator,
    headers: Headers,
    host: str,
    peer: str,
    proxies: tuple[str, ...],
    *,
    secure: bool,
    safe: bool,
) -> Principal | None:
    """The principal of the session cookie; None if there is none. Raises InvalidApiKey, and Forbidden if the request is
    not `safe` and fails the CSRF check.
    """
    token = read_cookie(headers, is_https(secure, peer, headers, proxies))
    if not token:
        return None
    principal, _ = authenticator.authenticate_session(token)
    if not safe:
        check_csrf(headers, host, token)
    return principal


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def client_address(peer: str, headers: Headers, proxies: tuple[str, ...]) -> str:
    """`peer`, or if that is one of `proxies`, the last address in X-Forwarded-For that is not."""
    if not proxies or not _in_networks(peer, proxies):
        return peer
    said = ",".join(value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for")
    for each in reversed([each.strip() for each in said.split(",") if each.strip()]):
        peer = each
        if not _in_networks(each, proxies):
            return each  # addresses before it can be forged
    return peer


def is_https(secure: bool, peer: str, headers: Headers, proxies: tuple[str, ...]) -> bool:
    """Whether the client uses HTTPS: TLS ends here (`secure`), or at a trusted proxy that reports it."""
    if secure or not proxies or not _in_networks(peer, proxies):
        return secure
    said = [value.strip().lower() for name, value in headers if name == b"x-forwarded-proto"]
    return said[-1:] == [b"https"]


def _in_networks(address: str, networks: tuple[str, ...]) -> bool:
    came = parse_ip(address)
    return came is not None and any(came in ip_network(each) for each in networks)
