"""Clock of the limits' windows: follows the store's time and never goes back; knows no limit and reads no store.

Several servers of one store agree on a window although their own clocks differ. A clock that was ahead and is set right
opens no earlier window again, and holds none open: time goes on, slightly slower until the store has caught up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger("sizewise.limits")

SLOW_RATE = 0.9
"""Speed while the store is behind: a minute then lasts 67 s, and an hour is caught up in ten."""
TOLERANCE_S = 0.1
"""Seconds that the store may seem to be behind because reading its clock took time."""
WARN_S = 60.0
"""Seconds that the store's clock may be set back without a warning."""


class LimitClock(Protocol):
    def __call__(self) -> float:
        """Unix seconds."""

    def sync(self, store_time: float, /) -> None:
        """`store_time`: unix seconds that the store's clock shows now."""


class WindowClock:
    """A LimitClock. For one thread: the event loop."""

    __slots__ = ("_base", "_base_ticks", "_behind_s", "_rate", "_ticks")

    def __init__(self, store_time: float, ticks: Callable[[], float] = time.monotonic) -> None:
        """`ticks`: seconds on a clock that cannot be set."""
        self._ticks = ticks
        self._base = store_time
        self._base_ticks = ticks()
        self._rate = 1.0
        self._behind_s = 0.0  # seconds that the store was behind us at the last sync

    def __call__(self) -> float:
        return self._base + (self._ticks() - self._base_ticks) * self._rate

    def sync(self, store_time: float) -> None:
        ticks = self._ticks()
        now = self._base + (ticks - self._base_ticks) * self._rate
        behind = max(0.0, now - store_time)
        if behind > self._behind_s + WARN_S:
            log.warning(
                "the clock of the database was set back by %d s: limits follow it slowly; restart to follow it at once",
                behind - self._behind_s,
            )
        self._base, self._base_ticks, self._behind_s = max(now, store_time), ticks, behind
        self._rate = SLOW_RATE if behind > TOLERANCE_S else 1.0
