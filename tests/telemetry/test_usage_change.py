"""What made a time dearer: each planted cause is found, and the parts sum to the difference to the pico-dollar."""

from __future__ import annotations

from random import Random

import pytest

from sizewise.money import Price, format_dollars, short_dollars
from sizewise.telemetry.usage_change import CostParts, UsageChange, explain_change
from sizewise.telemetry.usage_report import UsageReport, UsageRow
from sizewise.telemetry.usage_sums import NOTHING, Sums
from sizewise.telemetry.usage_tables import SUMS

PRICES = {"small": Price(input=1, output=4), "large": Price(input=20, output=80)}


def sums(**values: int) -> Sums:
    return tuple(values.get(name, 0) for name in SUMS)


def asked(model: str, requests: int, input: int = 100, output: int = 50, times: int = 1) -> Sums:
    """So many equal requests, at `times` the list price."""
    cost = PRICES[model].cost(input * requests, output * requests) or 0
    return sums(
        requests=requests, attempts=requests, input=input * requests, output=output * requests, cost=cost * times
    )


def list_cost(model: str, its: Sums) -> int:
    named = dict(zip(SUMS, its, strict=True))
    return (PRICES[model].cost(named["input"], named["output"]) or 0) if model in PRICES else 0


def change(before: dict[str | None, Sums], after: dict[str | None, Sums]) -> UsageChange:
    def report(models: dict[str | None, Sums]) -> UsageReport:
        rows = [UsageRow(None if name is None else (name,), 0, its) for name, its in models.items()]
        return UsageReport(rows, NOTHING, NOTHING, 0)

    return explain_change(report(before), report(after), list_cost)


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ({"small": asked("small", 10)}, {"small": asked("small", 17)}, "volume"),
        ({"small": asked("small", 10)}, {"large": asked("large", 10)}, "mix"),
        ({"small": asked("small", 10)}, {"small": asked("small", 10, output=70)}, "tokens"),
        ({"small": asked("small", 10)}, {"small": asked("small", 10, times=3)}, "price"),
        ({}, {"small": asked("small", 10)}, "volume"),
        ({"large": asked("large", 10)}, {}, "volume"),
    ],
)
def test_a_single_cause_is_the_whole_difference(
    before: dict[str | None, Sums], after: dict[str | None, Sums], part: str
) -> None:
    found = change(before, after)
    difference = sum(each.after - each.before for each in found.models)
    assert difference != 0 and found.parts == CostParts(**{part: difference})


def test_escalations_are_mix_since_one_request_then_has_two_attempts() -> None:
    escalated = sums(attempts=10, input=1_000, output=500, cost=60_000)  # the attempt that is not the request's answer
    found = change({"small": asked("small", 10)}, {"small": asked("small", 10), "large": escalated})
    assert found.parts == CostParts(mix=60_000)


def test_images_and_models_without_a_list_price_are_explained_too() -> None:
    four, eight = sums(requests=4, attempts=4, cost=400), sums(requests=8, attempts=8, cost=800)
    assert change({"images": four}, {"images": eight}).parts == CostParts(volume=400)
    gone = sums(requests=2, attempts=2, input=10, cost=100), sums(requests=2, attempts=2, input=30, cost=300)
    assert change({"gone": gone[0]}, {"gone": gone[1]}).parts == CostParts(tokens=200)


@pytest.mark.parametrize("seed", range(40))
def test_parts_are_exact_whatever_the_sums_are(seed: int) -> None:
    chance = Random(seed)

    def some() -> dict[str | None, Sums]:
        names = [name for name in ("small", "large", "gone", None) if chance.random() < 0.7]
        return {name: tuple(chance.choice([0, chance.randrange(10**9)]) for _ in SUMS) for name in names}

    before, after = some(), some()
    cost = SUMS.index("cost")
    found = change(before, after)
    assert found.parts.total == sum(each[cost] for each in after.values()) - sum(each[cost] for each in before.values())
    assert sum((each.parts.total for each in found.models), start=0) == found.parts.total
    assert all(each.parts.total == each.after - each.before for each in found.models)


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "$0"),
        (1, "$0.000000000001"),
        (123_456_789, "$0.000123"),
        (250_000_000_000, "$0.25"),
        (10_000_000_000, "$0.01"),
        (1_204_509_000_000_000, "$1,204.50"),
        (-3 * 10**12, "-$3"),
        (-500_000_000_000, "-$0.50"),
    ],
)
def test_dollars_are_short_to_read(pico: int, text: str) -> None:
    assert short_dollars(pico) == text


def test_exact_dollars_have_a_sign() -> None:
    assert format_dollars(-1) == "-0.000000000001" and format_dollars(-15 * 10**11) == "-1.5"
