"""The model catalog as GraphQL values, with or without a server; knows no application."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from sizewise.catalog.current_catalog import Catalog
from sizewise.catalog.enrichment import enrich_card
from sizewise.catalog.fact_text import fact_text
from sizewise.catalog.model_info import Fact, ModelInfo
from sizewise.graphql.model_type import FieldValues, model_values, price_conditions, price_values
from sizewise.model_card import DEFAULT_SIZE_THRESHOLDS, ModelCard, ModelEndpoint, SizeThresholds
from sizewise.money import UNKNOWN_PRICE, Price

UNCONFIGURED_STATE = "not configured here"
QUANTIZATIONS = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")
THIS_FILE = "this file"
"""Shown as the quantization of a local model's weights file."""
CONTEXT_WINDOWS = (4_096, 32_768)
"""Tokens for which memory is estimated; a model's own window, if it is shorter, replaces them."""
OPTIONAL_FACTS = frozenset(
    {
        "active",
        "latent",
        "attention_layers",
        "sliding",
        "sliding_layers",
        "experts",
        "experts_used",
        "dimensions",
        "note",
        "price",
        "seller",
    },
)
"""Facts that only some models have: omitted if missing, instead of `unknown`."""


def find_catalog_model(
    catalog: Catalog,
    names: Sequence[str],
    sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS,
    weights: int = 0,
) -> FieldValues | None:
    """The catalog model of the first of `names` that the catalog has, else the only one that a plain name means.
    `weights`: bytes of the weights file, 0 without one.
    """
    found = catalog.find_models(names)
    first = next((found[name] for name in names if name in found), None)
    if first is None and len(meant := catalog.models_named(names[0])) == 1:
        first = meant[0]
    return None if first is None else _catalog_values(first, catalog.prices_by_offer([first]), sizes, weights)


def all_catalog_models(catalog: Catalog, sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS) -> list[FieldValues]:
    models = catalog.load_models().values()
    prices = catalog.prices_by_offer(models)
    return [_catalog_values(each, prices, sizes) for each in models]


def catalog_model_names(catalog: Catalog) -> list[str]:
    """All names of catalog models, including aliases."""
    return [name for model in catalog.load_models().values() for name in (model.name, *sorted(model.aliases))]


def _catalog_values(
    model: ModelInfo,
    prices: Mapping[str, Price],
    sizes: SizeThresholds,
    weights: int = 0,
) -> FieldValues:
    """A ModelInfo as schema.graphql's CatalogModel. `prices`: by `<endpoint>/<name>`."""
    return {
        "name": model.name,
        "title": model.title,
        "vendor": model.vendor,
        "task": model.task,
        "size": model.size_class(sizes),
        "names": sorted(model.aliases),
        "parameters": _value(model.parameters),
        "context": _value(model.context),
        "license": _value(model.license),
        "unverified": [name for name, fact in model.facts() if fact.claimed],
        "facts": list(_facts(model)),
        "memory": list(_memory(model, weights)),
        "offers": list(_offers(model, prices)),
    }


def unconfigured_model(
    catalog: Catalog, name: str, sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS
) -> FieldValues | None:
    """A catalog model as schema.graphql's Model, without place or price; None if the catalog lacks it."""
    found = catalog.find_models([name]).get(name)
    if found is None:
        return None
    card = enrich_card(
        ModelCard(name=found.name, endpoint=ModelEndpoint(provider=""), model=found.name, sizes=sizes),
        found,
    )
    return {**model_values(card, UNCONFIGURED_STATE), "place": ""}


def _value(fact: Fact[int] | Fact[str] | None) -> object:
    return None if fact is None else fact.value


def _facts(model: ModelInfo) -> Iterator[FieldValues]:
    for each in fields(model):
        fact = getattr(model, each.name)
        if isinstance(fact, Fact):
            yield {
                "name": each.name,
                "value": fact_text(each.name, fact.value),
                "source": fact.source,
                "date": fact.date,
                "unverified": fact.claimed,
            }
        elif str(each.type).startswith("Fact[") and each.name not in OPTIONAL_FACTS:
            yield {"name": each.name, "value": "unknown", "source": "", "date": "", "unverified": False}


def _memory(model: ModelInfo, weights: int) -> Iterator[FieldValues]:
    """For one request at a time; empty if too little is known to compute it."""
    most = model.context.value if model.context else max(CONTEXT_WINDOWS)
    sizes = {THIS_FILE: weights} if weights else {}
    sizes.update({each: held for each in QUANTIZATIONS if (held := model.weights_bytes(each)) is not None})
    for name, held in sizes.items():
        for tokens in sorted({min(each, most) for each in CONTEXT_WINDOWS}):
            if (need := model.estimate_memory_for_file(held, tokens)) is not None:
                yield {"quantization": name, "tokens": tokens, "bytes": need.total}


def _offers(model: ModelInfo, prices: Mapping[str, Price]) -> Iterator[FieldValues]:
    """Offers at known endpoints, then the price of another seller if one source has it."""
    for endpoint, names in model.offers.items():
        for each in names:
            name = f"{endpoint}/{each}"
            yield _offer(name, prices.get(name, UNKNOWN_PRICE))
    if model.price is not None:
        yield _offer(str(_value(model.seller) or "unknown"), model.price.value)


def _offer(name: str, price: Price) -> FieldValues:
    return {
        "name": name,
        "price": {**price_values(price), "source": price.source, "date": price.date},
        "conditions": list(price_conditions(price)),
    }
