"""The check of `sizewise doctor` for messages to webhooks and other receivers: what waits and failed; sends nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sizewise.cli.doctor_checks import CheckResult
from sizewise.cli.doctor_database import component_versions, has_database, opened_database
from sizewise.errors import SizewiseError
from sizewise.notifications import tables
from sizewise.notifications.tables import ReceiverStatus
from sizewise.settings.load import Settings

LATE_S = 300.0
"""Seconds after which a message that waits is reported."""


def check_receivers(settings: Settings) -> list[CheckResult]:
    """One finding for each receiver with messages."""
    if not has_database(settings):
        return []
    try:
        with opened_database(settings) as database:
            if tables.SCHEMA.component not in component_versions(database):
                return []
            found = database.read_transaction(tables.receiver_statuses)
    except SizewiseError:  # the check of the database reports it
        return []
    return [_finding(each, time.time()) for each in found]


def _finding(status: ReceiverStatus, now: float) -> CheckResult:
    counts = f"{status.receiver}: {status.delivered:,} delivered in 7 days, {status.waiting:,} waiting"
    lost = [f"{count:,} {what}" for count, what in ((status.failed, "failed"), (status.dropped, "dropped")) if count]
    late = status.oldest is not None and status.oldest / 1_000 < now - LATE_S
    recovered = (status.last_delivery or 0) > (status.last_failure or 0) and not late
    if recovered or not (lost or late):
        return CheckResult("receivers", True, ", ".join([counts, *lost]))
    oldest = datetime.fromtimestamp((status.oldest or 0) / 1_000, UTC)
    since = "" if status.oldest is None else f" since {oldest:%Y-%m-%d %H:%M} UTC"
    why = f"; last error: {status.last_error}" if status.last_error else ""
    step = "check that the receiver runs and answers with 2xx; what waits is sent again by itself"
    return CheckResult("receivers", False, ", ".join([counts + since, *lost]) + why, step)
