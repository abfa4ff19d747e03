"""Prices per second, character, image and request: whole pico-dollars, and unknown where a unit with a price is."""

from __future__ import annotations

import pytest

from sizewise.money import MediaUnits, Price, UnitRates, parse_pico_dollars

TOKENS = Price(input=2, output=10)


@pytest.mark.parametrize(
    ("rates", "units", "cost"),
    [
        (UnitRates(second=100_000_000), MediaUnits(audio_ms=12_345), 1_234_500_000),
        (UnitRates(second=1), MediaUnits(audio_ms=1_499), 1),
        (UnitRates(second=1), MediaUnits(audio_ms=1_500), 2),
        (UnitRates(second=1), MediaUnits(audio_ms=None), None),
        (UnitRates(character=15), MediaUnits(audio_ms=None, characters=1_000), 15_000),
        (UnitRates(image=4), MediaUnits(images=3), 12),
        (UnitRates(image_kinds=(("8x8", 7),)), MediaUnits(images=2, image_kind="hd 8x8"), 14),
        (UnitRates(image=1, image_kinds=(("8x8", 7), ("hd 8x8", 9))), MediaUnits(images=2, image_kind="hd 8x8"), 18),
        (UnitRates(image_kinds=(("8x8", 7),)), MediaUnits(images=2, image_kind="4x4"), None),
        (UnitRates(request=5), MediaUnits(), 5),
        (UnitRates(request=5, second=1_000), MediaUnits(audio_ms=500), 505),
        (UnitRates(), MediaUnits(audio_ms=500), 0),
    ],
)
def test_units_are_added_up(rates: UnitRates, units: MediaUnits, cost: int | None) -> None:
    assert rates.cost(units) == cost


def test_tokens_and_units_are_added_and_unknown_is_not_free() -> None:
    units = MediaUnits(audio_ms=1_000)
    assert Price().media_cost(units, 3, 4) is None
    assert TOKENS.media_cost(units, 3, 4) == 46
    assert TOKENS.media_cost(units, 0, 0) is None
    both = Price(input=2, output=10, units=UnitRates(second=100))
    assert both.media_cost(units, 3, 4) == 146
    assert Price(units=UnitRates(second=100)).media_cost(units, 3, 4) == 100


def test_a_bound_needs_the_window_of_a_model_with_a_price_of_tokens() -> None:
    units = MediaUnits(characters=10)
    assert Price().media_upper_bound(units, None, None) is None
    assert Price(units=UnitRates(character=3)).media_upper_bound(units, None, None) == 30
    assert TOKENS.media_upper_bound(units, None, None) is None
    assert TOKENS.media_upper_bound(units, 100, 5) == 250


@pytest.mark.parametrize(
    ("said", "pico"), [("0.0001", 10**8), ("1", 10**12), ("0.000000000001", 1), (".5", 5 * 10**11)]
)
def test_a_price_per_unit_is_exact(said: str, pico: int) -> None:
    assert parse_pico_dollars(said) == pico


@pytest.mark.parametrize("said", ["", ".", "-1", "1e-3", "0.0000000000001", "a"])
def test_a_price_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="is not a price"):
        parse_pico_dollars(said)
