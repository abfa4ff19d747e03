"""What is too old or too much is forgotten, attempts with their record, oldest first."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import select

from sizewise.storage.database import Database, apply_in_bulk, open_database, sqlite_url
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.record_retention import RecordRetention
from sizewise.telemetry.recorder import NO_LABELS
from sizewise.telemetry.tables import ATTEMPTS, RECORDS, SCHEMA

APART = (None,) * 6
"""Of a record whose attempts lie in rows of their own."""


def filled(path: Path, ages_days: list[float]) -> Database:
    database = open_database(sqlite_url(str(path)), [SCHEMA])
    now = time.time()
    with database.write() as connection:
        for number, age in enumerate(ages_days):
            id = int((now - age * 86_400) * 1e6) << PROCESS_BITS | number
            record = (id, "t", "p", "k", "aa", 0, "chat", "auto", "", "", "", 200, "", 1, 0, 0, 0, 0, 0, False)
            apply_in_bulk(
                connection,
                database.insert_statement(RECORDS),
                [(*record, 0, None, 1.0, False, "", None, "", *APART, 0, 0, 0, 0, None, *NO_LABELS, *(None,) * 3)],
            )
            tried = (id, 1, "t", "aa", "m", "machine", "answered", "", 0.0, None, 1.0, 0, 0, 0, 0, 0, False)
            apply_in_bulk(connection, database.insert_statement(ATTEMPTS), [(*tried, 0, "", *(None,) * 4)])
    return database


def left(database: Database, retention: RecordRetention) -> tuple[list[int], list[int]]:
    """Numbers of the records and of the attempts that stay."""
    for _ in range(100):
        with database.write() as connection:
            if not retention(connection):
                break
    with database.read() as connection:
        records = [id & 1023 for id in connection.scalars(select(RECORDS.c.id).order_by(RECORDS.c.id))]
        attempts = [id & 1023 for id in connection.scalars(select(ATTEMPTS.c.record).order_by(ATTEMPTS.c.record))]
    database.close()
    return records, attempts


def test_records_older_than_keep_days_go_with_their_attempts(tmp_path: Path) -> None:
    database = filled(tmp_path / "x.db", [40, 31, 29, 1])
    assert left(database, RecordRetention(keep_days=30, max_rows=0)) == ([2, 3], [2, 3])


def test_beyond_max_rows_the_oldest_go_in_small_steps(tmp_path: Path) -> None:
    database = filled(tmp_path / "x.db", [10 - number / 10 for number in range(50)])
    assert left(database, RecordRetention(keep_days=0, max_rows=7, batch_rows=4)) == (
        list(range(43, 50)),
        list(range(43, 50)),
    )


def test_nothing_is_forgotten_within_the_limits(tmp_path: Path) -> None:
    assert left(filled(tmp_path / "x.db", [2, 1]), RecordRetention(30, 2)) == ([0, 1], [0, 1])
