"""What a client of the gateway sees of each fault of an upstream, at every door; the promise, and not how it is kept.

tests/gateway/test_fault_matrix.py holds the gateway to it, and docs/reference/what-a-client-sees.md shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class End:
    """The one end of an answer: good (status 200 and no code), refused, or `cut`: after the first word, an error event.

    `code` is that of the attempt, in the record; the client of a cut stream is told stream_interrupted.
    """

    status: int = 200
    code: str = ""
    cut: bool = False


GOOD = End()
SLOW = End(504, "upstream_timeout")
DOWN = End(502, "upstream_unreachable")
GARBLED = End(502, "upstream_garbled")
FAILED = End(502, "upstream_error")
BUSY = End(503, "upstream_busy")
REFUSED = End(400, "upstream_refused")


def cut(by: End) -> End:
    return End(502, by.code, True)


@dataclass(frozen=True, slots=True)
class Row:
    """`says`: what the upstream does. `whole`, `stream`: the end of each; None where there is no such fault."""

    says: str
    whole: End | None
    stream: End | None
    retry_after: int | None = None  # seconds that a client is told, where the upstream names them


def _both(says: str, end: End, retry_after: int | None = None) -> Row:
    return Row(says, end, end, retry_after)


ENDS: Mapping[str, Row] = {
    "hang": _both("says nothing at all", SLOW),
    "hang-head": _both("falls silent behind the head of its answer", SLOW),
    "hang-word": Row("falls silent after the first word", SLOW, cut(SLOW)),
    "closes": _both("closes the connection without an answer", DOWN),
    "reset": _both("resets the connection without an answer", DOWN),
    "reset-head": _both("resets it behind the head", GARBLED),
    "reset-word": Row("resets it after the first word", GARBLED, cut(GARBLED)),
    "short": Row("sends less than its content-length", GARBLED, cut(GARBLED)),
    "drips": _both("sends byte after byte, slowly", GOOD),
    "utf8-cut": _both("cuts a character in two, at the edge of a chunk", GOOD),
    "utf8-broken": Row("sends half a character and never the rest", GARBLED, cut(GARBLED)),
    "utf8-aside": Row("does so in a field that nobody reads", GARBLED, cut(GARBLED)),
    "huge": _both("sends a line, or a body, beyond all bounds", GARBLED),
    "endless": Row("never comes to an end", SLOW, cut(SLOW)),
    "endless-comments": _both("sends signs of life for ever, and no word", SLOW),
    "endless-head": _both("sends headers for ever", GARBLED),
    "no-http": _both("speaks another protocol", GARBLED),
    "bad-chunks": Row("breaks its chunked encoding", GARBLED, cut(GARBLED)),
    "http-1.0": _both("speaks HTTP/1.0, and ends by closing", GOOD),
    "html": _both("sends a page of HTML, with status 200", GARBLED),
    "empty": _both("sends nothing, with status 200", GARBLED),
    "gzip": _both("compresses what nobody asked it to", GARBLED),
    "no-sse": _both("sends JSON, but no events (or JSON of another shape)", GARBLED),
    "no-json": _both("sends what is no JSON", GARBLED),
    "half-frame": Row("ends, well-mannered, in the middle of something", GARBLED, cut(GARBLED)),
    "no-finish": Row("ends without saying why", GARBLED, cut(GARBLED)),
    "done-twice": Row("says twice that it is over", None, GOOD),
    "after-done": Row("goes on after it has said that it is over", None, GOOD),
    "error-first": _both("sends an error, with status 200", FAILED),
    "error-word": Row("sends an error after the first word", None, cut(FAILED)),
    "busy": _both("is busy (429)", BUSY),
    "busy-seconds": _both("is busy, and says for how many seconds", BUSY, 7),
    "busy-date": _both("is busy, and says until when", BUSY, 7),
    "broken": _both("fails (500)", FAILED),
    "broken-once": _both("fails once", GOOD),
    "broken-burst": _both("fails several times in a row", FAILED),
    "refuses": _both("refuses the request (400)", REFUSED),
    "refuses-garbled": _both("fails (500), in words that are no UTF-8", FAILED),
    "locked": _both("does not accept our key (401)", FAILED),
    "redirect": _both("sends us elsewhere (302)", FAILED),
    "tells-key": _both("refuses the request, and repeats our key", REFUSED),
    "breaks-with-key": Row("fails, and repeats our key", FAILED, cut(FAILED)),
}
