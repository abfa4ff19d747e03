"""The check of `sizewise doctor` for records that are deleted before their time, for their size; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sizewise.cli.doctor_checks import CheckResult
from sizewise.cli.doctor_database import component_versions, has_database, opened_database
from sizewise.errors import SizewiseError
from sizewise.settings.load import Settings
from sizewise.telemetry import stored_sizes

DAY_MS = 86_400_000


def check_records(settings: Settings) -> Iterator[CheckResult]:
    """None if `[records] max_bytes` has deleted nothing within the days that records are to be kept."""
    if not has_database(settings):
        return
    try:
        with opened_database(settings) as database:
            if stored_sizes.SCHEMA.component not in component_versions(database):
                return
            found = {each.kind: each for each in database.read_transaction(stored_sizes.read_sizes)}
            cut = database.read_transaction(stored_sizes.read_cut)
    except SizewiseError:  # the check of the database reports it
        return
    records, days = found.get("records"), settings.records.retention_days
    now = time.time_ns() // 1_000_000
    if cut is None or cut < now - days * DAY_MS or records is None:
        return
    kept = (now - (records.oldest or now)) / DAY_MS
    message = f"[records] max_bytes deleted records or contents early: the oldest record is {kept:.1f} days old"
    hint = f"raise max_bytes (now {settings.records.max_bytes:,}), or lower retention_days (now {days})"
    yield CheckResult("records", False, message, hint)
