"""Cache of a connection's last request head, matched byte for byte except Content-Length; parses nothing.

Clients send the same head again and again, and parsing costs a call per line. So after the parser has read a whole
request of the simplest kind, its head is cached. If the next bytes are that head with another length, the parsed result
is reused; otherwise they go to the parser.
"""

from __future__ import annotations

import re

MAX_HEAD_BYTES = 4096  # of a cached head
MAX_LENGTH_DIGITS = 9  # of Content-Length
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)[ \t]*")
_FRAMING = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"proxy-connection", b"trailer", b"te"})
"""Headers that affect where a message ends or what follows it: a head with one of them is never cached."""


class CachedHead:
    """The bytes before the digits of Content-Length, and those between them and the body."""

    __slots__ = ("_after", "_before", "_begin")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._begin = len(before)
        self._after = after

    def match_body(self, data: bytes) -> bytes | None:
        """The body, if `data` is this head with one complete body and nothing more."""
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
    """The head of `data`, which is one POST to `path` that the parser has read completely, as `headers`.

    None if our reading of a byte differs from the parser's, or if a header affects where the message ends.
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
