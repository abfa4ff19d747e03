"""Load balancer: smooth weighted round-robin over the healthy replicas of a model; knows no keys and no addresses.

A retry of a request goes to a replica that it has not tried, and so does a hedged attempt. A rejected or rate-limited
key takes only its own replica out of rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sizewise.errors import Busy, ModelUnavailable, UpstreamError
from sizewise.handler import Request, Send
from sizewise.messages import Reply
from sizewise.providers.circuit_breaker import MAX_COOLDOWN_S, CircuitBreakerHandler

MAX_TRACKED_REQUESTS = 1_000  # requests whose tried replicas are remembered for a retry


@dataclass(slots=True)
class Replica:
    """One replica. `credit` is its balance in smooth weighted round-robin."""

    handler: CircuitBreakerHandler
    weight: int
    credit: int = 0


class LoadBalancer:
    """Handler over replicas. With weights 3 and 1, every fourth request goes to the second."""

    def __init__(self, name: str, replicas: Sequence[Replica]) -> None:
        self._name = name
        self.replicas = tuple(replicas)
        self._tried: dict[tuple[str, float], list[Replica]] = {}  # by request, oldest first

    async def __call__(self, request: Request, send: Send) -> Reply:
        request_key = request.trace_id, request.started_at
        asked = self._tried.setdefault(request_key, [])
        failed = False
        try:
            while True:
                replica = self._next(asked)
                asked.append(replica)
                try:
                    return await replica.handler(request, send)
                except Busy:  # all connections to it are in use; nothing was sent
                    if not self._available(asked):
                        raise
        except UpstreamError as error:
            failed = True
            if error.failure_scope == "key":
                replica.handler.breakers.key.open_for(MAX_COOLDOWN_S)
            if error.failure_scope != "request" and self._available(asked):
                error.retryable, error.retry_after = True, 0.0
            raise
        finally:
            if not failed:
                self._tried.pop(request_key, None)
            elif len(self._tried) > MAX_TRACKED_REQUESTS:
                del self._tried[next(iter(self._tried))]

    def unavailable_reason(self) -> str:
        """The reason of the replica that is available soonest; empty when one is available."""
        soonest = min(self.replicas, key=lambda each: each.handler.breakers.retry_after_s())
        return soonest.handler.breakers.unavailable_reason()

    def retry_after_s(self) -> float:
        """Seconds until a replica may be called."""
        return min(each.handler.breakers.retry_after_s() for each in self.replicas)

    def _available(self, tried: Sequence[Replica]) -> list[Replica]:
        return [each for each in self.replicas if each not in tried and each.handler.breakers.retry_after_s() <= 0]

    def _next(self, tried: Sequence[Replica]) -> Replica:
        """Prefers replicas that this request has not tried."""
        well = self._available(tried) or self._available(())
        if not well:
            hint = "try again later, or use another model"
            raise ModelUnavailable(f"{self._name} {self.unavailable_reason()}", hint, retry_after=self.retry_after_s())
        for each in well:
            each.credit += each.weight
        chosen = max(well, key=lambda each: each.credit)
        chosen.credit -= sum(each.weight for each in well)
        return chosen
