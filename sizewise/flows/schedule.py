"""Times of a cron schedule in its time zone."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from sizewise.errors import ConfigError

HOUR_FIELD = 1
"""Of the fields of a schedule."""


def schedule_error(schedule: str, zone: str) -> str:
    """Why the schedule is invalid; empty if it is valid."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return f"there is no time zone {zone[:60]!r}"
    return "" if next_time(schedule, zone, time.time()) else f"{schedule[:60]!r} never matches"


def next_time(schedule: str, zone: str, after: float) -> int:
    """The next matching time in unix s; 0 if the schedule is invalid or matches nothing within two years.

    In the hour that comes twice when clocks are set back, a schedule of chosen hours matches the first time only, as
    in cron; one of every hour, or with a step, both times.
    """
    try:
        from croniter import CroniterBadDateError, CroniterError, croniter
    except ImportError as error:
        hint = "install it: pip install 'sizewise[flows]'"
        raise ConfigError("schedules need a library that is not installed", hint) from error
    try:
        place = ZoneInfo(zone)
        times = croniter(schedule, datetime.fromtimestamp(after, place), max_years_between_matches=2)
        repeats = not {"*", "/"}.isdisjoint(times.expressions[HOUR_FIELD])
        found = int(times.get_next(float))
        while not repeats and datetime.fromtimestamp(found, place).fold:
            found = int(times.get_next(float))
        return found
    except (CroniterBadDateError, CroniterError, ValueError, KeyError):
        return 0
