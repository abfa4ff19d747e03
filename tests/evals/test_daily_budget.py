"""A day's money: booked as it goes, known after a restart, and new every day."""

from __future__ import annotations

from sizewise.evals.daily_budget import DAY_S, DailyBudget


class Clock:
    def __init__(self) -> None:
        self.now = 20_000.5 * DAY_S
        self.looked: list[int] = []

    def record(self, since: int) -> int:
        self.looked.append(since)
        return 30

    def __call__(self) -> float:
        return self.now


def test_what_was_spent_before_a_restart_counts_and_each_day_begins_with_all() -> None:
    clock = Clock()
    purse = DailyBudget(clock.record, clock)
    assert purse.remaining(100) == 70
    purse.spend(50)
    assert (purse.remaining(100), purse.remaining(10)) == (20, 0)
    clock.now += DAY_S
    assert purse.remaining(100) == 100
    assert clock.looked == [20_000 * DAY_S * 1000]


def test_a_purse_that_was_closed_opens_tomorrow() -> None:
    clock = Clock()
    purse = DailyBudget(clock.record, clock)
    purse.remaining(100)
    purse.exhaust()
    assert purse.remaining(100) == 0
    clock.now += DAY_S
    assert purse.remaining(100) == 100
