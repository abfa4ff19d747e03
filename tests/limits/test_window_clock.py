"""Limits when the clock is wrong, set right, or differs from the store's: no limit is locked or given twice."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from sizewise.errors import Busy
from sizewise.limits.rate_limiter import Limiter
from sizewise.limits.rules import Limit, ScopedLimit
from sizewise.limits.tables import read_snapshot
from sizewise.limits.window_clock import WindowClock
from tests.gateway.server_harness import rows
from tests.limits.limiter_harness import ANNA, NOON, Shop
from tests.running_server import ECHO, Served, serving, until

HOUR = 3_600.0
MINUTES = f"""{ECHO}
[limits.organization]
requests_per_minute = 1000000
"""


class Ticks:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def reset_s(served: Served) -> int:
    return int(served.chat("echo/small").headers["x-ratelimit-reset-requests"].removesuffix("s"))


@pytest.mark.long
def test_after_a_clock_that_was_an_hour_ahead_is_set_right_a_limit_renews_within_the_minute(tmp_path: Path) -> None:
    program = str(Path(__file__).with_name("clock_setting_server.py"))
    with serving(tmp_path, MINUTES, program=program) as served:
        assert reset_s(served) <= 60
        served.process.send_signal(signal.SIGUSR1)
        until(lambda: _window(tmp_path) > time.time() + HOUR - 120 or not reset_s(served))
        served.process.send_signal(signal.SIGUSR2)
        until(lambda: "was set back" in "".join(served.said))
        assert reset_s(served) <= 60


def _window(home: Path) -> float:
    """The start of the latest window in the database."""
    return float(rows(home, "SELECT MAX(since) AS since FROM budget_pots")[0]["since"] or 0)


@pytest.mark.parametrize("jump", [30.0, HOUR, 86_400.0, 400 * 86_400.0], ids=["30 s", "1 h", "1 d", "400 d"])
async def test_a_clock_that_is_set_back_renews_a_limit_every_minute(tmp_path: Path, jump: float) -> None:
    shop, ticks = Shop(tmp_path), Ticks()
    clock = WindowClock(NOON, ticks)
    budgets = Limiter(shop.read(read_snapshot), shop.look, shop.write, clock=clock)

    async def enter() -> None:
        waiting = budgets.count_request(ANNA)
        if waiting is not None:
            await waiting

    try:
        await budgets.set_limit(ScopedLimit("local", "organization", Limit(requests_minute=2)), ANNA)
        clock.sync(NOON + jump)
        seen = clock()
        for minute in range(3):
            await enter()
            await enter()
            with pytest.raises(Busy) as refused:
                await enter()
            assert refused.value.retry_after is not None and refused.value.retry_after <= 60
            for _ in range(67):
                ticks.now += 1
                clock.sync(NOON + 67 * minute)
                assert clock() > seen, "it goes on, and never back"
                seen = clock()
    finally:
        shop.database.close()


def test_small_steps_of_the_clock_give_no_quota_twice() -> None:
    ticks = Ticks()
    clock = WindowClock(NOON, ticks)
    times = []
    for second in range(200):
        ticks.now += 1
        clock.sync(NOON + second + (0.4 if second % 2 else -0.4))
        times.append(clock())
    assert times == sorted(times) and abs(times[-1] - (NOON + 200)) < 2


def test_a_machine_that_slept_goes_on_at_once_where_the_store_is() -> None:
    clock = WindowClock(NOON, Ticks())
    clock.sync(NOON + 8 * HOUR)
    assert clock() == NOON + 8 * HOUR


def test_a_clock_that_was_ahead_catches_up() -> None:
    ticks, ahead = Ticks(), []
    clock = WindowClock(NOON + 60, ticks)
    for second in range(1, 700):
        ticks.now += 1
        clock.sync(NOON + second)
        ahead.append(clock() - (NOON + second))
    assert ahead == sorted(ahead, reverse=True) and ahead[0] == 60 and ahead[-1] <= 0.1
