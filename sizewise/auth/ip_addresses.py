"""IP addresses of clients as they are compared and counted: IPv4 is IPv4, also on a socket of IPv6; pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """None if it is no address. `::ffff:192.0.2.1`, as a server on `::` sees a client of IPv4, is 192.0.2.1."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
