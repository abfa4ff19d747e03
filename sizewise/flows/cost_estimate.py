"""What a question would cost and who would be asked first, by the router's own decision; asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sizewise.flows.node import Quote
from sizewise.handler import Ask
from sizewise.model_card import Card
from sizewise.routing.explain import Decision


class Quotes:
    """For one house."""

    def __init__(self, explain: Callable[[Ask], Decision], cards: Iterable[Card]) -> None:
        self._explain = explain
        self._windows = {card.name: card.context for card in cards}

    def __call__(self, ask: Ask) -> Quote:
        """Raises UnknownModel for a name that means nothing."""
        decision = self._explain(ask)
        if decision.error or not decision.steps:
            return Quote(objection=decision.why)
        first = decision.steps[0].models[0]
        cost = next((each.cost for each in decision.candidates if each.model == first), None)
        return Quote(first, cost, self._windows.get(first))
