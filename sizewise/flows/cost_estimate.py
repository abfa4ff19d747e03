"""Cost and size of a request, from the router's own decision; calls no model, but may have a tokenizer count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from sizewise.flows.node import CostEstimate
from sizewise.handler import Request
from sizewise.model_card import ModelCard
from sizewise.routing.explain import RoutingDecision
from sizewise.routing.prompt_count import CountPrompt


class CostEstimator:
    """Estimates for one application. `near_window`: exact prompt tokens by model, where they decide."""

    def __init__(
        self,
        explain: Callable[[Request, Mapping[str, int]], RoutingDecision],
        cards: Iterable[ModelCard],
        near_window: Callable[[Request], Awaitable[Mapping[str, int]]],
        count_prompt: CountPrompt,
    ) -> None:
        self._explain = explain
        self._near_window = near_window
        self._count_prompt = count_prompt
        self._cards = {card.name: card for card in cards}

    async def __call__(self, request: Request, *, exact: bool = False) -> CostEstimate:
        """`exact`: have the tokens counted, if a tokenizer is here, even far from the window. Raises ModelNotFound."""
        counts = await self._near_window(request)
        decision = self._explain(request, counts)
        if decision.error or not decision.steps:
            return CostEstimate(reason=decision.why, too_long=any(each.too_long for each in decision.candidates))
        first = decision.steps[0].models[0]
        card = self._cards[first]
        seen = next(each for each in decision.candidates if each.model == first)
        counted = counts.get(first)
        if exact and counted is None:
            counted = await self._count_prompt(card, request)
        return CostEstimate(
            first,
            seen.expected_cost,
            card.context,
            prompt_tokens=decision.prompt_tokens if counted is None else counted,
            counted=counted is not None,
            slots=card.slots,
            is_local=card.weights is not None,
            expected_s=seen.expected_s,
            parameters=card.parameters,
        )
