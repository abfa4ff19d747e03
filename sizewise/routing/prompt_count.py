"""Prompt counts: a prompt's tokens for each model near its window, by the model's own tokenizer; rejects no model.

The estimate is a quarter of the prompt's bytes. Measured on two tokenizers, 14 scripts and kinds of text, a prompt has
0.16 (blanks) to 3.9 (digits) times as many tokens; prose, code and JSON 0.8 to 1.35 times. So an estimate decides where
a prompt of any text would come out the same, and otherwise only where no tokenizer is on this machine, with a margin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from sizewise.handler import Request
from sizewise.model_card import ModelCard
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.requirements import Requirements

LEAST_RATIO = 0.16
MOST_RATIO = 4.0  # no prompt has more tokens than bytes

CountPrompt = Callable[[ModelCard, Request], Awaitable[int | None]]
"""Exact tokens of a request's prompt for a model, with its template; None if no tokenizer of it is ready here."""
CountPrompts = Callable[[tuple[ModelCard, ...], Request], Awaitable[Mapping[str, int]]]
"""Exact tokens by model name, of the models whose tokenizer is here. Raises nothing."""

NO_COUNTS: Mapping[str, int] = MappingProxyType({})


async def no_prompt_counts(cards: tuple[ModelCard, ...], request: Request) -> Mapping[str, int]:
    """A CountPrompts without tokenizers."""
    return NO_COUNTS


def models_near_window(plan: RoutePlan, requirements: Requirements) -> tuple[ModelCard, ...]:
    return tuple(card for card in plan.cards if is_near_window(card, requirements))


def is_near_window(card: ModelCard, requirements: Requirements) -> bool:
    """Whether the estimate leaves open if the prompt and the longest answer requested fit the model's window."""
    if card.context is None or card.task != "chat" or requirements.task != "chat" or requirements.modalities:
        return False  # an image has tokens that a tokenizer of text does not count
    tokens = requirements.features.prompt_tokens
    room = card.context - (requirements.features.max_tokens or 0)
    return tokens * LEAST_RATIO <= card.context and tokens * MOST_RATIO > room
