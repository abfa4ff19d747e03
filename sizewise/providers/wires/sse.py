"""Server-sent events decoder and encoder; splits bytes into frames and does not read their content.

Accepts what upstreams really send: LF or CRLF, a missing space after the colon, comments, several data lines, a byte
order mark, chunks cut at any byte. Source: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

from sizewise.errors import UpstreamProtocolError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_FRAME_BYTES = 8 * 1024 * 1024  # a longer frame is an attack or an error

KEEP_ALIVE_COMMENT = b": keep-alive\n\n"
DONE_FRAME = b"data: [DONE]\n\n"


class SseDecoder:
    """Bytes in, data payloads out. The stream may be cut anywhere between two calls of `feed`."""

    __slots__ = ("_rest", "_return")

    def __init__(self) -> None:
        self._rest = bytearray()  # the unfinished frame
        self._return = False  # the last byte was CR, so a leading LF belongs to it

    def feed(self, chunk: bytes) -> list[bytes]:
        """Payloads of the frames that are complete now, including `[DONE]`, without comments and empty frames.

        Raises UpstreamProtocolError for a frame that is too long.
        """
        if self._return and chunk:
            chunk, self._return = chunk.removeprefix(b"\n"), False
        if b"\r" in chunk:
            self._return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        rest = self._rest
        if rest:  # search only the seam and the new bytes, so that a long frame is scanned once
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
                "check what is served at `base_url` in [providers.NAME]",
            )


def _data(frame: bytes) -> bytes:
    """The payload on one line: payloads are JSON, where a line break may become a space."""
    lines = []
    for line in frame.removeprefix(BYTE_ORDER_MARK).split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b" ".join(lines)


def encode_event(payload: bytes, kind: str = "") -> bytes:
    """One event with a JSON payload; `kind` is its name, left out if it is no printable text."""
    named = b"event: " + kind.encode() + b"\n" if kind and kind.isprintable() else b""
    return named + b"data: " + one_line(payload) + b"\n\n"


def one_line(payload: bytes) -> bytes:
    """JSON without line breaks, which would end the data line of its event. Clients and upstreams write them between
    values; within a string JSON has none.
    """
    if b"\n" in payload or b"\r" in payload:
        return payload.replace(b"\n", b" ").replace(b"\r", b" ")
    return payload
