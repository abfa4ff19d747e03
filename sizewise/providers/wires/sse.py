"""Server-sent events, read and written; knows frames of bytes and nothing of what is in them.

Read as upstreams really send them: LF or CRLF, with or without a space after the colon, comments, several data lines,
cut at any byte, many frames at once. Source: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

from sizewise.errors import UpstreamGarbled

MAX_FRAME = 8 * 1024 * 1024  # bytes; a longer line is an attack or a fault, never a word

COMMENT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


class Frames:
    """Bytes in, data payloads out. `feed` may be given any cut of the stream; `rest` is what no frame has closed."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Payloads of all frames that are complete now, `[DONE]` included, comments and empty frames left out."""
        data = self.rest + chunk if self.rest else chunk
        if b"\r" in data:
            if data.endswith(b"\r"):  # a CRLF may be cut in half: wait for the other half
                self.rest = data
                self._bound()
                return []
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, self.rest = data.split(b"\n\n")
        self._bound()
        payloads: list[bytes] = []
        for frame in whole:
            if frame.startswith(b"data: ") and b"\n" not in frame:
                payloads.append(frame[6:])
            elif payload := _data(frame):
                payloads.append(payload)
        return payloads

    def _bound(self) -> None:
        if len(self.rest) > MAX_FRAME:
            raise UpstreamGarbled(
                f"the upstream sent a stream frame of more than {MAX_FRAME} bytes", "check what answers at its base_url"
            )


def _data(frame: bytes) -> bytes:
    lines = []
    for line in frame.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(lines)


def frame(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"
