"""Garbage collection of a server: what the start loaded is never scanned, the rest by count and once a minute.

Requests are freed by reference counting; only cycles wait for the collector, which by count alone may not come for
an hour on a calm server: a few cycles a second then look like a leak of megabytes.
"""

from __future__ import annotations

import asyncio
import gc

THRESHOLDS = (20_000, 20, 20)
"""The default collects cycles 30 times as often and takes 5 % of the CPU."""
INTERVAL_S = 60.0
_YOUNG = 1
"""Generations 0 and 1: what is older has survived two collections and is left to the counts. 20,000 objects: 1 ms."""


class GarbageCollection:
    """The collector of this process, from the end of the start on."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        """Freezes every object that is loaded by now."""
        self._interval_s = interval_s
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)

    async def run_periodically(self) -> None:
        """Collects young cycles every interval until cancelled, unless the collector is disabled."""
        while True:
            await asyncio.sleep(self._interval_s)
            if gc.isenabled():
                gc.collect(_YOUNG)
