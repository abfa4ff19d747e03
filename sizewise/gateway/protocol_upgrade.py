"""Protocol upgrades: accepts a WebSocket and strips an offer of HTTP/2; implements neither."""

from __future__ import annotations

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class UpgradeProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but it looks for an upgrade in the scope: after the head, `headers` discards trailers."""

    def _get_upgrade(self) -> bytes | None:
        said = {name: value.lower() for name, value in self.scope["headers"]}
        tokens = [token.strip() for token in said.get(b"connection", b"").split(b",")]
        return said.get(b"upgrade") if b"upgrade" in tokens else None


def strip_h2c_upgrade(data: bytes) -> bytes:
    """A head without its offer of HTTP/2, which Java's client sends with every first request.

    A server may ignore the offer (RFC 9110, 7.8), but the parser would switch protocols and drop the body.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\npassed-over:", head) + end + rest
