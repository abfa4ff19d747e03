"""Ids of records and spans: unique, and in the order of time."""

from __future__ import annotations

import time
from collections.abc import Iterator

PROCESS_BITS = 10
"""An id is microseconds << 10 | process: 63 bits last until the year 2255."""
IDS_A_SECOND = 1_000_000 << PROCESS_BITS


def shared_process(count: int) -> int:
    """The number of a process for `record_ids`, from how many have begun on a database that servers share: no two of
    960 in a row have the same. Below 64 are those of a server alone, and of servers that do not count yet.
    """
    return 64 + count % ((1 << PROCESS_BITS) - 64)


def record_ids(process: int = 0) -> Iterator[int]:
    """Ids in the order of time: microseconds << 10 | process (0..1023). They rise even if the clock goes back."""
    latest = 0
    while True:
        now = time.time_ns() // 1000
        latest = now if now > latest else latest + 1
        yield latest << PROCESS_BITS | process
