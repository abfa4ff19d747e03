"""What limits the attempts of all requests alike: budget, health, chance and the total; pure, and keeps none of them.

Given to the router by whoever puts the house together; the defaults are those of a router that nobody limits.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from sizewise.cards import Card


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


FREE = Ways()
