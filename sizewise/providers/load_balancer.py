"""Load balancer: smooth weighted round-robin over the healthy replicas of a model; knows no keys and no addresses.

A request that failed at one goes to another when it is asked again, and so does a second asking that races the first.
A key that is refused, or that is told to wait, is left alone alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sizewise.errors import ModelUnavailable, UpstreamError
from sizewise.handler import Request, Send
from sizewise.messages import Reply
from sizewise.providers.circuit_breaker import MAX_COOLDOWN_S, CircuitBreakerHandler

MAX_TRACKED_REQUESTS = 1_000  # requests whose failed replicas are known, so that the retry goes elsewhere


@dataclass(slots=True)
class Replica:
    """One way to the model. `credit` is what smooth weighted round-robin has given it so far."""

    handler: CircuitBreakerHandler
    weight: int
    credit: int = 0


class LoadBalancer:
    """An Answerer over replicas. Smooth weighted round-robin: of weights 3 and 1, every fourth turn is the second's."""

    def __init__(self, name: str, replicas: Sequence[Replica]) -> None:
        self._name = name
        self.replicas = tuple(replicas)
        self._tried: dict[tuple[str, float], list[Replica]] = {}  # by request, oldest first

    async def __call__(self, request: Request, send: Send) -> Reply:
        request_key = request.trace_id, request.started_at
        asked = self._tried.setdefault(request_key, [])
        failed = False
        try:
            replica = self._next(asked)
            asked.append(replica)
            return await replica.handler(request, send)
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
        """Why nobody should ask now: what stands against the one that is soonest well again; empty when one may."""
        soonest = min(self.replicas, key=lambda each: each.handler.breakers.retry_after_s())
        return soonest.handler.breakers.unavailable_reason()

    def retry_after_s(self) -> float:
        """Seconds until one of them may be asked."""
        return min(each.handler.breakers.retry_after_s() for each in self.replicas)

    def _available(self, tried: Sequence[Replica]) -> list[Replica]:
        return [each for each in self.replicas if each not in tried and each.handler.breakers.retry_after_s() <= 0]

    def _next(self, tried: Sequence[Replica]) -> Replica:
        """Who has not failed this request goes before who has."""
        well = self._available(tried) or self._available(())
        if not well:
            hint = "try again later, or name another model"
            raise ModelUnavailable(f"{self._name} {self.unavailable_reason()}", hint, retry_after=self.retry_after_s())
        for each in well:
            each.credit += each.weight
        chosen = max(well, key=lambda each: each.credit)
        chosen.credit -= sum(each.weight for each in well)
        return chosen
