"""Protocol upgrades: accepts a WebSocket, and passes over every other offer with its request; implements neither."""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class UpgradeProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but it looks for an upgrade in the scope: after the head, `headers` discards trailers."""

    _passes_over = False  # whether the head that was read last offers a protocol that is not spoken here

    def _get_upgrade(self) -> bytes | None:
        said = {name: value.lower() for name, value in self.scope["headers"]}
        tokens = [token.strip() for token in said.get(b"connection", b"").split(b",")]
        return said.get(b"upgrade") if b"upgrade" in tokens else None

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but without its timer for idle connections, which the subclass replaces."""
        while data:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self._should_upgrade():
                    return self.handle_websocket_upgrade()
                if not self._passes_over:
                    return self._unsupported_upgrade_warning()
                data = self._without_offer() + data[offer.args[0] :]
            except httptools.HttpParserError:
                return self.send_400_response("Invalid HTTP request received.")

    def passes_over(self) -> bool:
        """Whether the complete head offers a protocol that is not spoken here. It is then read again without the offer.

        A server may ignore an offer (RFC 9110, 7.8), such as `h2c`, which Java's client makes with every first request.
        But the parser takes all that follows for the other protocol, and drops the body.
        """
        self._passes_over = (
            self.parser.should_upgrade()
            and not self._should_upgrade()
            and any(name == b"upgrade" for name, _ in self.scope["headers"])  # CONNECT has none
        )
        return self._passes_over

    def _without_offer(self) -> bytes:
        """The head that was read last without its offer, for a new parser."""
        start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%b: %b\r\n" % each for each in self.scope["headers"] if each[0] != b"upgrade"]
        self._passes_over = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"".join([start, *fields, b"\r\n"])
