"""Circuit breaker and retry budget per endpoint, key and model; records nothing and chooses nothing.

    closed      healthy; FAILURE_THRESHOLD consecutive failures open it
    open        requests are refused until the cooldown ends; the cooldown doubles each time it opens
    half_open   one probe at a time; its first event closes the breaker, its failure opens it again

A Retry-After pauses all requests, for at most MAX_COOLDOWN_S. If the circuit is closed, all pass again after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sizewise.errors import ModelUnavailable, UpstreamError, UpstreamRejected
from sizewise.handler import Event, Handler, Request, Send
from sizewise.messages import Reply

FAILURE_THRESHOLD = 3  # consecutive failures that open the circuit
COOLDOWN_S = 5.0  # the first cooldown; doubles up to MAX_COOLDOWN_S
MAX_COOLDOWN_S = 60.0  # also the longest Retry-After that is honored
PROBE_RETRY_S = 1.0  # `retry_after_s` while another request probes

RETRY_RATIO = 0.2  # retries earned per reply
RETRY_BURST = 10.0  # retries that may be made at once

CircuitState = Literal["closed", "half_open", "open"]


class CircuitBreaker:
    """One success closes the circuit. While it is open, failures of earlier requests are not counted."""

    __slots__ = (
        "_clock",
        "_last_error",
        "_last_status",
        "_open_until",
        "_openings",
        "_probing",
        "_retry_after_until",
        "failures",
        "is_clear",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.failures = 0  # consecutive
        self.is_clear = True  # no failure and no pause recorded: the fast path, cached because every request reads it
        self._openings = 0
        self._open_until = 0.0  # end of the cooldown
        self._retry_after_until = 0.0  # end of the pause set by Retry-After or `open_for`
        self._probing = False
        self._last_error = ""
        self._last_status = 0

    @property
    def state(self) -> CircuitState:
        if self.failures < FAILURE_THRESHOLD:
            return "closed" if self._retry_after_until <= self._clock() else "open"
        return "open" if max(self._open_until, self._retry_after_until) > self._clock() else "half_open"

    def retry_after_s(self) -> float:
        """Seconds until a request may pass; 0 means now."""
        left = max(self._open_until, self._retry_after_until) - self._clock()
        if left > 0:
            return left
        return PROBE_RETRY_S if self._probing else 0.0

    def begin_probe(self) -> bool:
        """Starts a request once `retry_after_s` is 0. True if it is the probe, which must then report its result."""
        if self.failures < FAILURE_THRESHOLD:
            self._retry_after_until = 0.0  # the pause is over
            self.is_clear = not self.failures
            return False
        self._probing = True
        return True

    def record_success(self) -> None:
        self.failures = self._openings = 0
        self._open_until = 0.0
        self._probing = False
        self.is_clear = not self._retry_after_until

    def record_failure(self, code: str, retry_after: float | None = None, status: int = 503) -> None:
        now = self._clock()
        if retry_after:
            self.open_for(retry_after)
        if self._open_until > now:
            return
        self.failures += 1
        self.is_clear = False
        self._last_error, self._last_status = code, status
        self._probing = False
        if self.failures >= FAILURE_THRESHOLD:
            self._open_until = now + min(COOLDOWN_S * 2.0 ** min(self._openings, 8), MAX_COOLDOWN_S)
            self._openings += 1

    def open_for(self, seconds: float) -> None:
        """Refuses requests for `seconds`, at most MAX_COOLDOWN_S. Never shortens a longer pause."""
        self._retry_after_until = max(self._retry_after_until, self._clock() + min(seconds, MAX_COOLDOWN_S))
        self.is_clear = False

    def cancel_probe(self) -> None:
        """Frees the probe without a result: it was cancelled, or at fault itself."""
        self._probing = False

    @property
    def refusal_status(self) -> int:
        """The HTTP status of a refusal: 429 after one, so that a rate limit stays one to clients, else 503."""
        return 429 if self._last_status == 429 else 503

    def unavailable_reason(self) -> str:
        """Why requests are refused now; empty when they pass."""
        left = self.retry_after_s()
        if left <= 0:
            return ""
        if self.state == "half_open":
            return f"has a half-open circuit breaker after {self.failures} consecutive failures ({self._last_error})"
        times = f"{self.failures} consecutive failures" if self.failures > 1 else "1 failure"
        return f"has an open circuit breaker: {times}, retry in {left:.0f} s ({self._last_error})"


class RetryBudget:
    """Retries left for a provider: RETRY_RATIO per reply, at most RETRY_BURST, so that retries cannot storm."""

    __slots__ = ("remaining",)

    def __init__(self) -> None:
        self.remaining = RETRY_BURST

    def deposit(self) -> None:
        self.remaining = min(RETRY_BURST, self.remaining + RETRY_RATIO)

    def try_withdraw(self) -> bool:
        if self.remaining < 1:
            return False
        self.remaining -= 1
        return True


@dataclass(frozen=True, slots=True)
class BreakerSet:
    """The breakers of one replica. A provider's models share the endpoint's breaker, the key's and the retry budget."""

    endpoint: CircuitBreaker
    key: CircuitBreaker
    model: CircuitBreaker
    retry_budget: RetryBudget

    def all(self) -> tuple[CircuitBreaker, CircuitBreaker, CircuitBreaker]:
        return self.endpoint, self.key, self.model

    def retry_after_s(self) -> float:
        return max(pulse.retry_after_s() for pulse in self.all())

    def refusal_status(self) -> int:
        return next((pulse.refusal_status for pulse in self.all() if pulse.retry_after_s() > 0), 503)

    def state(self) -> CircuitState:
        states = [pulse.state for pulse in self.all()]
        return "open" if "open" in states else "half_open" if "half_open" in states else "closed"

    def unavailable_reason(self) -> str:
        if self.endpoint.is_clear and self.key.is_clear and self.model.is_clear:  # nearly always
            return ""
        return next((words for pulse in self.all() if (words := pulse.unavailable_reason())), "")


