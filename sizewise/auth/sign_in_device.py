"""Where a sign-in comes from, in words: browser and system family, and network prefix; never the whole address."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, ip_network

from sizewise.auth.ip_addresses import parse_ip

BROWSERS: Sequence[tuple[str, str]] = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrom", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python", "Python"),
)
"""Part of a User-Agent -> family. The first that fits: browsers also name those that they imitate."""
SYSTEMS: Sequence[tuple[str, str]] = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device_family(user_agent: str) -> str:
    """As 'Firefox on Linux'; empty if neither is known."""
    browser, system = (
        next((family for part, family in known if part in user_agent), "") for known in (BROWSERS, SYSTEMS)
    )
    return f"{browser} on {system}" if browser and system else browser or system


def network_prefix(address: str) -> str:
    """The /24 network of an IPv4 address, the /48 of an IPv6 address; empty for anything else."""
    came = parse_ip(address)
    if came is None:
        return ""
    return str(ip_network((came, 24 if isinstance(came, IPv4Address) else 48), strict=False))
