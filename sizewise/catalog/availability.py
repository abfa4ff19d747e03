"""Whether an endpoint sells a model, from availability.toml: provider lists and shutdown dates; no prices, no guesses.

A line in prices.toml alone is no proof: price lists keep models that are gone. A model counts as sold if a dated list
of the provider's models names it and no source says that it ended.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sizewise.catalog.offer_status import UNKNOWN_STATUS, OfferStatus
from sizewise.money import Price
from sizewise.settings.models import PriceSettings

AVAILABILITY_FILE = Path(__file__).with_name("availability.toml")


def offer_statuses(offers: Iterable[str]) -> Mapping[str, OfferStatus]:
    """By `<endpoint>/<name>`; offers that no source mentions have UNKNOWN_STATUS."""
    tables = _tables()
    sources = {name: f"{row['source']}, {row['date']}" for name, row in tables["sources"].items()}
    found = dict[str, OfferStatus]()
    for offer in offers:
        endpoint, _, name = offer.partition("/")
        row = tables.get(endpoint, {}).get(name)
        found[offer] = (
            UNKNOWN_STATUS
            if row is None
            else OfferStatus(
                "listed" in row, row.get("ends", ""), sources[row["ref"]], tables["sources"][row["ref"]]["date"]
            )
        )
    return MappingProxyType(found)


def tuned_prices() -> Mapping[str, Price]:
    """Prices of models that the vendor fine-tunes, by `<endpoint>/<name>` of the model before tuning."""
    tables = _tables()
    source, found = tables["sources"]["litellm"], dict[str, Price]()
    for endpoint, rows in tables.items():
        for name, row in rows.items():
            if endpoint != "sources" and (rates := row.get("tuned")):
                listed = PriceSettings(rates["input"], rates["output"], source=source["source"], date=source["date"])
                found[f"{endpoint}/{name}"] = listed.price()
    return MappingProxyType(found)


def _tables() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(AVAILABILITY_FILE.read_text("utf-8"))