class CircuitBreakerHandler:
    """Handler that reports each result to the breakers and refuses requests while one of them is open."""

    __slots__ = ("_handler", "_name", "breakers")

    def __init__(self, handler: Handler, name: str, breakers: BreakerSet) -> None:
        self._handler = handler
        self._name = name
        self.breakers = breakers

    async def __call__(self, request: Request, send: Send) -> Reply:
        pulses = self.breakers
        model, endpoint, key, budget = pulses.model, pulses.endpoint, pulses.key, pulses.retry_budget
        if not (model.is_clear and endpoint.is_clear and key.is_clear):
            return await self._probe(request, send)
        try:
            reply = await self._handler(request, send)
        except UpstreamError as error:
            self._record_failure(error)
            raise
        if not (model.is_clear and endpoint.is_clear and key.is_clear):  # other requests failed meanwhile
            self._record_success()
        if budget.remaining < RETRY_BURST:
            budget.deposit()
        return reply

    async def _probe(self, request: Request, send: Send) -> Reply:
        """Like `__call__`, when at least one breaker is not clear."""
        pulses = self.breakers
        if words := pulses.unavailable_reason():
            hint, wait = "try again later, or use another model", pulses.retry_after_s()
            raise ModelUnavailable(f"{self._name} {words}", hint, retry_after=wait, status=pulses.refusal_status())
        trying = [pulse for pulse in pulses.all() if pulse.begin_probe()]

        async def heard(event: Event) -> None:
            if trying:
                trying.clear()
                self._record_success()
            await send(event)

        try:
            reply = await self._handler(request, heard if trying else send)
            trying.clear()
            self._record_success()
            pulses.retry_budget.deposit()
            return reply
        except UpstreamError as error:
            self._record_failure(error)
            raise
        finally:
            for pulse in trying:
                pulse.cancel_probe()

    def _record_success(self) -> None:
        for pulse in self.breakers.all():
            pulse.record_success()

    def _record_failure(self, error: UpstreamError) -> None:
        """Counts a failure for its scope. Any response proves that the endpoint is reachable."""
        pulses = self.breakers
        if error.failure_scope != "endpoint" and pulses.endpoint.failures:
            pulses.endpoint.record_success()
        if error.failure_scope == "endpoint":
            pulses.endpoint.record_failure(error.code)
        elif error.failure_scope == "key":
            pulses.key.record_failure(error.code, error.retry_after, error.status)
        elif error.failure_scope == "model":
            pulses.model.record_failure(error.code, error.retry_after, error.status)
        elif isinstance(error, UpstreamRejected):  # the model works; the request was at fault
            pulses.model.record_success()
