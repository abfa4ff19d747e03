"""Fallback to the strongest model, for a policy whose quality guarantee is no longer trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sizewise.model_card import ModelCard
from sizewise.routing.fallback import with_fallbacks
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policy import Candidates, Policy, PolicyRun, RequestFeatures
from sizewise.routing.strength import strength

DistrustCheck = Callable[[str, str], str]
"""Tenant and policy -> why its guarantee is no longer trusted there, in words; empty if it is."""


@dataclass(frozen=True, slots=True)
class StrongestModelPolicy:
    """The reference model, retried once after a transient failure; if it is no candidate, the strongest candidate.
    Never a weaker model.
    """

    reference_model: str
    why: str
    models: tuple[str, ...] = ()

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        best = strongest_card(candidates, self.reference_model)
        return with_fallbacks(features, (best,), f"{best.name} alone: {self.why}", retries=1)


def with_strongest_fallback(plan: RoutePlan, why: str) -> RoutePlan:
    """The plan with StrongestModelPolicy; unchanged if it leaves no choice."""
    return plan if plan.is_exact else replace(plan, policy=StrongestModelPolicy(reference_name(plan.policy), why))


def reference_name(policy: Policy) -> str:
    """The reference model of a policy with a quality target: the last of its `models`.

    Empty: the strongest model.
    """
    return policy.models[-1] if policy.models and getattr(policy, "target", None) is not None else ""


def reference_card(plan: RoutePlan) -> ModelCard:
    """The reference model of a plan."""
    large = reference_name(plan.policy)
    return next((card for card in plan.cards if card.name == large), None) or max(plan.cards, key=strength)


def strongest_card(candidates: Candidates, preferred: str = "") -> ModelCard:
    """`preferred` if it is a candidate, else the strongest candidate."""
    named = (candidate.card for candidate in candidates if candidate.card.name == preferred)
    return next(named, None) or max(candidates, key=lambda candidate: strength(candidate.card)).card
