"""Facts and prices of the catalog as text for people; reads no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from sizewise.money import PICO_PER_DOLLAR, Price, PriceWindow, format_dollars

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
    """Its known rates, as `input 1, output 2 dollars per million tokens`, and when others hold; else "unknown"."""
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
    yield from (f"above {tokens:,} prompt tokens {price_text(each)}" for tokens, each in price.tiers)
    yield from (f"{_when(window)} {price_text(window.price)}" for window in price.schedule)
    if price.unpriced_modalities:
        yield f"unknown for {', '.join(sorted(price.unpriced_modalities))}"


def _when(window: PriceWindow) -> str:
    since = f"from {datetime.fromtimestamp(window.since, UTC):%Y-%m-%d}" if window.since else ""
    if window.start_second == window.end_second:
        return since or "always"
    hours = "-".join(f"{each // 3600:02}:{each % 3600 // 60:02}" for each in (window.start_second, window.end_second))
    return f"{since} daily {hours} UTC".strip()
