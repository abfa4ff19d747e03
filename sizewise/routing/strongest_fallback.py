"""Fallback to the strongest model, for a policy whose quality guarantee is no longer trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sizewise.model_card import ModelCard
from sizewise.routing.fallback import with_fallbacks
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policy import Candidates, Policy, PolicyRun, RequestFeatures, strength

DistrustCheck = Callable[[str, str], str]
"""Tenant and policy -> why its promise is not trusted there any more, in words; empty when all is well."""


@dataclass(frozen=True, slots=True)
class StrongestModelPolicy:
    """The large model, asked once more where its failure may pass; where it may not answer, the strongest that may. No
    weaker one steps in.
    """

    reference_model: str
    why: str
    models: tuple[str, ...] = ()

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        best = strongest_card(candidates, self.reference_model)
        return with_fallbacks(features, (best,), f"{best.name} alone: {self.why}", retries=1)


def with_strongest_fallback(plan: RoutePlan, why: str) -> RoutePlan:
    """The same plan on the safe side. One that leaves no choice stays as it is."""
    return plan if plan.is_exact else replace(plan, policy=StrongestModelPolicy(reference_name(plan.policy), why))


def reference_name(policy: Policy) -> str:
    """The model whose answers are the standard, where the policy promises something of it: the last of its `models`.

    Empty: the strongest there is.
    """
    return policy.models[-1] if policy.models and getattr(policy, "target", None) is not None else ""


def reference_card(plan: RoutePlan) -> ModelCard:
    """The model whose answers are the standard of a plan."""
    large = reference_name(plan.policy)
    return next((card for card in plan.cards if card.name == large), None) or max(plan.cards, key=strength)


def strongest_card(candidates: Candidates, preferred: str = "") -> ModelCard:
    """`large` where it is among the candidates, else the one presumed to be best."""
    named = (candidate.card for candidate in candidates if candidate.card.name == preferred)
    return next(named, None) or max(candidates, key=lambda candidate: strength(candidate.card)).card
