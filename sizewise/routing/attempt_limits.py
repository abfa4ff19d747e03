"""Attempt limits injected into the router: spend reservations, retry permission, randomness and the timeout.

Given to the router by whoever puts the house together; the defaults are those of a router that nobody limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.model_card import ModelCard
from sizewise.principal import Principal


class SpendReservation(Protocol):
    """The right to make one attempt."""

    @property
    def max_tokens(self) -> int | None:
        """Tokens that its answer may have, known once it is held; None: as many as the client said."""

    def try_acquire(self) -> bool:
        """Whether it is held at once; where it is, `acquire` need not be awaited."""

    async def acquire(self) -> None:
        """Before it. Raises SizewiseError where it may not be made."""

    def settle(self, cost: int | None, tokens: int) -> None:
        """After it, however it ended: pico-dollars, None where nobody knows, and tokens read and said."""


class SpendLimiter(Protocol):
    """Who pays for attempts."""

    def reserve(
        self,
        principal: Principal,
        card: ModelCard,
        payload: ChatRequest | EmbeddingRequest,
        /,
    ) -> SpendReservation | None:
        """None where nothing limits it."""


class UnlimitedSpending:
    """The purse of whoever nobody limits."""

    def reserve(
        self,
        principal: Principal,
        card: ModelCard,
        payload: ChatRequest | EmbeddingRequest,
        /,
    ) -> SpendReservation | None:
        return None


def always_retry(card: ModelCard) -> bool:
    return True


def unknown_retry_after(card: ModelCard) -> float:
    return 0.0


def even_chance() -> float:
    return 0.5


class AttemptLimits(Struct, frozen=True):
    """`timeout_s` bounds a request in seconds, all its attempts and pauses together."""

    may_retry: Callable[[ModelCard], bool] = (
        always_retry  # whether a card may be asked once more by a request that it failed
    )
    retry_after: Callable[[ModelCard], float] = (
        unknown_retry_after  # seconds until an ill model may be asked; 0: nobody knows
    )
    draw: Callable[[], float] = even_chance  # 0..1, drawn anew each time
    timeout_s: float = 600.0
    spend_limiter: SpendLimiter = UnlimitedSpending()


NO_ATTEMPT_LIMITS = AttemptLimits()
