"""What limits attempts: budgets, health, chance and the total; pure, and keeps none of them.

Given to the router by whoever puts the house together; the defaults are those of a router that nobody limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from sizewise.messages import Chat, Embed
from sizewise.model_card import Card
from sizewise.principal import Caller


class Lease(Protocol):
    """The right to make one attempt."""

    @property
    def most(self) -> int | None:
        """Tokens that its answer may have, known once it is held; None: as many as the client said."""

    def held(self) -> bool:
        """Whether it is held at once; where it is, `hold` need not be awaited."""

    async def hold(self) -> None:
        """Before it. Raises SizewiseError where it may not be made."""

    def settle(self, cost: int | None, tokens: int) -> None:
        """After it, however it ended: pico-dollars, None where nobody knows, and tokens read and said."""


class Purse(Protocol):
    """Who pays for attempts."""

    def lease(self, caller: Caller, card: Card, what: Chat | Embed, /) -> Lease | None:
        """None where nothing limits it."""


class Open:
    """The purse of whoever nobody limits."""

    def lease(self, caller: Caller, card: Card, what: Chat | Embed, /) -> Lease | None:
        return None


def always(card: Card) -> bool:
    return True


def unknown(card: Card) -> float:
    return 0.0


def even() -> float:
    return 0.5


class Ways(Struct, frozen=True):
    """`total_s` bounds a request in seconds, all its attempts and pauses together."""

    spare: Callable[[Card], bool] = always  # whether a card may be asked once more by a request that it failed
    left: Callable[[Card], float] = unknown  # seconds until an ill model may be asked; 0: nobody knows
    chance: Callable[[], float] = even  # 0..1, drawn anew each time
    total_s: float = 600.0
    purse: Purse = Open()


FREE = Ways()
