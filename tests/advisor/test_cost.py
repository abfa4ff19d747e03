"""Break-even is exact: solved as fractions, the same as brute force finds, with machines that fill up on the way."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sizewise.advisor.cost import Cost, Interval, cheaper_months, cheaper_volumes, first_volume

WHOLE = st.integers(0, 40).map(Fraction)
PARTS = st.fractions(0, 5, max_denominator=7)
COSTS = st.builds(Cost, WHOLE, WHOLE, PARTS, st.none() | st.fractions(1, 20, max_denominator=3), WHOLE)


def cost(once: int, monthly: int, unit: int, capacity: int | None = None, machine: int = 0) -> Cost:
    full = None if capacity is None else Fraction(capacity)
    return Cost(Fraction(once), Fraction(monthly), Fraction(unit), full, Fraction(machine))


@pytest.mark.long
@given(COSTS, COSTS, st.integers(1, 5))
@example(cost(0, 0, 1), cost(0, 0, 1), 1)
def test_at_every_volume_the_spans_say_what_the_costs_say(a: Cost, b: Cost, months: int) -> None:
    spans = cheaper_volumes(a, b, months)
    for volume in (Fraction(step, 3) for step in range(200)):
        less = a.total(volume, months) < b.total(volume, months)
        assert any(span.contains(volume) for span in spans) == less, volume


@pytest.mark.long
@given(COSTS, COSTS, st.integers(1, 5))
def test_where_a_span_ends_both_cost_the_same(a: Cost, b: Cost, months: int) -> None:
    for span in cheaper_volumes(a, b, months):
        for end in (span.start, span.end):
            if end:
                assert a.total(end, months) == b.total(end, months)


@given(COSTS, COSTS, st.integers(0, 50))
def test_months_are_solved_as_exactly(a: Cost, b: Cost, requests: int) -> None:
    span = cheaper_months(a, b, requests)
    for months in range(1, 60):
        assert (span is not None and span.contains(months)) == (a.total(requests, months) < b.total(requests, months))


def test_the_break_even_volume_is_a_fraction_and_its_first_request_whole() -> None:
    local, api = cost(1000, 0, 0), cost(0, 0, 3)
    assert cheaper_volumes(local, api, 7) == (Interval(Fraction(1000, 21), None),)
    assert first_volume(Interval(Fraction(1000, 21), None)) == 48
    assert local.total(47, 7) > api.total(47, 7)
    assert local.total(48, 7) < api.total(48, 7)


def test_never_and_at_once_are_said() -> None:
    dear, free = cost(10, 1, 2), cost(0, 0, 0)
    assert cheaper_volumes(dear, free, 12) == ()
    assert cheaper_volumes(free, dear, 12) == (Interval(Fraction(0), None, includes_start=True),)
    assert first_volume(Interval(Fraction(0), None, includes_start=True)) == 0
    assert cheaper_months(dear, free, 5) is None
    assert cheaper_months(free, dear, 5) == Interval(Fraction(0), None, includes_start=True)


def test_a_machine_that_is_full_can_end_what_began() -> None:
    local, api = cost(100, 0, 0, capacity=100, machine=300), cost(0, 0, 2)
    assert cheaper_volumes(local, api, 1) == (Interval(Fraction(50), Fraction(200)),)


def test_what_saves_at_first_only_says_until_when() -> None:
    assert cheaper_months(cost(0, 10, 0), cost(35, 0, 0), 1) == Interval(
        Fraction(0),
        Fraction(7, 2),
        includes_start=True,
    )


def test_the_next_request_costs_a_share_of_a_machine_once_one_is_full() -> None:
    local = cost(0, 0, 1, capacity=10, machine=50)
    assert [local.marginal(9), local.marginal(10)] == [1, 6]
    assert local.monthly_total(20) == 20 + 50
