"""What may still be spent on something today (UTC), booked as it goes, a restart included; knows no model."""

from __future__ import annotations

from collections.abc import Callable

DAY_S = 86_400


class Purse:
    """Pico-dollars. One for a process, outlives Houses."""

    def __init__(self, noted: Callable[[int], int], clock: Callable[[], float]) -> None:
        """`noted`: what was spent since unix ms, as far as it was written down. `clock`: unix seconds."""
        self._noted = noted
        self._clock = clock
        self._day = -1
        self._spent = 0
        self._over = False

    def left(self, limit: int) -> int:
        """Of a day's `limit`."""
        day = int(self._clock() // DAY_S)
        if day != self._day:
            first = self._day < 0
            self._day, self._over = day, False
            self._spent = self._noted(day * DAY_S * 1000) if first else 0
        return 0 if self._over else max(0, limit - self._spent)

    def book(self, cost: int) -> None:
        self._spent += cost

    def close(self) -> None:
        """Until tomorrow. The first question that the money is too little for ends the day: were only shorter ones
        asked from then on, what is learnt would be about short ones."""
        self._over = True
