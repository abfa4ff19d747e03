"""Daily budget (UTC): what may still be spent today; survives a restart. Knows no model."""

from __future__ import annotations

from collections.abc import Callable

DAY_S = 86_400


class DailyBudget:
    """Pico-dollars. One for a process, outlives Houses."""

    def __init__(self, load_spent: Callable[[int], int], clock: Callable[[], float]) -> None:
        """`load_spent`: what was spent since unix ms, as far as it was written down. `clock`: unix seconds."""
        self._load_spent = load_spent
        self._clock = clock
        self._day = -1
        self._spent = 0
        self._exhausted = False

    def remaining(self, limit: int) -> int:
        """Of a day's `limit`."""
        day = int(self._clock() // DAY_S)
        if day != self._day:
            first = self._day < 0
            self._day, self._exhausted = day, False
            self._spent = self._load_spent(day * DAY_S * 1000) if first else 0
        return 0 if self._exhausted else max(0, limit - self._spent)

    def spend(self, cost: int) -> None:
        self._spent += cost

    def exhaust(self) -> None:
        """Until tomorrow. The first question that the money is too little for ends the day: were only shorter ones
        asked from then on, what is learnt would be about short ones.
        """
        self._exhausted = True
