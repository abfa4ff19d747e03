"""The safe side of any policy: its strongest model and nobody else, for a policy that is not trusted; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sizewise.model_card import Card
from sizewise.routing.model_aliases import Plan
from sizewise.routing.policy import Field, Policy, Question, Route, strength
from sizewise.routing.retry import in_turn

Fallen = Callable[[str, str], str]
"""Tenant and policy -> why its promise is not trusted there any more, in words; empty when all is well."""


@dataclass(frozen=True, slots=True)
class Safe:
    """The large model, asked once more where its failure may pass; where it may not answer, the strongest that may. No
    weaker one steps in."""

    large: str
    why: str
    models: tuple[str, ...] = ()

    def route(self, question: Question, field: Field) -> Route:
        best = strongest(field, self.large)
        return in_turn(question, (best,), f"{best.name} alone: {self.why}", retries=1)


def safe(plan: Plan, why: str) -> Plan:
    """The same plan on the safe side. One that leaves no choice stays as it is."""
    return plan if plan.exact else replace(plan, policy=Safe(standard(plan.policy), why))


def standard(policy: Policy) -> str:
    """The model whose answers are the standard, where the policy promises something of it: the last of its `models`.

    Empty: the strongest there is.
    """
    return policy.models[-1] if policy.models and getattr(policy, "target", None) is not None else ""


def reference(plan: Plan) -> Card:
    """The model whose answers are the standard of a plan."""
    large = standard(plan.policy)
    return next((card for card in plan.cards if card.name == large), None) or max(plan.cards, key=strength)


def strongest(field: Field, large: str = "") -> Card:
    """`large` where it is among the candidates, else the one presumed to be best."""
    named = (candidate.card for candidate in field if candidate.card.name == large)
    return next(named, None) or max(field, key=lambda candidate: strength(candidate.card)).card
