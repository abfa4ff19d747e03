"""A catalog update: prices, what is sold and facts of models, parsed from a TOML list; verifies no signature.

The list has `date`, `source` and the tables `prices`, `availability` and `models`, whose rows are those of the packaged
prices.toml, availability.toml and models/*.toml. A row without a source of its own has that of the list.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar, cast

from sizewise.catalog.model_files import (
    LOWERCASE_NAME,
    find_models,
    iso_date,
    nonempty_text,
    parse_models,
    shared_sources,
)
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.offer_status import OfferStatus
from sizewise.catalog.prices import PriceEntry, price_of
from sizewise.errors import BadRequest
from sizewise.settings.toml_reader import TypeHintCache, read_table, setting

MAX_LIST_BYTES = 4 << 20
SHOWN_ERRORS = 10
Rows = Mapping[str, Mapping[str, object]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AvailabilityEntry:
    """`ends`: YYYY-MM-DD of its shutdown, planned or past."""

    listed: bool = setting(True, "")
    ends: str = setting("", "", validator=iso_date)
    source: str = setting("", "", validator=nonempty_text)
    date: str = setting("", "", validator=iso_date)


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """The list as it is written; rows are parsed later."""

    date: str = setting("", "", validator=iso_date)
    source: str = setting("", "", validator=nonempty_text)
    prices: Mapping[str, Mapping[str, object]] = setting(MappingProxyType({}), "")
    availability: Mapping[str, Mapping[str, object]] = setting(MappingProxyType({}), "")
    models: Mapping[str, object] = setting(MappingProxyType({}), "")


@dataclass(frozen=True, slots=True)
class CatalogUpdate:
    """`prices` and `availability`: by endpoint, then by the model's name there. `models`: only the facts that the list
    states, by the model's name in the catalog.
    """

    date: str = ""
    source: str = ""
    prices: Mapping[str, Mapping[str, PriceEntry]] = field(default_factory=lambda: MappingProxyType({}))
    availability: Mapping[str, Mapping[str, OfferStatus]] = field(default_factory=lambda: MappingProxyType({}))
    models: Mapping[str, ModelInfo] = field(default_factory=lambda: MappingProxyType({}))


NO_UPDATE = CatalogUpdate()


class UpdateParser:
    """Parses a list once for a server that reads it for each query of its catalog. Called by any thread."""

    def __init__(self) -> None:
        self._last = (b"", NO_UPDATE)

    def parse(self, text: bytes) -> CatalogUpdate:
        """Raises BadRequest with the errors of the list."""
        known, update = self._last
        if text != known:
            update = parse_update(text)
            self._last = text, update
        return update


def parse_update(text: bytes) -> CatalogUpdate:
    """Raises BadRequest with the errors of the list."""
    wrong: list[str] = []
    try:
        tables = tomllib.loads(text.decode())
        hidden = [each for each in _texts(tables) if not each.isprintable()]
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as why:
        raise _invalid([f"it is not TOML: {why}"]) from why
    except RecursionError as why:
        raise _invalid(["it is nested too deeply"]) from why
    if hidden:  # a terminal would obey them
        raise _invalid([f"{each!r} has characters that cannot be shown" for each in hidden])
    file = read_table(UpdateFile, tables, "", wrong) or UpdateFile()
    wrong.extend(f"{part} is missing" for part in ("date", "source") if not getattr(file, part))
    if wrong:
        raise _invalid(wrong)
    found = CatalogUpdate(
        date=file.date,
        source=file.source,
        prices=_by_endpoint(dict(_prices(file, wrong))),
        availability=_by_endpoint(dict(_statuses(file, wrong))),
        models=MappingProxyType({each.name: each for each in _models(file, wrong)}),
    )
    if wrong:
        raise _invalid(wrong)
    return found


def _invalid(wrong: list[str]) -> BadRequest:
    shown = [*wrong[:SHOWN_ERRORS], *([f"and {len(wrong) - SHOWN_ERRORS} more"] if len(wrong) > SHOWN_ERRORS else [])]
    lines = "".join(f"\n  {each}" for each in shown)
    return BadRequest(f"the list is invalid:{lines}", "Ask who signs it; nothing was changed.")


def _texts(value: object) -> Iterator[str]:
    """Keys and texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _by_endpoint(rows: Mapping[tuple[str, str], T]) -> Mapping[str, Mapping[str, T]]:
    found: dict[str, dict[str, T]] = {}
    for (endpoint, name), row in rows.items():
        found.setdefault(endpoint, {})[name] = row
    return MappingProxyType(found)


def _rows(tables: Rows, file: UpdateFile) -> Iterator[tuple[str, str, object]]:
    for endpoint, rows in tables.items():
        for name, row in rows.items():
            yield endpoint, name, {"source": file.source, "date": file.date, **row} if isinstance(row, dict) else row


def _prices(file: UpdateFile, wrong: list[str]) -> Iterator[tuple[tuple[str, str], PriceEntry]]:
    types: TypeHintCache = {}
    for endpoint, name, row in _rows(file.prices, file):
        here = f"prices.{endpoint}.{name!r}"
        entry = read_table(PriceEntry, row, here, wrong, types)
        if entry is None or wrong:
            continue
        try:
            price = price_of(entry)
        except ValueError as why:
            wrong.append(f"{here}: {why}")
            continue
        if price.input is None and price.output is None and price.units is None:
            wrong.append(f"{here}: states no price")
        yield (endpoint, name), entry


def _statuses(file: UpdateFile, wrong: list[str]) -> Iterator[tuple[tuple[str, str], OfferStatus]]:
    types: TypeHintCache = {}
    for endpoint, name, row in _rows(file.availability, file):
        entry = read_table(AvailabilityEntry, row, f"availability.{endpoint}.{name!r}", wrong, types)
        if entry is not None:
            source = f"{entry.source}, {entry.date}"
            yield (endpoint, name), OfferStatus(entry.listed, entry.ends, source, entry.date)


def _models(file: UpdateFile, wrong: list[str]) -> Iterator[ModelInfo]:
    """A model that is packaged needs no title and no vendor."""
    if not file.models:
        return
    packaged = find_models(name for name in file.models if LOWERCASE_NAME.match(name))
    tables: dict[str, object] = {}
    for name, row in file.models.items():
        if isinstance(row, dict):
            known = packaged.get(name)
            if known is not None and known.name != name:
                wrong.append(f"models.{name!r}: is another name of {known.name!r}; use that")
            same = {"title": known.title, "vendor": known.vendor, "task": known.task} if known else {}
            tables[name] = {**same, **row, "facts": [_with_source(each, file) for each in _list(row.get("facts", []))]}
        else:
            tables[name] = row
    yield from parse_models(tables, shared_sources(), wrong)


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _with_source(fact: object, file: UpdateFile) -> object:
    if not isinstance(fact, dict) or "ref" in fact or "source" in fact:
        return fact
    return {"source": file.source, "date": file.date, **fact}
