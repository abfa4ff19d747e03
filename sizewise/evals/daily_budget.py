"""Daily budget (UTC): the amount left to spend today; survives a restart. Knows no model."""

from __future__ import annotations

from collections.abc import Callable

DAY_S = 86_400


class DailyBudget:
    """Amounts are pico-dollars. One per process; it outlives applications."""

    def __init__(self, load_spent: Callable[[int], int], clock: Callable[[], float]) -> None:
        """`load_spent`: the recorded spending since a time in unix ms. `clock`: unix seconds."""
        self._load_spent = load_spent
        self._clock = clock
        self._day = -1
        self._spent = 0
        self._exhausted = False

    def remaining(self, limit: int) -> int:
        """What is left today of a daily `limit`."""
        day = int(self._clock() // DAY_S)
        if day != self._day:
            first = self._day < 0
            self._day, self._exhausted = day, False
            self._spent = self._load_spent(day * DAY_S * 1000) if first else 0
        return 0 if self._exhausted else max(0, limit - self._spent)

    def spend(self, cost: int) -> None:
        self._spent += cost

    def exhaust(self) -> None:
        """Leaves nothing until tomorrow. Called when the rest cannot pay for a request: continuing with cheaper ones
        would bias the sample towards short requests.
        """
        self._exhausted = True
