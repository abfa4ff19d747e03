"""The same model behind several keys or addresses: turns by weight among the healthy; knows neither key nor address.

A request that failed at one goes to another when it is asked again, and so does a second asking that races the first.
A key that is refused, or that is told to wait, is left alone alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sizewise.errors import ModelUnavailable, Upstream
from sizewise.handler import Ask, Send
from sizewise.messages import Reply
from sizewise.providers.circuit_breaker import COOLDOWN_MOST_S, Watched

REMEMBERED = 1_000  # requests whose failed replicas are known, so that the retry goes elsewhere


@dataclass(slots=True)
class Replica:
    """One way to the model. `credit` is what smooth weighted round-robin has given it so far."""

    answer: Watched
    weight: int
    credit: int = 0


class Replicated:
    """An Answerer over replicas. Smooth weighted round-robin: of weights 3 and 1, every fourth turn is the second's."""

    def __init__(self, name: str, replicas: Sequence[Replica]) -> None:
        self._name = name
        self.replicas = tuple(replicas)
        self._asked: dict[tuple[str, float], list[Replica]] = {}  # by request, oldest first

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        request = ask.trace, ask.started
        asked = self._asked.setdefault(request, [])
        failed = False
        try:
            replica = self._next(asked)
            asked.append(replica)
            return await replica.answer(ask, send)
        except Upstream as error:
            failed = True
            if error.about == "key":
                replica.answer.pulses.key.rest(COOLDOWN_MOST_S)
            if error.about != "request" and self._others(asked):
                error.again, error.retry_after = True, 0.0
            raise
        finally:
            if not failed:
                self._asked.pop(request, None)
            elif len(self._asked) > REMEMBERED:
                del self._asked[next(iter(self._asked))]

    def objection(self) -> str:
        """Why nobody should ask now: what stands against the one that is soonest well again; empty when one may."""
        soonest = min(self.replicas, key=lambda each: each.answer.pulses.left())
        return soonest.answer.pulses.objection()

    def left(self) -> float:
        """Seconds until one of them may be asked."""
        return min(each.answer.pulses.left() for each in self.replicas)

    def _others(self, asked: Sequence[Replica]) -> list[Replica]:
        return [each for each in self.replicas if each not in asked and each.answer.pulses.left() <= 0]

    def _next(self, asked: Sequence[Replica]) -> Replica:
        """Who has not failed this request goes before who has."""
        well = self._others(asked) or self._others(())
        if not well:
            hint = "try again later, or name another model"
            raise ModelUnavailable(f"{self._name} {self.objection()}", hint, retry_after=self.left())
        for each in well:
            each.credit += each.weight
        chosen = max(well, key=lambda each: each.credit)
        chosen.credit -= sum(each.weight for each in well)
        return chosen
