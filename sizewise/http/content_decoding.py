"""Content decoding: gzip and deflate bodies of responses, in bounded pieces; opens no socket.

We ask for `identity`, but some servers and proxies compress unasked. Brotli and Zstandard are not in the standard
library of every Python that we support, so they are refused by name.
"""

from __future__ import annotations

import zlib

from sizewise.errors import ConfigError, UpstreamProtocolError

DECODED = ("gzip", "x-gzip", "deflate")
PIECE_BYTES = 64 * 1024  # decoded at once
MAX_RATIO = 100
"""Decoded bytes per received byte, beyond PLAIN_BYTES: text compresses to a fifth, a decompression bomb to a 1000th."""
PLAIN_BYTES = 1024 * 1024

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's `wbits`


def check_accept_encoding(value: str) -> None:
    """Raises ConfigError if the header asks for an encoding that would not be decoded."""
    for each in value.split(","):
        name = each.partition(";")[0].strip().lower()
        if name not in ("", "identity", *DECODED):
            raise ConfigError(
                f"the header `accept-encoding` asks for {name[:40]!r}, which Sizewise does not decode",
                "ask for gzip, deflate or identity, or leave the header out",
            )


class ContentDecoder:
    """`feed` what was received, then `next_piece` until it is empty; `finish` at the end.

    `encoding`: the value of Content-Encoding in lower case, such as gzip. All methods raise UpstreamProtocolError.
    """

    __slots__ = ("_decoded", "_encoding", "_received", "_stream", "_waiting")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip()
        self._stream: zlib._Decompress | None = None
        self._waiting = b""  # received and not decoded
        self._received = self._decoded = 0

    def feed(self, data: bytes) -> None:
        if self._encoding not in DECODED:
            raise UpstreamProtocolError(
                f"the response is compressed as {self._encoding[:40]!r}, which was not asked for",
                "turn compression off at the endpoint, or use gzip",
            )
        self._received += len(data)
        self._waiting += data

    def next_piece(self) -> bytes:
        """At most PIECE_BYTES; b"" if more must be received."""
        while self._waiting:
            if self._stream is None or self._stream.eof:  # gzip allows several streams, one after the other
                if len(self._waiting) < 2:
                    return b""
                self._stream = zlib.decompressobj(self._window())
            try:
                piece = self._stream.decompress(self._waiting, PIECE_BYTES)
            except zlib.error as error:
                raise self._garbled("is not") from error
            self._waiting = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if piece:
                self._decoded += len(piece)
                if self._decoded > max(PLAIN_BYTES, MAX_RATIO * self._received):
                    raise UpstreamProtocolError(
                        f"the response decompresses to more than {MAX_RATIO} times its size",
                        "check what is served at the endpoint",
                    )
                return piece
        return b""

    def finish(self) -> None:
        if self._waiting or (self._stream is not None and not self._stream.eof):
            raise self._garbled("is cut short as")

    def _window(self) -> int:
        """Deflate is zlib's format, and without its two bytes of head in what some servers send."""
        if self._encoding != "deflate":
            return _GZIP
        first, second = self._waiting[:2]
        return _ZLIB if first & 15 == 8 and (first << 8 | second) % 31 == 0 else _RAW

    def _garbled(self, how: str) -> UpstreamProtocolError:
        return UpstreamProtocolError(
            f"the response {how} {self._encoding}, as its content-encoding says",
            "check what is served at the endpoint",
        )
