"""How an endpoint, a key or a model is doing: left alone after failures in a row; books nothing and chooses nothing.

    closed      all is well; FAILURES in a row open it
    open        nobody asks until the cooldown is over; it doubles from opening to opening
    half_open   one request at a time tries it out: its first word closes, its failure opens again

A named Retry-After is kept to the second by everybody and is no illness: after it, all may ask again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sizewise.errors import ModelUnavailable, Upstream, UpstreamRefused
from sizewise.handler import Answerer, Ask, Event, Send
from sizewise.messages import Reply

FAILURES = 3  # in a row, before it is left alone
COOLDOWN_S = 5.0  # then this long, doubling to
COOLDOWN_MOST_S = 60.0  # a Retry-After is believed up to here too
TRYING_S = 1.0  # when to come back while somebody else is trying it out

SHARE = 0.2  # retries for each answer
BURST = 10.0  # retries that may come at once

State = Literal["closed", "half_open", "open"]


class Pulse:
    """One good answer heals. Failures of requests that were under way when it opened change nothing any more."""

    __slots__ = ("_clock", "_last", "_named", "_openings", "_trying", "_until", "failures", "idle")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.failures = 0  # in a row
        self.idle = True  # nothing is held against it, so nobody need look further: kept, because everybody asks
        self._openings = 0
        self._until = 0.0  # end of the cooldown
        self._named = 0.0  # end of the pause it asked for
        self._trying = False
        self._last = ""

    @property
    def state(self) -> State:
        if self.failures < FAILURES:
            return "closed" if self._named <= self._clock() else "open"
        return "open" if max(self._until, self._named) > self._clock() else "half_open"

    def left(self) -> float:
        """Seconds until it may be asked; 0: now."""
        left = max(self._until, self._named) - self._clock()
        if left > 0:
            return left
        return TRYING_S if self._trying else 0.0

    def begin(self) -> bool:
        """Somebody asks, and `left` was 0. Whether it is this one who tries it out, and so must tell how that ended."""
        if self.failures < FAILURES:
            self._named = 0.0  # it is over
            self.idle = not self.failures
            return False
        self._trying = True
        return True

    def well(self) -> None:
        self.failures = self._openings = 0
        self._until = 0.0
        self._trying = False
        self.idle = not self._named

    def failed(self, code: str, retry_after: float | None = None) -> None:
        now = self._clock()
        if retry_after:
            self.rest(retry_after)
        if self._until > now:
            return
        self.failures += 1
        self.idle = False
        self._last = code
        self._trying = False
        if self.failures >= FAILURES:
            self._until = now + min(COOLDOWN_S * 2.0 ** min(self._openings, 8), COOLDOWN_MOST_S)
            self._openings += 1

    def rest(self, seconds: float) -> None:
        """Nobody asks for this long, whoever says so."""
        self._named = max(self._named, self._clock() + min(seconds, COOLDOWN_MOST_S))
        self.idle = False

    def untold(self) -> None:
        """Who tried it out has left, or failed by its own fault: the next one may."""
        self._trying = False

    def objection(self) -> str:
        """Why nobody should ask now, in words; empty when one may."""
        left = self.left()
        if left <= 0:
            return ""
        if self.state == "half_open":
            return f"has a half-open circuit breaker after {self.failures} consecutive failures ({self._last})"
        times = f"{self.failures} consecutive failures" if self.failures > 1 else "1 failure"
        return f"has an open circuit breaker: {times}, retry in {left:.0f} s ({self._last})"


class Budget:
    """Retries that an endpoint has left: a fifth of what it answers, and ten at once, so that they never storm."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = BURST

    def earn(self) -> None:
        self.left = min(BURST, self.left + SHARE)

    def spend(self) -> bool:
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Pulses:
    """Whom a failure is counted for. An endpoint and its budget are shared by its models, a key by all it opens."""

    endpoint: Pulse
    key: Pulse
    model: Pulse
    budget: Budget

    def all(self) -> tuple[Pulse, Pulse, Pulse]:
        return self.endpoint, self.key, self.model

    def left(self) -> float:
        return max(pulse.left() for pulse in self.all())

    def state(self) -> State:
        states = [pulse.state for pulse in self.all()]
        return "open" if "open" in states else "half_open" if "half_open" in states else "closed"

    def objection(self) -> str:
        if self.endpoint.idle and self.key.idle and self.model.idle:  # nearly always
            return ""
        return next((words for pulse in self.all() if (words := pulse.objection())), "")


class Watched:
    """An Answerer that feels the pulses of the one inside, and refuses while one of them says no."""

    __slots__ = ("_inside", "_name", "pulses")

    def __init__(self, inside: Answerer, name: str, pulses: Pulses) -> None:
        self._inside = inside
        self._name = name
        self.pulses = pulses

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        pulses = self.pulses
        model, endpoint, key, budget = pulses.model, pulses.endpoint, pulses.key, pulses.budget
        if not (model.idle and endpoint.idle and key.idle):
            return await self._carefully(ask, send)
        try:
            reply = await self._inside(ask, send)
        except Upstream as error:
            self._failed(error)
            raise
        if not (model.idle and endpoint.idle and key.idle):  # something befell others meanwhile
            self._well()
        if budget.left < BURST:
            budget.earn()
        return reply

    async def _carefully(self, ask: Ask, send: Send) -> Reply:
        """As above, where something is held against one of them."""
        pulses = self.pulses
        if words := pulses.objection():
            hint = "try again later, or name another model"
            raise ModelUnavailable(f"{self._name} {words}", hint, retry_after=pulses.left())
        trying = [pulse for pulse in pulses.all() if pulse.begin()]

        async def heard(event: Event) -> None:
            if trying:
                trying.clear()
                self._well()
            await send(event)

        try:
            reply = await self._inside(ask, heard if trying else send)
            trying.clear()
            self._well()
            pulses.budget.earn()
            return reply
        except Upstream as error:
            self._failed(error)
            raise
        finally:
            for pulse in trying:
                pulse.untold()

    def _well(self) -> None:
        for pulse in self.pulses.all():
            pulse.well()

    def _failed(self, error: Upstream) -> None:
        """An answer of whatever kind shows that the endpoint is there."""
        pulses = self.pulses
        if error.about != "endpoint" and pulses.endpoint.failures:
            pulses.endpoint.well()
        if error.about == "endpoint":
            pulses.endpoint.failed(error.code)
        elif error.about == "key":
            pulses.key.failed(error.code)
        elif error.about == "model":
            pulses.model.failed(error.code, error.retry_after)
        elif isinstance(error, UpstreamRefused):  # it can still think
            pulses.model.well()
