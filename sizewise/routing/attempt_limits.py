"""Attempt limits injected into the router: spend reservations, retry permission, randomness and the timeout.

Set by app/; the defaults limit nothing.
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
        """Maximum tokens of the answer, known once acquired; None: the client's maximum."""

    def try_acquire(self) -> bool:
        """Whether it is acquired at once; then `acquire` need not be awaited."""

    async def acquire(self) -> None:
        """Called before the attempt. Raises SizewiseError if it is not allowed."""

    def settle(self, cost: int | None, tokens: int) -> None:
        """Called after the attempt, however it ended. `cost`: pico-dollars, None if unknown; `tokens`: input and
        output.
        """


class SpendLimiter(Protocol):
    """Reserves the cost of attempts."""

    def reserve(
        self,
        principal: Principal,
        card: ModelCard,
        payload: ChatRequest | EmbeddingRequest,
        /,
    ) -> SpendReservation | None:
        """None if nothing limits the attempt."""


class UnlimitedSpending:
    """A SpendLimiter without limits."""

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


def unavailable_status(card: ModelCard) -> int:
    return 503


def unknown_retry_after(card: ModelCard) -> float:
    return 0.0


def even_chance() -> float:
    return 0.5


class AttemptLimits(Struct, frozen=True):
    """`timeout_s`: seconds for a request with all its attempts and pauses."""

    may_retry: Callable[[ModelCard], bool] = always_retry  # whether a request may retry a card that failed it
    refusal_status: Callable[[ModelCard], int] = unavailable_status  # while a model is unavailable: 429 or 503
    retry_after: Callable[[ModelCard], float] = unknown_retry_after  # seconds until a model is available; 0: unknown
    draw: Callable[[], float] = even_chance  # a random number, 0..1
    timeout_s: float = 600.0
    spend_limiter: SpendLimiter = UnlimitedSpending()


NO_ATTEMPT_LIMITS = AttemptLimits()
