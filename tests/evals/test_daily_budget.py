"""A day's money: booked as it goes, known after a restart, and new every day."""

from __future__ import annotations

from sizewise.evals.daily_budget import DAY_S, Purse


class Clock:
    def __init__(self) -> None:
        self.now = 20_000.5 * DAY_S
        self.looked: list[int] = []

    def noted(self, since: int) -> int:
        self.looked.append(since)
        return 30

    def __call__(self) -> float:
        return self.now


def test_what_was_spent_before_a_restart_counts_and_each_day_begins_with_all() -> None:
    clock = Clock()
    purse = Purse(clock.noted, clock)
    assert purse.left(100) == 70
    purse.book(50)
    assert (purse.left(100), purse.left(10)) == (20, 0)
    clock.now += DAY_S
    assert purse.left(100) == 100
    assert clock.looked == [20_000 * DAY_S * 1000]


def test_a_purse_that_was_closed_opens_tomorrow() -> None:
    clock = Clock()
    purse = Purse(clock.noted, clock)
    purse.left(100)
    purse.close()
    assert purse.left(100) == 0
    clock.now += DAY_S
    assert purse.left(100) == 100
