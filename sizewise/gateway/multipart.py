"""Parser of multipart/form-data (RFC 7578) as it arrives: header and content of each part, piece by piece; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from msgspec import Struct

from sizewise.errors import BadBody

MAX_HEADER_BYTES = 16 * 1024  # of one part
MAX_PARTS = 32
MAX_BOUNDARY_CHARS = 70  # RFC 2046

_PARAMETER = re.compile(r';\s*([\w!#$&+.^`|~*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')


class PartHeader(Struct, frozen=True):
    """`filename` is None for a field that is no file. `content_type`: of a file, as the client says."""

    name: str
    filename: str | None = None
    content_type: str = ""


FormEvent = PartHeader | bytes | None
"""The header of a part, some of its content, and None at its end."""


def boundary_of(content_type: str) -> bytes:
    """Raises BadBody if the body is no form."""
    kind, _, _ = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        hint = "send multipart/form-data, as SDKs do, or curl with -F"
        raise BadBody(f"the body is {kind.strip()[:100] or 'of no type'!r} and no form", hint)
    boundary = _parameters(content_type).get("boundary", "")
    if not 0 < len(boundary) <= MAX_BOUNDARY_CHARS or not boundary.isascii():
        raise BadBody("the header `content-type` has no valid boundary", "let your HTTP client make the header")
    return boundary.encode()


class MultipartParser:
    """`feed` all pieces in order, then `finish`. Holds a header at most. Raises BadBody."""

    def __init__(self, boundary: bytes) -> None:
        self.is_done = False
        """Whether the final boundary was read; what follows is ignored."""
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # the first boundary may be the first bytes
        self._read = self._preamble
        self._parts = 0

    def feed(self, piece: bytes) -> Iterator[FormEvent]:
        self._buffer += piece
        while not self.is_done:
            events = self._read()
            if events is None:
                return
            yield from events

    def finish(self) -> None:
        if not self.is_done:
            raise BadBody("the form ends before its final boundary", "send it again, and check `content-length`")

    def _preamble(self) -> list[FormEvent] | None:
        return self._until_delimiter(keep=False)

    def _content(self) -> list[FormEvent] | None:
        return self._until_delimiter(keep=True)

    def _until_delimiter(self, *, keep: bool) -> list[FormEvent] | None:
        """None: more is needed."""
        at = self._buffer.find(self._delimiter)
        if at < 0:
            ready = len(self._buffer) - len(self._delimiter) + 1  # the rest may be its beginning
            if ready <= 0:
                return None
            content = bytes(self._buffer[:ready])
            del self._buffer[:ready]
            return [content] if keep else []
        content = bytes(self._buffer[:at])
        del self._buffer[: at + len(self._delimiter)]
        self._read = self._after_delimiter
        return ([content, None] if content else [None]) if keep else []

    def _after_delimiter(self) -> list[FormEvent] | None:
        if self._buffer[:2] == b"--":
            self.is_done = True
            return []
        end = self._buffer.find(b"\r\n")
        if end < 0:
            self._check_size(len(self._buffer))
            return None
        if self._buffer[:end].strip(b" \t"):
            raise BadBody("the form has text behind a boundary", "let your HTTP client write the form")
        del self._buffer[:end]  # leaves the line end: headers may be empty
        self._read = self._header
        return []

    def _header(self) -> list[FormEvent] | None:
        end = self._buffer.find(b"\r\n\r\n")
        self._check_size(len(self._buffer) if end < 0 else end)
        if end < 0:
            return None
        lines = bytes(self._buffer[:end]).decode("utf-8", "replace").split("\r\n")
        del self._buffer[: end + 4]
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadBody(f"the form has more than {MAX_PARTS} parts", "send only the known fields")
        self._read = self._content
        return [_part_header(lines)]

    def _check_size(self, size: int) -> None:
        if size > MAX_HEADER_BYTES:
            raise BadBody(f"a header of the form is larger than {MAX_HEADER_BYTES} bytes", "use a shorter file name")


def _part_header(lines: list[str]) -> PartHeader:
    headers: dict[str, str] = {}
    for line in lines:
        title, _, value = line.partition(":")
        headers.setdefault(title.strip().lower(), value)
    found = _parameters(headers.get("content-disposition", ""))
    filename = found.get("filename")
    if (extended := found.get("filename*")) is not None:
        filename = unquote(extended.rpartition("'")[2], "utf-8", "replace")
    if "name" not in found:
        raise BadBody("a part of the form has no name", "let your HTTP client write the form")
    return PartHeader(found["name"], filename, headers.get("content-type", "").strip()[:200])


def _parameters(value: str) -> dict[str, str]:
    """The parameters behind the first semicolon, by lower-case name."""
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(value):
        found.setdefault(name.lower(), re.sub(r'\\(["\\])', r"\1", quoted) if quoted else plain)
    return found
