"""Model prices per provider from prices.toml; exact, dated names only, no guesses.

The file has one line per model and only the requested lines are read, so that startup time does not depend on its
length. A line can limit a price to dates, hours of the day or prompt lengths, as its source does.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from types import MappingProxyType

from sizewise.money import Price, PriceWindow
from sizewise.settings.models import PriceSettings
from sizewise.settings.toml_reader import TypeHintCache, raise_if_invalid, read_table, setting

PRICES_FILE = Path(__file__).with_name("prices.toml")
DATED_NAME = re.compile(r"-20\d{2}-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])\Z")
"""The suffix of a dated edition of a model."""


@dataclass(frozen=True, slots=True)
class PriceTier(PriceSettings):
    """Price of all tokens if the prompt has more than `tokens`."""

    tokens: int = setting(0, "")


@dataclass(frozen=True, slots=True)
class PricePeriod(PriceSettings):
    """Price from a date on (`since`, as 2026-01-31), or daily between two times (`hours`), in UTC."""

    since: str = setting("", "")
    hours: str = setting("", "")  # as 01:00-04:00
    above: tuple[PriceTier, ...] = setting((), "")


@dataclass(frozen=True, slots=True)
class PriceEntry(PriceSettings):
    """One model. `dated`: the price also applies to its dated editions. `apart`: what is priced separately."""

    above: tuple[PriceTier, ...] = setting((), "")
    when: tuple[PricePeriod, ...] = setting((), "")
    apart: frozenset[str] = setting(frozenset(), "")
    dated: bool = setting(False, "")


def prices(
    endpoint: str, models: Iterable[str], update: Mapping[str, PriceEntry] = MappingProxyType({})
) -> Mapping[str, Price]:
    """The known prices of `models` at an endpoint; empty if there are none. ConfigError for an invalid line.

    `update`: further entries; of two for a name the later counts, and of the same date the one of `update`.
    """
    wanted = tuple(models)
    section = _section(endpoint) if endpoint and wanted else ""
    if not section and not update:
        return {}
    found: dict[str, Price] = {}
    types: TypeHintCache = {}
    for model in wanted:
        line = _entry_or_dated(model, section, update, types)
        if line is not None:
            found[model] = price_of(line)
    return found


def _entry_or_dated(
    model: str, section: str, update: Mapping[str, PriceEntry], types: TypeHintCache
) -> PriceEntry | None:
    """The latest entry of `model`, else the latest that also applies to its dated editions."""
    for name in dict.fromkeys((model, DATED_NAME.sub("", model))):
        lines = [
            line for line in (update.get(name), _entry(section, name, types)) if line and (name == model or line.dated)
        ]
        if lines:
            return max(lines, key=lambda line: line.date)
    return None


def _section(endpoint: str) -> str:
    """The lines of one table, with a line break before and after."""
    _, _, rest = PRICES_FILE.read_text("utf-8").partition(f"\n[{endpoint}]\n")
    return "\n" + rest.partition("\n[")[0] + "\n" if rest else ""


def _entry(section: str, model: str, types: TypeHintCache) -> PriceEntry | None:
    if not model.isprintable() or '"' in model or "\\" in model:
        return None  # the file has no such key
    _, found, rest = section.partition(f'\n"{model}" = ')
    if not found:
        return None
    wrong: list[str] = []
    line = read_table(PriceEntry, tomllib.loads(f"line = {rest.partition(chr(10))[0]}")["line"], model, wrong, types)
    raise_if_invalid(wrong, PRICES_FILE)
    return line


def price_of(entry: PriceEntry) -> Price:
    windows = tuple(_window(each, entry) for each in entry.when)
    return _price_with_tiers(entry, entry.above, entry, windows)


def _window(period: PricePeriod, entry: PriceEntry) -> PriceWindow:
    since = datetime.fromisoformat(f"{period.since}T00:00:00Z") if period.since else datetime.fromtimestamp(0, UTC)
    after, _, until = period.hours.partition("-")
    return PriceWindow(
        _price_with_tiers(period, period.above, entry),
        int(since.timestamp()),
        _second(after),
        _second(until),
    )


def _second(of_day: str) -> int:
    at = time.fromisoformat(of_day) if of_day else time()
    return at.hour * 3600 + at.minute * 60 + at.second


def _price_with_tiers(
    rates: PriceSettings,
    price_tiers: tuple[PriceTier, ...],
    entry: PriceEntry,
    schedule: tuple[PriceWindow, ...] = (),
) -> Price:
    base = rates.price()
    tiers = tuple((each.tokens, each.price()) for each in price_tiers)
    return Price(
        input=base.input,
        output=base.output,
        cached=base.cached,
        cache_write=base.cache_write,
        cache_write_1h=base.cache_write_1h,
        reasoning=base.reasoning,
        source=entry.source,
        date=entry.date,
        tiers=tiers,
        schedule=schedule,
        unpriced_modalities=entry.apart,
        units=base.units,
    )
