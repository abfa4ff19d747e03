"""The safe side of any policy: its strongest model and nobody else, for a policy that is not trusted; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sizewise.cards import Card
from sizewise.routing.names import Plan
from sizewise.routing.policy import Field, Question, Route, in_turn, strength

Fallen = Callable[[str, str], str]
"""Tenant and policy -> why its promise is not trusted there any more, in words; empty when all is well."""


@dataclass(frozen=True, slots=True)
class Safe:
    """The strongest candidate, asked once more where its failure may pass. A weaker one never steps in."""

    why: str
    models: tuple[str, ...] = ()

    def route(self, question: Question, field: Field) -> Route:
        best = strongest(field)
        return in_turn(question, (best,), f"{best.name}, the strongest: {self.why}", retries=1)


def safe(plan: Plan, why: str) -> Plan:
    """The same plan on the safe side, where there is a reason `why`. One that leaves no choice stays as it is."""
    return replace(plan, policy=Safe(why)) if why and not plan.exact else plan


def strongest(field: Field) -> Card:
    """The one whose answers are the standard."""
    return max(field, key=lambda candidate: strength(candidate.card)).card
