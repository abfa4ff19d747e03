"""Prices and facts of the catalog for imported models and for their base models; reads no settings."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sizewise.catalog.current_catalog import PACKAGED
from sizewise.catalog.enrichment import CARD_FACTS
from sizewise.catalog.model_info import ModelInfo
from sizewise.migration.litellm_providers import ProviderTable, find_target
from sizewise.migration.litellm_values import dollars
from sizewise.migration.settings_draft import Value
from sizewise.money import Price

RATES = ("input", "output", "cached", "cache_write", "cache_write_1h", "reasoning")
"""Fields of a price per token, in the catalog and in [models.NAME] alike."""


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """`endpoint`: who sells it at `price`, which is None where the catalog has none."""

    name: str
    endpoint: str
    price: Price | None

    @property
    def source(self) -> str:
        return self.price.source if self.price else ""

    def rates(self) -> dict[str, Value]:
        """Dollars per million tokens, as [models.NAME] writes them: those of short prompts, at any time of the day."""
        found = {rate: getattr(self.price, rate) for rate in RATES} if self.price else {}
        return {rate: dollars(Decimal(each) / 1_000_000) for rate, each in found.items() if each is not None}

    @property
    def has_more_rates(self) -> bool:
        """Whether long prompts, times of the day or some modalities have other prices, which settings cannot say."""
        return self.price is not None and bool(
            self.price.tiers or self.price.schedule or self.price.unpriced_modalities
        )

    def info(self) -> ModelInfo | None:
        """Reads the catalog's files."""
        return PACKAGED.find_models([self.name]).get(self.name)


def catalog_model(endpoint: str, name: str) -> CatalogModel:
    """`endpoint`: a preset; empty: a server that sells nothing."""
    return CatalogModel(name, endpoint, PACKAGED.prices(endpoint, [name]).get(name))


def find_base_model(table: ProviderTable, name: str) -> CatalogModel | None:
    """The model that `base_model` means, as `gpt-4o`, `azure/gpt-4o` or `azure/eu/gpt-4o-2024-08-06`; None if the
    catalog has neither a price nor a fact of it.
    """
    target = find_target(table, name)
    endpoint, model = target.row.prices or target.row.preset, target.model or name
    tried = [catalog_model(endpoint, each) for each in dict.fromkeys((model, model.rpartition("/")[2]))]
    return next((each for each in tried if each.price), next((each for each in tried if each.info()), None))


def facts_of(info: ModelInfo | None) -> dict[str, Value]:
    """Of [models.NAME]; what a source only claims is left out."""
    if info is None:
        return {}
    known = {name: fact for name in CARD_FACTS if (fact := getattr(info, name)) is not None and not fact.claimed}
    facts: dict[str, Value] = {} if info.task == "chat" else {"task": info.task}
    for name, fact in known.items():
        facts[name] = sorted(fact.value) if isinstance(fact.value, frozenset) else fact.value
    return facts
