"""Makes the records of a server older than they are, so that a test has a time before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sizewise.telemetry.record_ids import PROCESS_BITS

HOUR_US = 3_600_000_000


def make_older(home: Path, hours: int) -> int:
    """All records as if they had ended so many hours before; none may be counted yet. Returns their number."""
    later = hours * HOUR_US << PROCESS_BITS
    with closing(sqlite3.connect(home / "sizewise.db", timeout=60)) as database, database:
        database.execute("UPDATE attempts SET record = record - ?", (later,))
        moved = database.execute("UPDATE records SET id = id - ?, at = at - ?", (later, hours * HOUR_US // 1_000))
        return moved.rowcount
