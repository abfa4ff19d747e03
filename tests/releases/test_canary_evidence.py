"""A canary within its margin is rolled back as rarely as said, whenever one looks; one that is broken is, and soon."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.releases.canary.betting import MetricEvidence, interval, observe, of_difference, of_pair, of_unit
from sizewise.releases.canary.forecast import days, units_to_certify, units_to_find
from sizewise.releases.canary.guards import (
    GuardMargins,
    GuardState,
    Losses,
    initial_state,
    observe_pair,
    observe_unit,
    quantile,
)
from sizewise.releases.canary.sample_ratio import SampleRatio, count_unit
from sizewise.releases.canary.split import RequestUnit, arm_of, position
from tests.properties import examples

NEEDED = 20.0
NOW = 1_800_000_000.0
SHARES = some.floats(0.01, 0.99)
RATES = some.floats(0.0, 1.0)


class Live:
    def __init__(self, share: float, canary: str | None = "c" * 64) -> None:
        self.share = share
        self.canary = canary
        self.ticked = round(NOW * 1_000)


def units(number: int) -> list[RequestUnit]:
    return [RequestUnit(session=f"s{each}", key="k") for each in range(number)]


def test_the_canary_answers_its_share_of_the_units_and_keeps_them_while_it_rises() -> None:
    shares = (0.0, 0.05, 0.25, 0.5, 1.0)
    arms = [{each.session for each in units(4_000) if arm_of(Live(share), each, NOW) == "canary"} for share in shares]
    assert arms[0] < arms[1] < arms[2] < arms[3] < arms[4]
    assert 140 < len(arms[1]) < 260 and 900 < len(arms[2]) < 1_100


def test_a_unit_is_its_session_else_its_end_user_else_its_key_else_its_trace() -> None:
    names = [
        RequestUnit("s", "u", "k", "t").name,
        RequestUnit("", "u", "k", "t").name,
        RequestUnit("", "", "k", "t").name,
        RequestUnit("", "", "", "t").name,
    ]
    assert names == ["session:s", "end_user:u", "key:k", "trace:t"]


def test_a_conversation_that_has_begun_keeps_its_arm_until_the_canary_is_over() -> None:
    unit = RequestUnit(session="s", begun="stable")
    assert arm_of(Live(1.0), unit, NOW) == "stable"
    assert arm_of(Live(0.05), RequestUnit(session="s", begun="canary"), NOW) == "canary"
    assert arm_of(Live(1.0, None), RequestUnit(session="s", begun="canary"), NOW) == "stable"


def test_stable_answers_all_once_nobody_has_evaluated_for_a_minute() -> None:
    unit = RequestUnit(session="s", begun="canary")
    assert arm_of(Live(1.0), unit, NOW + 59) == "canary" and arm_of(Live(1.0), unit, NOW + 61) == "unsplit"


def test_two_releases_split_the_same_units_independently() -> None:
    both = sum(position("a", str(n)) < 0.5 and position("b", str(n)) < 0.5 for n in range(2_000))
    assert 430 < both < 570


@examples(200)
@given(stable=RATES, canary=RATES, share=SHARES, expected=RATES, margin=some.floats(0, 0.2), ratio=some.floats(0, 1))
def test_an_observed_unit_has_the_mean_of_the_difference_less_the_margin_and_keeps_its_bounds(
    stable: float, canary: float, share: float, expected: float, margin: float, ratio: float
) -> None:
    mean = 0.0
    for is_canary, loss in product((True, False), (0.0, 1.0)):
        seen = of_unit(loss, is_canary=is_canary, share=share, expected=expected, margin=margin, ratio=ratio)
        assert seen.lowest - 1e-9 <= seen.value <= seen.highest + 1e-9
        assert seen.lowest < 1e-9
        rate = canary if is_canary else stable
        mean += (share if is_canary else 1 - share) * (rate if loss else 1 - rate) * seen.value
    assert mean == pytest.approx(canary - (1 + ratio) * stable - margin, abs=1e-9)


@examples(100)
@given(stable=RATES, canary=RATES, margin=some.floats(0, 0.2), ratio=some.floats(0, 1))
def test_a_pair_has_the_same_mean_and_keeps_its_bounds(
    stable: float, canary: float, margin: float, ratio: float
) -> None:
    seen = of_pair(canary, stable, margin=margin, ratio=ratio)
    assert seen.value == pytest.approx(canary - (1 + ratio) * stable - margin)
    assert seen.lowest - 1e-9 <= seen.value <= seen.highest + 1e-9


@examples(100)
@given(values=some.lists(some.sampled_from((-1.0, 0.0, 1.0)), max_size=30), margin=some.floats(0, 0.1))
def test_wealth_is_never_negative_and_neither_grows_nor_shrinks_in_the_mean_at_the_margin(
    values: list[float], margin: float
) -> None:
    evidence = MetricEvidence()
    for each in values:
        evidence = observe(evidence, of_difference(each, margin=margin))
    assert evidence.wealth >= 0 and min(evidence.not_worse) >= 0
    better, worse = (1 - margin) / 2, (1 + margin) / 2  # the mean difference is the margin
    after = [observe(evidence, of_difference(each, margin=margin)) for each in (-1.0, 1.0)]
    assert better * after[0].wealth + worse * after[1].wealth == pytest.approx(evidence.wealth)
    mirrored = better * sum(after[0].not_worse) + worse * sum(after[1].not_worse)
    assert mirrored == pytest.approx(sum(evidence.not_worse))


def split(seed: int, stable: float, canary: float, count: int, shares: tuple[float, ...]) -> Iterator[GuardState]:
    """The state after each unit; its share changes in `count` / number of shares steps. First requests alone."""
    lot = random.Random(seed)
    state = initial_state(GuardMargins(), shadow=False, judged=False)
    for number in range(count):
        share = shares[number * len(shares) // count]
        is_canary = lot.random() < share
        loss = float(lot.random() < (canary if is_canary else stable))
        state = observe_unit(state, "first", {"error": loss}, is_canary=is_canary, share=share)
        yield state


def rolled_back(states: Iterator[GuardState]) -> GuardState | None:
    return next((each for each in states if each.rollback().value >= NEEDED), None)


@pytest.mark.parametrize("shares", [(0.05,), (0.5,), (0.05, 0.25, 0.5)])
def test_a_canary_exactly_at_its_margin_is_rolled_back_at_most_once_in_twenty(shares: tuple[float, ...]) -> None:
    assert sum(rolled_back(split(seed, 0.01, 0.02, 400, shares)) is not None for seed in range(40)) <= 4


@pytest.mark.long
@pytest.mark.parametrize("shares", [(0.05,), (0.25,), (0.5,), (0.05, 0.25, 0.5)])
def test_so_are_at_most_five_percent_of_four_hundred(shares: tuple[float, ...]) -> None:
    assert sum(rolled_back(split(seed, 0.05, 0.06, 1_000, shares)) is not None for seed in range(400)) <= 20


@pytest.mark.parametrize(("share", "canary_units"), [(0.05, 4), (0.25, 7), (0.5, 13)])
def test_a_broken_canary_is_found_after_a_handful_of_its_units(share: float, canary_units: int) -> None:
    found = [rolled_back(split(seed, 0.01, 1.0, 400, (share,))) for seed in range(20)]
    assert all(each is not None and each.rollback().metric == "error" for each in found)
    assert median(each.evidence["first"]["error"].canary.count for each in found if each is not None) <= canary_units


def test_a_shadow_run_finds_it_before_anyone_is_exposed_and_names_what_fell() -> None:
    state = initial_state(GuardMargins(), shadow=True, judged=True)
    for number in range(60):
        state = observe_pair(state, {"slow": 0.0, "cost": 0.2}, {"slow": 0.0, "cost": 0.2}, float(number % 2))
    cause = state.rollback()
    assert (cause.clock, cause.metric) == ("pairs", "quality") and cause.value >= NEEDED


def test_a_judge_that_finds_differences_by_chance_alone_rolls_nothing_back() -> None:
    lot = random.Random(1)
    state = initial_state(GuardMargins(), shadow=True, judged=True)
    for _ in range(1_500):
        state = observe_pair(state, {}, {}, lot.choice((1.0, -1.0, 0.0, 0.0, 0.0)))
        assert state.rollback().value < NEEDED


def test_what_costs_twice_as_much_is_found_as_a_ratio_and_a_tenth_more_is_allowed() -> None:
    state = initial_state(GuardMargins(), shadow=False, judged=False)
    allowed = state
    lot = random.Random(2)
    for _ in range(400):
        is_canary, cost = lot.random() < 0.5, 0.4 * lot.random()
        losses: Losses = {"cost": min(1.0, 2 * cost) if is_canary else cost}
        state = observe_unit(state, "session", losses, is_canary=is_canary, share=0.5)
        slight: Losses = {"cost": 1.05 * cost if is_canary else cost}
        allowed = observe_unit(allowed, "session", slight, is_canary=is_canary, share=0.5)
    assert state.rollback().metric == "cost" and state.rollback().value >= NEEDED > allowed.rollback().value
    ratio = state.difference("session", "cost", 0.05)
    assert ratio is not None and ratio.low < 1.0 < ratio.high and ratio.value == pytest.approx(1.0, abs=0.3)


def test_an_equal_canary_is_certified_and_one_at_the_margin_is_not() -> None:
    margins = GuardMargins(error=0.05, quality=None, slow=None, cost=None)
    for canary, is_certified in ((0.0, True), (0.05, False)):
        lot, state = random.Random(3), initial_state(margins, shadow=False, judged=False)
        for _ in range(900):
            is_canary = lot.random() < 0.5
            loss = float(is_canary and lot.random() < canary)
            state = observe_unit(state, "session", {"error": loss}, is_canary=is_canary, share=0.5)
        assert (state.certification() >= NEEDED) is is_certified


def test_a_guard_that_is_off_is_not_watched_and_evidence_is_shared_by_those_that_are() -> None:
    all_four = initial_state(GuardMargins(), shadow=True, judged=True)
    errors_alone = initial_state(GuardMargins(quality=None, slow=None, cost=None), shadow=False, judged=True)
    assert (all_four.bets, errors_alone.bets) == (10, 2)
    assert errors_alone.metrics() == ["error"]
    assert initial_state(GuardMargins(), shadow=True, judged=False).bets == 9


def test_units_of_one_arm_that_are_lost_are_found_and_a_changing_share_is_not() -> None:
    lot, lossy, fair = random.Random(4), SampleRatio(), SampleRatio()
    for number in range(2_000):
        share = 0.05 if number < 700 else 0.5
        is_canary = lot.random() < share
        fair = count_unit(fair, is_canary=is_canary, share=share)
        if not (is_canary and lot.random() < 0.4):
            lossy = count_unit(lossy, is_canary=is_canary, share=share)
    assert lossy.is_broken and not fair.is_broken


def test_the_interval_narrows_around_the_difference() -> None:
    lot, evidence = random.Random(5), MetricEvidence()
    assert interval(evidence, 0.05) is None
    widths = []
    for number in range(1, 2_001):
        evidence = observe(evidence, of_difference(float(lot.random() < 0.2), margin=0.0))
        found = interval(evidence, 0.05)
        if number in (200, 2_000):
            assert found is not None and found.low < 0.2 < found.high
            widths.append(found.high - found.low)
    assert widths[0] > 2 * widths[1]


def test_a_forecast_says_within_a_factor_of_two_when_a_fault_is_found() -> None:
    said = units_to_find(0.01, 0.30, 0.01, 0.25, 6 * NEEDED)
    found = []
    for seed in range(15):
        found.append(sum(1 for each in split(seed, 0.01, 0.30, 600, (0.25,)) if each.rollback().value < NEEDED))
    assert said is not None and said / 2 <= median(found) <= 2 * said


def test_a_forecast_names_days_or_never() -> None:
    few = units_to_find(0.01, 0.05, 0.01, 0.05, 6 * NEEDED)
    assert few is not None and (days(few, 200, 86_400_000) or 0) > 7
    assert units_to_find(0.01, 0.01, 0.01, 0.05, NEEDED) is None
    assert days(None, 5, 5) is None and days(5, 0, 5) is None
    certain = units_to_certify(0.01, 0.01, 0.5, NEEDED)
    assert certain is not None and 1_500 < certain < 9_000


def test_quantiles_are_by_nearest_rank() -> None:
    assert quantile([], 0.95) is None
    assert quantile([float(each) for each in range(1, 101)], 0.95) == 95.0
    assert quantile([3.0], 0.99) == 3.0
