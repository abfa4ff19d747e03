"""`sizewise models show`: every fact about one model, configured here or not, with source and date, or `unknown`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click
import msgspec
from msgspec import Struct

from sizewise.catalog.loader import cards
from sizewise.catalog.loader import known as local
from sizewise.catalog.memory_estimate import size
from sizewise.cli.api_client import Server
from sizewise.cli.options import served, server_or_none, settings, wants_json
from sizewise.cli.output import count, write_json, write_pairs, write_table
from sizewise.errors import UnknownModel, nearest
from sizewise.graphql.catalog import elsewhere, names, one_of
from sizewise.graphql.model_type import model
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
    }
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


class Known(Struct):
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
    catalog_model: Known | None = None


class Told(Struct, rename="camel"):
    catalog_model: Shown | None
    model: Shown | None = None


@click.command()
@click.argument("name")
@served
def show(name: str) -> None:
    """Every fact about a model, with source and date.

    Any model of the catalogue, configured here or not: also what it takes to run it, and where it is sold at what
    price.

    \b
    Example: sizewise models show llama-3-8b
    """
    shown = asyncio.run(_found(name, settings(), server_or_none()))
    if wants_json():
        write_json(shown)
        return
    _write(msgspec.convert(shown, Model))


async def _found(name: str, settings: Settings, server: Server | None) -> Shown:
    """The server's word first; this machine knows also what is not here yet. Raises UnknownModel, with the nearest."""
    if server is not None:
        try:
            told = await server.graphql(QUERY % KNOWN, Told, name=name)
            return _both(told.model or {}, told.catalog_model)
        except UnknownModel:
            if server.elsewhere:
                known = (await server.graphql(KNOWN_QUERY % KNOWN, Told, name=name)).catalog_model
                if known is None:
                    raise
                return _both(elsewhere(str(known["name"])) or {}, known)
    return _here(name, settings)


def _here(name: str, settings: Settings) -> Shown:
    sizes = settings.sizes.bounds
    here = {card.name: (card, "fetched" if card.weights else "configured") for card in cards(settings)}
    there = {card.name: (card, f"not fetched: sizewise models pull {card.model}") for card in local(settings)}
    ours = {**there, **here}
    for card, state in ours.values():
        if name in (card.name, card.model):
            weights = card.weights.bytes if card.weights else 0
            return _both(model(card, state), one_of([name, card.model], sizes, weights))
    known = one_of([name], sizes)
    if known is not None:
        return _both(elsewhere(name, sizes) or {}, known)
    near = nearest(name, [*ours, *(card.model for card, _ in ours.values()), *names()])
    raise UnknownModel(f"there is no model {name!r}", near or "sizewise models list --all", param="model")


def _both(model: Mapping[str, object], known: Mapping[str, object] | None) -> Shown:
    """The name of the user's own file says nothing of what is in it."""
    weights = model.get("weights")
    own = isinstance(weights, dict) and weights["path"] and not weights["sha256"]
    return {**model, "catalogModel": None if own else known}


def _write(told: Model) -> None:
    known = told.catalog_model
    heads = [(each, getattr(told, each)) for each in ("name", "task", "size", "place", "state")]
    if known is not None:
        heads[1:1] = [("title", known.title), ("vendor", known.vendor)]
    write_pairs([(name, said) for name, said in heads if said])
    if (held := told.weights) is not None:
        write_pairs([("file", held.path or held.file), ("bytes", count(held.bytes)), ("sha256", held.sha256 or "-")])
    click.echo()
    write_table(("FACT", "VALUE", "SOURCE"), [(each.name, each.value, each.whence) for each in _facts(told)])
    if known is not None:
        _write_memory(known.memory)
        _write_offers(known.offers)


def _facts(told: Model) -> list[Fact]:
    """What is configured here goes before what is known of the model in general."""
    general = told.catalog_model.facts if told.catalog_model else []
    here = [each for each in told.facts if told.provider]
    known = {each.name: each for each in general}
    said = [known.get(each.name, each) if each.value == "unknown" else each for each in here]
    return [*said, *(each for each in general if each.name not in {fact.name for fact in here})]


def _write_memory(memory: Sequence[Memory]) -> None:
    click.echo()
    if not memory:
        click.echo("memory to run it: unknown")
        return
    tokens = sorted({each.tokens for each in memory})
    needs = {(each.quantization, each.tokens): size(each.bytes) for each in memory}
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
