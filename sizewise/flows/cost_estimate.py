"""Cost estimate of a request, from the router's own decision; calls no model."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sizewise.flows.node import CostEstimate
from sizewise.handler import Request
from sizewise.model_card import ModelCard
from sizewise.routing.explain import RoutingDecision


class CostEstimator:
    """Estimates for one application."""

    def __init__(self, explain: Callable[[Request], RoutingDecision], cards: Iterable[ModelCard]) -> None:
        self._explain = explain
        self._context_windows = {card.name: card.context for card in cards}

    def __call__(self, request: Request) -> CostEstimate:
        """Raises ModelNotFound."""
        decision = self._explain(request)
        if decision.error or not decision.steps:
            return CostEstimate(reason=decision.why)
        first = decision.steps[0].models[0]
        cost = next((each.expected_cost for each in decision.candidates if each.model == first), None)
        return CostEstimate(first, cost, self._context_windows.get(first))
