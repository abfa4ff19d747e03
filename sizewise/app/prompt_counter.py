"""Prompt counter: exact tokens of a prompt as a model would see it, for models whose tokenizer is on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sizewise.errors import SizewiseError
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard
from sizewise.providers.connections import ModelConnections
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.prompt_count import NO_COUNTS, models_near_window
from sizewise.routing.requirements import requirements_of

COUNT_TIMEOUT_S = 10.0  # a worker that is slower is busy or gone: the estimate decides


class PromptCounter:
    """A CountPrompt. Prompts are masked and spotlighted, as `guardrails` would show them."""

    def __init__(
        self,
        connections: ModelConnections,
        guardrails: GuardrailPipeline,
        aliases: ModelAliases,
        data_policy: DataPolicy,
    ) -> None:
        self._connections = connections
        self._guardrails = guardrails
        self._aliases = aliases
        self._data_policy = data_policy

    async def __call__(self, card: ModelCard, request: Request) -> int | None:
        tokenizer = self._connections.tokenizer(card)
        if tokenizer is None:
            return None
        seen = await self._guardrails.view_offloaded(card, request)
        return await tokenizer(seen, "public") if isinstance(seen, ChatRequest) else None

    async def count_all(self, cards: tuple[ModelCard, ...], request: Request) -> Mapping[str, int]:
        """Exact tokens by model name, of the models whose tokenizer is ready. Raises nothing."""
        found = await asyncio.gather(*(self._count(card, request) for card in cards))
        return {card.name: tokens for card, tokens in zip(cards, found, strict=True) if tokens is not None}

    async def near_window(self, request: Request) -> Mapping[str, int]:
        """As `count_all`, of the models near whose window the prompt is. Raises ModelNotFound."""
        plan = self._aliases(request.payload, request.options.policy)
        near = models_near_window(plan, requirements_of(request, self._data_policy, plan.policy_name))
        return await self.count_all(near, request) if near else NO_COUNTS

    async def _count(self, card: ModelCard, request: Request) -> int | None:
        try:
            async with asyncio.timeout(COUNT_TIMEOUT_S):
                return await self(card, request)
        except (SizewiseError, TimeoutError):  # the model cannot be asked either, and says why when it is
            return None
