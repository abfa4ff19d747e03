"""Server-sent events decoder and encoder; knows frames of bytes and nothing of their content.

Read as upstreams really send them: LF or CRLF, with or without a space after the colon, comments, several data lines,
cut at any byte, many frames at once. Source: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

from sizewise.errors import UpstreamProtocolError

MAX_FRAME_BYTES = 8 * 1024 * 1024  # bytes; a longer line is an attack or a fault, never a word

KEEP_ALIVE_COMMENT = b": keep-alive\n\n"
DONE_FRAME = b"data: [DONE]\n\n"


class SseDecoder:
    """Bytes in, data payloads out. `feed` may be given any cut of the stream."""

    __slots__ = ("_rest", "_return")

    def __init__(self) -> None:
        self._rest = bytearray()  # what no frame has closed
        self._return = False  # the last byte was a CR: a line's end, and a LF behind it belongs to it

    def feed(self, chunk: bytes) -> list[bytes]:
        """Payloads of all frames that are complete now, `[DONE_FRAME]` included, comments and empty frames left out.

        Raises UpstreamProtocolError for a frame that is too long.
        """
        if self._return and chunk:
            chunk, self._return = chunk.removeprefix(b"\n"), False
        if b"\r" in chunk:
            self._return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        rest = self._rest
        if rest:  # only the seam and what is new can close it: a long frame is looked at once, not with every chunk
            seam = len(rest) - 1
            rest += chunk
            if rest.find(b"\n\n", seam) < 0:
                self._check_size()
                return []
            chunk = bytes(rest)
            rest.clear()
        *whole, last = chunk.split(b"\n\n")
        if last:
            rest += last
            self._check_size()
        payloads: list[bytes] = []
        for frame in whole:
            if frame.startswith(b"data: ") and b"\n" not in frame:
                payloads.append(frame[6:])
            elif payload := _data(frame):
                payloads.append(payload)
        return payloads

    def _check_size(self) -> None:
        if len(self._rest) > MAX_FRAME_BYTES:
            raise UpstreamProtocolError(
                f"the upstream sent a stream frame of more than {MAX_FRAME_BYTES} bytes",
                "check what answers at its base_url",
            )


def _data(frame: bytes) -> bytes:
    """The payload, in one line: ours are JSON, which may have a line break wherever it may have a space."""
    lines = []
    for line in frame.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b" ".join(lines)


def encode_event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"
