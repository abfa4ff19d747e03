"""Conversation window: compacts a conversation that no model's context window holds, until one does. Calls no model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from sizewise.handler import Request
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.model_card import ModelCard
from sizewise.routing.compaction import CompactedChat, compact
from sizewise.routing.context_fit import answer_room
from sizewise.routing.prompt_count import MOST_RATIO
from sizewise.routing.requirements import BYTES_PER_TOKEN, ESTIMATE_MARGIN, Requirements

TRIES = 4
STEP = 0.75  # of the size before, where a compacted conversation turned out to be too long

T = TypeVar("T")
MaskWhole = Callable[[Request], tuple[ChatRequest | EmbeddingRequest, Callable[[ChatRequest], Request]]]
"""A request's payload with masked values, and what makes a request of excerpts from it, with values and masks. Excerpts
could cut a value in two, which no guard finds then.
"""


def unmasked(request: Request) -> tuple[ChatRequest | EmbeddingRequest, Callable[[ChatRequest], Request]]:
    """A MaskWhole that masks nothing."""
    return request.payload, lambda excerpts: replace(request, payload=excerpts)


def may_exceed(card: ModelCard, payload: ChatRequest | EmbeddingRequest, prompt_tokens: int) -> bool:
    """Whether a prompt of this estimate could leave too little room in the model's window."""
    if card.context is None or not isinstance(payload, ChatRequest):
        return False
    return prompt_tokens * MOST_RATIO + answer_room(card, payload.max_tokens) > card.context


async def compact_until(
    request: Request,
    requirements: Requirements,
    cards: Iterable[ModelCard],
    assess: Callable[[Request], Awaitable[T | None]],
    mask: MaskWhole = unmasked,
) -> tuple[CompactedChat, T] | None:
    """The compacted conversation, with the first result of `assess` for it that is not None.

    `cards`: the models whose window was too small; the largest decides the size. None if nothing helps.
    """
    widest = max(cards, key=lambda card: card.context or 0, default=None)
    chat = request.payload
    if widest is None or widest.context is None or type(chat) is not ChatRequest:
        return None
    masked, whole = mask(request)
    assert isinstance(masked, ChatRequest)
    counted, estimate = requirements.counts.get(widest.name), max(1, requirements.features.prompt_tokens)
    ratio = ESTIMATE_MARGIN if counted is None else counted / estimate
    most = int((widest.context - answer_room(widest, chat.max_tokens)) * BYTES_PER_TOKEN / max(ratio, 1 / MOST_RATIO))
    for _ in range(TRIES):
        found = compact(masked, most)
        if found is None:
            return None
        if (result := await assess(whole(found.chat))) is not None:
            return found, result
        most = int(most * STEP)
    return None
