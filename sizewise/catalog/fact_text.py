"""Facts and prices of the catalog as text for people; reads no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sizewise.money import PICO_PER_DOLLAR, Price, format_dollars

TOKEN_RATES = ("input", "output", "cached", "cache_write", "cache_write_1h", "reasoning")
UNIT_RATES = ("second", "character", "image", "request")


def fact_text(name: str, value: object) -> str:
    """`name`: of a fact in model_info.py."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, frozenset):
        return ", ".join(["text", *sorted(value)] if name == "input_modalities" else sorted(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{each} {share:g}" for each, share in value.items())
    if isinstance(value, Price):
        return price_text(value)
    return str(value)


def price_text(price: Price) -> str:
    """Its known rates, as `input 1, output 2 dollars per million tokens`; "unknown" without any."""
    return "; ".join(_rates(price)) or "unknown"


def _rates(price: Price) -> Iterator[str]:
    told = [(name, getattr(price, name)) for name in TOKEN_RATES]
    rates = [
        f"{name} {format_dollars(rate * (PICO_PER_DOLLAR // 1_000_000))}" for name, rate in told if rate is not None
    ]
    if rates:
        yield f"{', '.join(rates)} dollars per million tokens"
    if price.units is not None:
        per_unit = [(name, getattr(price.units, name)) for name in UNIT_RATES]
        yield from (f"{format_dollars(rate)} dollars per {name}" for name, rate in per_unit if rate is not None)
        yield from (f"{format_dollars(rate)} dollars per {kind} image" for kind, rate in price.units.image_kinds)
    if price.tiers:
        yield "other rates above " + ", ".join(f"{tokens:,}" for tokens, _ in price.tiers) + " prompt tokens"
    if price.schedule:
        yield "other rates at other times"
