"""The expected outcome of each upstream fault, as a client of the gateway sees it.

tests/gateway/test_fault_matrix.py checks the gateway against it; docs/reference/what-a-client-sees.md is generated from
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExpectedOutcome:
    """How a request ends: success (status 200, no code), an error, or `interrupted`: an error event after the first
    token.

    `code`: the error code of the attempt in the record. The client of an interrupted stream gets stream_interrupted.
    """

    status: int = 200
    code: str = ""
    interrupted: bool = False


GOOD = ExpectedOutcome()
SLOW = ExpectedOutcome(504, "upstream_timeout")
DOWN = ExpectedOutcome(502, "upstream_unreachable")
GARBLED = ExpectedOutcome(502, "upstream_garbled")
FAILED = ExpectedOutcome(502, "upstream_error")
BUSY = ExpectedOutcome(503, "upstream_busy")
REFUSED = ExpectedOutcome(400, "upstream_refused")


def interrupted(outcome: ExpectedOutcome) -> ExpectedOutcome:
    return ExpectedOutcome(502, outcome.code, True)


@dataclass(frozen=True, slots=True)
class FaultExpectation:
    """`description`: what the upstream does. `non_streaming`, `streaming`: how each ends; None if not possible."""

    description: str
    non_streaming: ExpectedOutcome | None
    streaming: ExpectedOutcome | None
    retry_after: int | None = None  # seconds; the client gets it if the upstream sends it


def _both(says: str, end: ExpectedOutcome, retry_after: int | None = None) -> FaultExpectation:
    return FaultExpectation(says, end, end, retry_after)


FAULT_EXPECTATIONS: Mapping[str, FaultExpectation] = {
    "hang": _both("says nothing at all", SLOW),
    "hang-head": _both("falls silent behind the head of its answer", SLOW),
    "hang-word": FaultExpectation("falls silent after the first word", SLOW, interrupted(SLOW)),
    "closes": _both("closes the connection without an answer", DOWN),
    "reset": _both("resets the connection without an answer", DOWN),
    "reset-head": _both("resets it behind the head", GARBLED),
    "reset-word": FaultExpectation("resets it after the first word", GARBLED, interrupted(GARBLED)),
    "short": FaultExpectation("sends less than its content-length", GARBLED, interrupted(GARBLED)),
    "drips": _both("sends byte after byte, slowly", GOOD),
    "utf8-cut": _both("cuts a character in two, at the edge of a chunk", GOOD),
    "utf8-broken": FaultExpectation("sends half a character and never the rest", GARBLED, interrupted(GARBLED)),
    "utf8-aside": FaultExpectation("does so in a field that nobody reads", GARBLED, interrupted(GARBLED)),
    "huge": _both("sends a line, or a body, beyond all bounds", GARBLED),
    "endless": FaultExpectation("never comes to an end", SLOW, interrupted(SLOW)),
    "endless-comments": _both("sends signs of life for ever, and no word", SLOW),
    "endless-head": _both("sends headers for ever", GARBLED),
    "no-http": _both("speaks another protocol", GARBLED),
    "bad-chunks": FaultExpectation("breaks its chunked encoding", GARBLED, interrupted(GARBLED)),
    "http-1.0": _both("speaks HTTP/1.0, and ends by closing", GOOD),
    "html": _both("sends a page of HTML, with status 200", GARBLED),
    "empty": _both("sends nothing, with status 200", GARBLED),
    "gzip": _both("compresses what nobody asked it to", GARBLED),
    "no-sse": _both("sends JSON, but no events (or JSON of another shape)", GARBLED),
    "no-json": _both("sends what is no JSON", GARBLED),
    "half-frame": FaultExpectation("ends, well-mannered, in the middle of something", GARBLED, interrupted(GARBLED)),
    "no-finish": FaultExpectation("ends without saying why", GARBLED, interrupted(GARBLED)),
    "done-twice": FaultExpectation("says twice that it is over", None, GOOD),
    "after-done": FaultExpectation("goes on after it has said that it is over", None, GOOD),
    "error-first": _both("sends an error, with status 200", FAILED),
    "error-word": FaultExpectation("sends an error after the first word", None, interrupted(FAILED)),
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
    "breaks-with-key": FaultExpectation("fails, and repeats our key", FAILED, interrupted(FAILED)),
}
