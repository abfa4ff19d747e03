"""The clock tool: the current date and time in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

from sizewise.errors import BadRequest


def clock(zone: Annotated[str, Meta(description="An IANA time zone such as Europe/Paris.", max_length=64)] = "") -> str:
    """The date, the time and the day of the week now, in UTC or in a time zone."""
    try:
        there = ZoneInfo(zone) if zone else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadRequest(f"there is no time zone {zone!r}", "use a name such as Europe/Paris, or remove it") from error
    return datetime.now(there).strftime("%A %Y-%m-%d %H:%M:%S %Z")
