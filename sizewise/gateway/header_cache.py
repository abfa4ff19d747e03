"""Cache of a connection's last request head, matched byte for byte except Content-Length; parses nothing.

The parser reads every head anew, with a call for each of its lines, and clients send the same one again and again. So
of a request that the parser has read whole its head is kept, if it was of the plainest kind; the next bytes either are
that head with another length, and then mean what they meant before, or are the parser's as all others.
"""

from __future__ import annotations

import re

MAX_HEAD_BYTES = 4096  # bytes of a head that is kept
MAX_LENGTH_DIGITS = 9  # of a length
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)[ \t]*")
_FRAMING = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"proxy-connection", b"trailer", b"te"})
"""Headers by which a parser decides where a message ends or what the next one is: such a head is never kept."""


class CachedHead:
    """What stands before the digits of the length, and what behind them up to the body."""

    __slots__ = ("_after", "_before", "_begin")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._begin = len(before)
        self._after = after

    def match_body(self, data: bytes) -> bytes | None:
        """The body in `data`, where that is this very head and a whole body, and not one byte more or less."""
        begin = self._begin
        if not data.startswith(self._before):
            return None
        end = data.find(b"\r", begin, begin + MAX_LENGTH_DIGITS + 1)
        if end < 0:
            return None
        digits = data[begin:end]
        if not digits.isdigit() or not data.startswith(self._after, end):
            return None
        body = data[end + len(self._after) :]
        return body if len(body) == int(digits) else None


def cacheable_head(data: bytes, path: bytes, headers: list[tuple[bytes, bytes]]) -> CachedHead | None:
    """The head of `data`, one POST to `path` that the parser has read from its first byte to its last, as `headers`.

    None where not every byte of it is as we would have read it too, or a word in it could move the end of the message.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    first, *lines = data[: max(end, 0)].split(b"\r\n")
    if first != b"POST %b HTTP/1.1" % path or len(lines) != len(headers):
        return None
    head, place = None, len(first) + 2
    for line, told in zip(lines, headers, strict=True):
        read = _LINE.fullmatch(line)
        if read is None or (read[1].lower(), read[2]) != told:
            return None
        name, value = told
        if name in _FRAMING or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        if name == b"content-length":
            if head is not None or not value.isdigit():
                return None
            head = CachedHead(data[: place + read.start(2)], data[place + read.end(2) : end + 4])
        place += len(line) + 2
    return head if head is not None and head.match_body(data) is not None else None
