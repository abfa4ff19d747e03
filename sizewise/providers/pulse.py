"""How one endpoint is doing: left alone for a while after failures in a row; books nothing and chooses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from sizewise.answer import Answerer, Ask, Send
from sizewise.chat import Reply
from sizewise.errors import Upstream, UpstreamBusy, UpstreamDown, UpstreamSlow

FAILURES = 3  # in a row, before an endpoint is left alone
COOLDOWN_S = 5.0  # then this long, doubling to
COOLDOWN_MOST_S = 60.0


class Pulse:
    """One good answer heals. An endpoint that names a time (Retry-After) is left alone until then, at most a minute."""

    __slots__ = ("_clock", "_failures", "_last", "_until")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0
        self._last = ""

    def well(self) -> None:
        self._failures = 0

    def failed(self, error: Upstream) -> None:
        self._failures += 1
        self._last = error.code
        wait = error.retry_after or 0.0
        if self._failures >= FAILURES:
            wait = max(wait, COOLDOWN_S * 2.0 ** min(self._failures - FAILURES, 8))
        self._until = max(self._until, self._clock() + min(wait, COOLDOWN_MOST_S))

    def objection(self) -> str:
        """Why nobody should ask now, in words; empty when it is well."""
        if self._failures == 0:
            return ""
        left = self._until - self._clock()
        if left <= 0:
            return ""
        times = "1 failure" if self._failures == 1 else f"{self._failures} failures in a row"
        return f"is left alone for {left:.0f} s more after {times} ({self._last})"


class Watched:
    """An Answerer that feels the pulse of the one inside."""

    def __init__(self, inside: Answerer, pulse: Pulse) -> None:
        self._inside = inside
        self._pulse = pulse

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        try:
            reply = await self._inside(ask, send)
        except (UpstreamDown, UpstreamSlow, UpstreamBusy) as error:
            self._pulse.failed(error)
            raise
        self._pulse.well()
        return reply
