"""Proxy selection from the values of HTTPS_PROXY, HTTP_PROXY and NO_PROXY; opens no sockets, reads no environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Proxy URLs, '' for none, and the hosts reached without a proxy.

    An entry of `no_proxy` is a host, a domain ('.example.com', with its subdomains), an address, a network
    ('10.0.0.0/8'), each optionally with ':port', or '*' for all.
    """

    http: str = field(default="", repr=False)  # may contain a password
    https: str = field(default="", repr=False)
    no_proxy: tuple[str, ...] = ()

    def proxy_for(self, scheme: str, host: str, port: int) -> str:
        """The proxy's URL, '' for none. Loopback addresses never use a proxy."""
        if is_loopback(host) or any(_covers(each.strip().lower(), host, port) for each in self.no_proxy):
            return ""
        return self.https if scheme == "https" else self.http


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _covers(rule: str, host: str, port: int) -> bool:
    if rule in ("*", host):
        return bool(rule)
    try:
        return ip_address(host) in ip_network(rule.strip("[]"), strict=False)
    except ValueError:
        pass  # at least one of them is not an address
    name, _, only = rule.rpartition(":")
    if name and only.isdigit():
        return int(only) == port and _covers(name.strip("[]"), host, port)
    domain = rule.removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))
