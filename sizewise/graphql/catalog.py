"""The catalogue of models in the words of schema.graphql, the same with and without a server; knows no house."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from sizewise.catalog import model_files
from sizewise.catalog.enrichment import full
from sizewise.catalog.model_info import Fact, Known
from sizewise.graphql.model_type import Told, but, model, rates
from sizewise.model_card import SIZES, Card, Endpoint, Sizes
from sizewise.money import UNKNOWN, Price

ELSEWHERE = "not configured here"
QUANTISATIONS = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")
THIS = "this file"
"""Stands for the quantisation of the weights that are here, or that we know where to fetch."""
WINDOWS = (4_096, 32_768)
"""Tokens for which the need of memory is told; a shorter window of the model's own stands in their place."""
RARE = frozenset(
    {
        "active",
        "latent",
        "attention_layers",
        "sliding",
        "sliding_layers",
        "experts",
        "experts_used",
        "dimensions",
        "price",
        "seller",
    }
)
"""Facts of models of a certain build or sale: left out, not unknown, where nobody says them."""
OTHERS = frozenset({"name", "title", "vendor", "task", "also", "sold"})
"""Fields of a Known that are no facts."""


def one_of(names: Sequence[str], sizes: Sizes = SIZES, weights: int = 0) -> Told | None:
    """What is known of the first of `names` that means a model of the catalogue. `weights`: bytes of the file at hand,
    if there is one."""
    found = model_files.meant(names)
    first = next((found[name] for name in names if name in found), None)
    return None if first is None else _known(first, model_files.sold([first]), sizes, weights)


def every(sizes: Sizes = SIZES) -> list[Told]:
    models = model_files.known().values()
    prices = model_files.sold(models)
    return [_known(each, prices, sizes) for each in models]


def names() -> list[str]:
    """All names that mean a model of the catalogue."""
    return [name for model in model_files.known().values() for name in (model.name, *sorted(model.also))]


def _known(model: Known, prices: Mapping[str, Price], sizes: Sizes, weights: int = 0) -> Told:
    """A Known as schema.graphql's CatalogModel. `prices`: by `<endpoint>/<name>`."""
    return {
        "name": model.name,
        "title": model.title,
        "vendor": model.vendor,
        "task": model.task,
        "size": model.size(sizes),
        "names": sorted(model.also),
        "parameters": _value(model.parameters),
        "context": _value(model.context),
        "license": _value(model.licence),
        "unverified": [name for name, fact in model.facts() if fact.claimed],
        "facts": list(_facts(model)),
        "memory": list(_memory(model, weights)),
        "offers": list(_sold(model, prices)),
    }


def elsewhere(name: str, sizes: Sizes = SIZES) -> Told | None:
    """A model that is not configured here, in the shape of those that are: it has no place and no price yet."""
    found = model_files.meant([name]).get(name)
    if found is None:
        return None
    card = full(Card(name=found.name, endpoint=Endpoint(provider=""), model=found.name, sizes=sizes), found)
    return {**model(card, ELSEWHERE), "place": ""}


def _value(fact: Fact[int] | Fact[str] | None) -> object:
    return None if fact is None else fact.value


def _facts(model: Known) -> Iterator[Told]:
    for each in fields(model):
        fact = getattr(model, each.name)
        if isinstance(fact, Fact):
            yield {
                "name": each.name,
                "value": _text(each.name, fact.value),
                "source": fact.source,
                "date": fact.date,
                "unverified": fact.claimed,
            }
        elif each.name not in OTHERS | RARE:
            yield {"name": each.name, "value": "unknown", "source": "", "date": "", "unverified": False}


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, frozenset):
        return ", ".join(["text", *sorted(value)] if name == "sees" else sorted(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{each} {share:g}" for each, share in value.items())
    if isinstance(value, Price):
        told = [f"{kind} {rate}" for kind, rate in rates(value).items() if rate is not None]
        return f"{', '.join(told)} dollars per million tokens"
    return str(value)


def _memory(model: Known, weights: int) -> Iterator[Told]:
    """Of one request at a time; nothing where too little is known to compute it."""
    most = model.context.value if model.context else max(WINDOWS)
    sizes = {THIS: weights} if weights else {}
    sizes.update({each: held for each in QUANTISATIONS if (held := model.weights(each)) is not None})
    for name, held in sizes.items():
        for tokens in sorted({min(each, most) for each in WINDOWS}):
            if (need := model.need(held, tokens)) is not None:
                yield {"quantization": name, "tokens": tokens, "bytes": need.total}


def _sold(model: Known, prices: Mapping[str, Price]) -> Iterator[Told]:
    """Where, under which name, at what price: at known endpoints, or as one source says of another seller."""
    for endpoint, names in model.sold.items():
        for each in names:
            name = f"{endpoint}/{each}"
            yield _offer(name, prices.get(name, UNKNOWN))
    if model.price is not None:
        yield _offer(str(_value(model.seller) or "unknown"), model.price.value)


def _offer(name: str, price: Price) -> Told:
    return {
        "name": name,
        "price": {**rates(price), "source": price.source, "date": price.date},
        "conditions": list(but(price)),
    }
