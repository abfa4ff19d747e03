"""The sum of two usages has every field of both."""

from __future__ import annotations

import pytest

from sizewise.messages import Usage
from sizewise.money import MediaUnits

SUMS: dict[str, tuple[object, object, object]] = {
    "input": (1, 2, 3),
    "output": (1, 2, 3),
    "cached": (1, 2, 3),
    "cache_write": (1, 2, 3),
    "reasoning": (1, 2, 3),
    "estimated": (True, False, True),
    "cache_write_1h": (1, 2, 3),
    "audio": (1, 2, 3),
    "unpriced_reason": ("a web search", "a dearer tier", "a web search, a dearer tier"),
    "reported_cost": (1, 2, 3),
    "units": (MediaUnits(1, 2, 3, "8x8"), MediaUnits(2, 3, 4), MediaUnits(3, 5, 7, "8x8")),
}
"""Field -> two values and their sum."""


@pytest.mark.parametrize("field", Usage.__struct_fields__)
def test_a_sum_has_each_field_of_both(field: str) -> None:
    one, other, both = SUMS[field]
    made = Usage(**{field: one}) + Usage(**{field: other})  # type: ignore[arg-type]  # each field has its own type
    assert made == Usage(**{field: both})  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize("field", Usage.__struct_fields__)
def test_an_empty_usage_changes_nothing(field: str) -> None:
    made = Usage(**{field: SUMS[field][0]})  # type: ignore[arg-type]  # each field has its own type
    assert made + Usage() == made == Usage() + made


def test_a_reason_is_given_once() -> None:
    made = Usage(unpriced_reason="a web search")
    assert made + made == made


def test_a_cost_that_only_one_of_two_reported_is_not_the_cost_of_both() -> None:
    assert (Usage(input=5, reported_cost=7) + Usage(input=5)).reported_cost is None
