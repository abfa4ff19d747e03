"""W3C trace context: a client's `traceparent` header -> its trace id, and the span that caused the request.

Source: https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import re

from sizewise.request_origin import RequestOrigin

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_VERSION = "ff"
_ZEROS = frozenset("0")


def parse_traceparent(text: str) -> tuple[str, RequestOrigin] | None:
    """None if it is malformed: as the standard demands, it is then ignored. Later versions may have further fields."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == _NO_VERSION or (more and version == "00") or set(trace) == _ZEROS or set(span) == _ZEROS:
        return None
    return trace, RequestOrigin(span, int(flags, 16))
