"""The alarm is false as rarely as it says, whenever one looks, and true soon; the estimate holds at all times."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from sizewise.routing.guarantees.drift import INITIAL_DRIFT, estimate_loss, is_alarm, update_drift, wealth

EPS, SURE = 0.05, 0.95


def rings(chance: Callable[[int], float], requests: int, seed: int, worse: float = 1.0) -> int | None:
    """The request at which the alarm rings, where request n loses `worse` with chance(n)."""
    lot, drift = random.Random(seed), INITIAL_DRIFT
    for number in range(1, requests + 1):
        drift = update_drift(drift, worse if lot.random() < chance(number) else 0.0, EPS)
        if is_alarm(drift, SURE):
            return number
    return None


@pytest.mark.parametrize("worse", [1.0, 0.5])
def test_while_the_promise_is_just_kept_at_most_one_run_in_twenty_alarms_ever(worse: float) -> None:
    false = sum(rings(lambda _: EPS / worse, 600, seed, worse) is not None for seed in range(400))
    assert false <= 20


def test_a_kept_promise_in_changing_times_alarms_no_more_often() -> None:
    """Good times pay for no bad ones: each request keeps the promise by itself, the hardest case that is still kept."""
    false = sum(rings(lambda n: EPS if n % 100 < 50 else 0.0, 600, seed) is not None for seed in range(400))
    assert false <= 20


@pytest.mark.parametrize(("chance", "within"), [(0.1, 400), (0.2, 60), (0.5, 15)])
def test_a_broken_promise_is_found(chance: float, within: int) -> None:
    found = sorted(rings(lambda _: chance, 3_000, seed) or 9_999 for seed in range(60))
    assert found[30] < within and found[-1] <= 3_000


def test_a_long_good_time_does_not_hide_what_comes_after() -> None:
    found = sorted(rings(lambda n: 0.01 if n <= 500 else 0.2, 1_500, seed) or 9_999 for seed in range(60))
    assert found[5] > 500 and found[30] < 650


def test_wealth_is_one_before_anything_is_seen_and_neither_grows_nor_ends_by_chance_alone() -> None:
    assert wealth(INITIAL_DRIFT) == 1.0
    for drift in (
        INITIAL_DRIFT,
        update_drift(INITIAL_DRIFT, 1.0, EPS),
        update_drift(update_drift(INITIAL_DRIFT, 0.0, EPS), 0.3, EPS),
    ):
        expected = EPS * wealth(update_drift(drift, 1.0, EPS)) + (1 - EPS) * wealth(update_drift(drift, 0.0, EPS))
        assert expected == pytest.approx(wealth(drift))
        assert min(update_drift(drift, 0.0, EPS).bet_wealths) > 0


def test_nothing_seen_is_not_measured() -> None:
    for its in (estimate_loss(0, {}, 0, SURE), estimate_loss(5, {}, 5, SURE)):
        assert (its.mean_loss, its.low, its.high) == (None, None, None)
    assert estimate_loss(5, {}, 0, SURE).mean_loss == 0.0


def test_what_nobody_could_judge_widens_the_interval_to_both_sides() -> None:
    known, half = estimate_loss(500, {0.0: 450, 1.0: 50}, 0, SURE), estimate_loss(500, {0.0: 225, 1.0: 25}, 250, SURE)
    assert known.mean_loss == half.mean_loss == 0.05
    assert (half.sample_count, half.undecided) == (1_000, 250)
    assert known.low is not None and half.low is not None and known.high is not None and half.high is not None
    assert half.low < known.low and half.high > 0.25


@pytest.mark.parametrize(
    ("losses", "low", "high"),
    [
        ({0.0: 100}, (0.0, 0.0), (0.03, 0.07)),
        ({0.0: 95, 1.0: 5}, (0.005, 0.02), (0.10, 0.16)),
        ({0.0: 950, 1.0: 50}, (0.025, 0.04), (0.06, 0.08)),
        ({1.0: 100}, (0.93, 0.97), (1.0, 1.0)),
        ({0.5: 400}, (0.4, 0.5), (0.5, 0.6)),
    ],
)
def test_the_interval_is_about_as_narrow_as_it_can_be(
    losses: dict[float, int],
    low: tuple[float, float],
    high: tuple[float, float],
) -> None:
    its = estimate_loss(0, losses, 0, SURE)
    assert its.low is not None and its.high is not None and its.mean_loss is not None
    assert low[0] <= its.low <= low[1] and high[0] <= its.high <= high[1]
    assert its.low <= its.mean_loss <= its.high


@pytest.mark.long
def test_the_interval_holds_the_truth_at_all_times_together() -> None:
    missed = 0
    for seed in range(100):
        lot, losses = random.Random(seed), Counter[float]()
        for number in range(1, 301):
            losses[lot.choice((0.0, 0.5, 1.0)) if lot.random() < 0.2 else 0.0] += 1
            its = estimate_loss(0, losses, 0, SURE) if number % 10 == 0 else None
            if its is not None and its.low is not None and its.high is not None and not its.low <= 0.1 <= its.high:
                missed += 1
                break
    assert missed <= 5
