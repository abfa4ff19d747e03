"""The `Retry-After` header in seconds, whether it is a number or a date."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime


def retry_after_seconds(retry_after: str | None, date: str | None) -> str | None:
    """Retry-After in whole seconds. A date is compared with the server's `Date`, or with our clock without one."""
    if retry_after is None or retry_after.strip().isdigit():
        return retry_after
    until, now = _timestamp(retry_after), _timestamp(date or "")
    if until is None:
        return None
    return str(max(0, math.ceil(until - (time.time() if now is None else now))))


def _timestamp(text: str) -> float | None:
    """Unix seconds of an HTTP date; None if it does not parse."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
