"""Protocol upgrades: accepts a WebSocket and strips an offer of HTTP/2; implements neither."""

from __future__ import annotations

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class UpgradeProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose own look for an offer reads `headers`: there the fast lane lets trailers go."""

    def _get_upgrade(self) -> bytes | None:
        said = {name: value.lower() for name, value in self.scope["headers"]}
        tokens = [token.strip() for token in said.get(b"connection", b"").split(b",")]
        return said.get(b"upgrade") if b"upgrade" in tokens else None


def strip_h2c_upgrade(data: bytes) -> bytes:
    """A head without its offer to go on in HTTP/2, which Java's client makes with every first request.

    We may pass it over (RFC 9110, 7.8); the parser instead takes what follows for another protocol and drops the body.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\npassed-over:", head) + end + rest
