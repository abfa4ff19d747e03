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
BUSY = ExpectedOutcome(429, "upstream_busy")
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
    "hang": _both("sends nothing at all", SLOW),
    "hang-head": _both("stalls after the response head", SLOW),
    "hang-word": FaultExpectation("stalls after the first token", SLOW, interrupted(SLOW)),
    "closes": _both("closes the connection without a response", DOWN),
    "reset": _both("resets the connection without a response", DOWN),
    "reset-head": _both("resets the connection after the response head", GARBLED),
    "reset-word": FaultExpectation("resets the connection after the first token", GARBLED, interrupted(GARBLED)),
    "short": FaultExpectation("sends fewer bytes than its content-length", GARBLED, interrupted(GARBLED)),
    "drips": _both("sends single bytes, slowly", GOOD),
    "utf8-cut": _both("splits a character across two chunks", GOOD),
    "utf8-broken": FaultExpectation("sends half a character and never the rest", GARBLED, interrupted(GARBLED)),
    "utf8-aside": FaultExpectation(
        "sends half a character in a field that no client reads", GARBLED, interrupted(GARBLED)
    ),
    "huge": _both("sends a line, or a body, of unlimited length", GARBLED),
    "endless": FaultExpectation("never ends the stream", SLOW, interrupted(SLOW)),
    "endless-comments": _both("sends keep-alives forever, and no token", SLOW),
    "endless-head": _both("sends headers forever", GARBLED),
    "no-http": _both("speaks another protocol", GARBLED),
    "bad-chunks": FaultExpectation("breaks its chunked encoding", GARBLED, interrupted(GARBLED)),
    "http-1.0": _both("speaks HTTP/1.0, and ends by closing the connection", GOOD),
    "html": _both("sends an HTML page, with status 200", GARBLED),
    "empty": _both("sends an empty body, with status 200", GARBLED),
    "gzip": _both("compresses the response unasked", GOOD),
    "no-sse": _both("sends JSON instead of events, or JSON of another shape", GARBLED),
    "no-json": _both("sends something that is not JSON", GARBLED),
    "half-frame": FaultExpectation("ends the stream early, but properly", GARBLED, interrupted(GARBLED)),
    "no-finish": FaultExpectation("ends the stream without a finish reason", GARBLED, interrupted(GARBLED)),
    "done-twice": FaultExpectation("ends the stream twice", None, GOOD),
    "after-done": FaultExpectation("continues after the end of the stream", None, GOOD),
    "error-first": _both("sends an error, with status 200", FAILED),
    "error-word": FaultExpectation("sends an error after the first token", None, interrupted(FAILED)),
    "busy": _both("is busy (429)", BUSY),
    "busy-seconds": _both("is busy, with a Retry-After in seconds", BUSY, 7),
    "busy-date": _both("is busy, with a Retry-After date", BUSY, 7),
    "broken": _both("fails (500)", FAILED),
    "broken-once": _both("fails once", GOOD),
    "broken-burst": _both("fails several times in a row", FAILED),
    "refuses": _both("rejects the request (400)", REFUSED),
    "refuses-garbled": _both("fails (500), with a body that is not UTF-8", FAILED),
    "locked": _both("rejects the API key (401)", FAILED),
    "redirect": _both("redirects (302)", FAILED),
    "tells-key": _both("rejects the request, and repeats the API key", REFUSED),
    "breaks-with-key": FaultExpectation("fails, and repeats the API key", FAILED, interrupted(FAILED)),
}
