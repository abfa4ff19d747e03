"""Short answers that say the same are the same, and others are not; whatever they are, nothing is raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.routing.answer_agreement import same_answer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paris", "paris."),
        ("**B**", "B"),
        ("1,000", "1000"),
        ("[1, 2]", "(1,2)"),
        ('{"a": 1, "b": 2}', '{"b": 2.0, "a": 1}'),
        ("'abc'", "abc"),
        ("New York", "new  york"),
        ("true", "True"),
    ],
)
def test_the_same(one: str, other: str) -> None:
    assert same_answer(one, other) is True


@pytest.mark.parametrize(
    ("one", "other"),
    [("A", "B"), ("12", "21"), ("0.50", ".5e0"), ("[1, 2]", "[2, 1]"), ('{"a": 1}', '{"a": 2}')],
)
def test_not_the_same(one: str, other: str) -> None:
    assert same_answer(one, other) is False


@pytest.mark.parametrize(("one", "other"), [("", "A"), (None, "A"), (" ", " "), (None, None)])
def test_who_says_nothing_agrees_with_nobody(one: str | None, other: str | None) -> None:
    assert same_answer(one, other) is None


@given(some.text(max_size=50), some.text(max_size=50))
def test_it_is_the_same_both_ways_round(one: str, other: str) -> None:
    assert same_answer(one, other) == same_answer(other, one)
    assert same_answer(one, one) in (True, None)


@pytest.mark.parametrize(
    "odd",
    ["[" * 5_000, "(" * 1_000 + ")" * 1_000, "9" * 5_000, "{" + "'a':" * 300, "\\x00", "1e999"],
)
def test_odd_answers_are_compared_all_the_same(odd: str) -> None:
    assert same_answer(odd, odd) is True and same_answer(odd, "A") is False
