"""`sizewise models show`: every known fact about one model, with source and date, or `unknown`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click
import msgspec
from msgspec import Struct

from sizewise.catalog.loader import load_cards
from sizewise.catalog.loader import local_cards as local
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client_or_none, command_settings, server_options, wants_json
from sizewise.cli.output import format_count, write_json, write_pairs, write_table
from sizewise.errors import ModelNotFound, did_you_mean
from sizewise.graphql.catalog import catalog_model_names, find_catalog_model, unconfigured_model
from sizewise.graphql.model_type import model_values
from sizewise.settings.load import Settings

QUERY = """query ($name: String!) {
  model(name: $name) {
    name provider task size place state parameters context maxOutput inputModalities tools logprobs resumes quality
    license slots
    price { input output cached cacheWrite cacheWrite1h reasoning source date }
    weights { file bytes sha256 path }
    facts { name value source }
  }
  catalogModel(name: $name) { %s }
}"""
KNOWN_QUERY = "query ($name: String!) { catalogModel(name: $name) { %s } }"
KNOWN = """
    name title vendor task size names parameters context license unverified
    facts { name value source date unverified }
    memory { quantization tokens bytes }
    offers { name price { input output cached cacheWrite cacheWrite1h reasoning source date } conditions }
"""
RATES = MappingProxyType(
    {
        "input": "IN",
        "output": "OUT",
        "cached": "CACHED",
        "cacheWrite": "WRITTEN",
        "cacheWrite1h": "FOR 1H",
        "reasoning": "REASONING",
    },
)
"""Classes of tokens, and the heads of their columns."""

Shown = dict[str, object]


class Fact(Struct):
    name: str
    value: str
    source: str
    date: str = ""
    unverified: bool = False

    @property
    def whence(self) -> str:
        told = ", ".join(filter(None, (self.source, self.date)))
        return f"unverified: {told}" if self.unverified else told or "-"


class Weights(Struct):
    file: str
    bytes: int
    sha256: str
    path: str


class Memory(Struct):
    quantization: str
    tokens: int
    bytes: int


class Offer(Struct):
    name: str
    price: dict[str, str | None]
    conditions: list[str]


class CatalogModelDetails(Struct):
    title: str
    vendor: str
    names: list[str]
    facts: list[Fact]
    memory: list[Memory]
    offers: list[Offer]


class Model(Struct, rename="camel"):
    name: str
    task: str
    size: str
    place: str
    state: str
    facts: list[Fact]
    provider: str = ""
    weights: Weights | None = None
    catalog_model: CatalogModelDetails | None = None


class ModelResponse(Struct, rename="camel"):
    catalog_model: Shown | None
    model: Shown | None = None


@click.command()
@click.argument("name")
@server_options
def show(name: str) -> None:
    """Every fact about a model, with source and date.

    Any model of the catalogue, configured here or not: also what it takes to run it, and where it is sold at what
    price.

    \b
    Example: sizewise models show llama-3-8b
    """
    shown = asyncio.run(_found(name, command_settings(), api_client_or_none()))
    if wants_json():
        write_json(shown)
        return
    _write(msgspec.convert(shown, Model))


async def _found(name: str, settings: Settings, server: ApiClient | None) -> Shown:
    """The server's word first; this machine knows also what is not here yet. Raises ModelNotFound, with the nearest."""
    if server is not None:
        try:
            told = await server.graphql(QUERY % KNOWN, ModelResponse, name=name)
            return _both(told.model or {}, told.catalog_model)
        except ModelNotFound:
            if server.remote:
                known = (await server.graphql(KNOWN_QUERY % KNOWN, ModelResponse, name=name)).catalog_model
                if known is None:
                    raise
                return _both(unconfigured_model(str(known["name"])) or {}, known)
    return _here(name, settings)


def _here(name: str, settings: Settings) -> Shown:
    sizes = settings.sizes.thresholds
    here = {card.name: (card, "fetched" if card.weights else "configured") for card in load_cards(settings)}
    there = {card.name: (card, f"not fetched: sizewise models pull {card.model}") for card in local(settings)}
    ours = {**there, **here}
    for card, state in ours.values():
        if name in (card.name, card.model):
            weights = card.weights.bytes if card.weights else 0
            return _both(model_values(card, state), find_catalog_model([name, card.model], sizes, weights))
    known = find_catalog_model([name], sizes)
    if known is not None:
        return _both(unconfigured_model(name, sizes) or {}, known)
    near = did_you_mean(name, [*ours, *(card.model for card, _ in ours.values()), *catalog_model_names()])
    raise ModelNotFound(f"there is no model {name!r}", near or "sizewise models list --all", param="model")


def _both(model: Mapping[str, object], known: Mapping[str, object] | None) -> Shown:
    """The name of the user's own file says nothing of what is in it."""
    weights = model.get("weights")
    own = isinstance(weights, dict) and weights["path"] and not weights["sha256"]
    return {**model, "catalogModel": None if own else known}


def _write(model: Model) -> None:
    known = model.catalog_model
    heads = [(each, getattr(model, each)) for each in ("name", "task", "size", "place", "state")]
    if known is not None:
        heads[1:1] = [("title", known.title), ("vendor", known.vendor)]
    write_pairs([(name, said) for name, said in heads if said])
    if (held := model.weights) is not None:
        write_pairs(
            [("file", held.path or held.file), ("bytes", format_count(held.bytes)), ("sha256", held.sha256 or "-")],
        )
    click.echo()
    write_table(("FACT", "VALUE", "SOURCE"), [(each.name, each.value, each.whence) for each in _facts(model)])
    if known is not None:
        _write_memory(known.memory)
        _write_offers(known.offers)


def _facts(model: Model) -> list[Fact]:
    """What is configured here goes before what is known of the model in general."""
    general = model.catalog_model.facts if model.catalog_model else []
    here = [each for each in model.facts if model.provider]
    known = {each.name: each for each in general}
    said = [known.get(each.name, each) if each.value == "unknown" else each for each in here]
    return [*said, *(each for each in general if each.name not in {fact.name for fact in here})]


def _write_memory(memory: Sequence[Memory]) -> None:
    click.echo()
    if not memory:
        click.echo("memory to run it: unknown")
        return
    tokens = sorted({each.tokens for each in memory})
    needs = {(each.quantization, each.tokens): format_bytes(each.bytes) for each in memory}
    rows = [(name, *(needs[name, each] for each in tokens)) for name in dict.fromkeys(name for name, _ in needs)]
    heads = [f"{each:,} TOKENS" for each in tokens]
    write_table(("MEMORY, COMPUTED", *heads), rows, right="TOKENS")


def _write_offers(offers: Sequence[Offer]) -> None:
    click.echo()
    if not offers:
        click.echo("sold by: unknown")
        return
    kinds = [kind for kind in RATES if any(each.price[kind] for each in offers)] or ["input", "output"]
    rows = [
        (
            each.name,
            *(each.price[kind] or ("unknown" if kind in ("input", "output") else "-") for kind in kinds),
            ", ".join(filter(None, (each.price["source"], each.price["date"], *each.conditions))),
        )
        for each in offers
    ]
    heads = [f"$/M {RATES[kind]}" for kind in kinds]
    write_table(("SOLD AS", *heads, "SOURCE"), rows, right="$/M")
