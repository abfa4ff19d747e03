"""`sizewise models show`: every fact about one model with its source and date; what is unknown says so."""

from __future__ import annotations

import asyncio

import click
import msgspec
from msgspec import Struct

from sizewise.catalog.read import cards, known
from sizewise.cli.options import served, server_or_none, settings, wants_json
from sizewise.cli.paper import count, write_json, write_pairs, write_table
from sizewise.cli.server import Server
from sizewise.config import Settings
from sizewise.errors import UnknownModel, nearest
from sizewise.graphql.told import model

QUERY = """query ($name: String!) {
  model(name: $name) {
    name provider task size place state parameters context maxOutput sees tools logprobs resumes quality licence slots
    price { input output cached cacheWrite reasoning source date }
    weights { file bytes sha256 path }
    facts { name value source }
  }
}"""

Shown = dict[str, object]


class Fact(Struct):
    name: str
    value: str
    source: str


class Weights(Struct):
    file: str
    bytes: int
    sha256: str
    path: str


class Model(Struct):
    name: str
    task: str
    size: str
    place: str
    state: str
    facts: list[Fact]
    weights: Weights | None = None


class Told(Struct):
    model: Shown


@click.command()
@click.argument("name")
@served
def show(name: str) -> None:
    """Every fact about a model, with source and date.

    \b
    Example: sizewise models show smollm2-135m
    """
    shown = asyncio.run(_found(name, settings(), server_or_none()))
    if wants_json():
        write_json(shown)
        return
    told = msgspec.convert(shown, Model)
    write_pairs([(each, getattr(told, each)) for each in ("name", "task", "size", "place", "state")])
    if (held := told.weights) is not None:
        write_pairs([("file", held.path or held.file), ("bytes", count(held.bytes)), ("sha256", held.sha256 or "-")])
    click.echo()
    write_table(("FACT", "VALUE", "SOURCE"), [(each.name, each.value, each.source or "-") for each in told.facts])


async def _found(name: str, settings: Settings, server: Server | None) -> Shown:
    """The server's word first; the catalogue knows also what is not here yet. Raises UnknownModel, with the nearest."""
    if server is not None:
        try:
            return (await server.graphql(QUERY, Told, name=name)).model
        except UnknownModel:
            if server.elsewhere:
                raise
    here = {card.name: (card, "fetched" if card.weights else "configured") for card in cards(settings)}
    there = {card.name: (card, f"not fetched: sizewise models pull {card.model}") for card in known(settings)}
    every = {**there, **here}
    for card, state in every.values():
        if name in (card.name, card.model):
            return dict(model(card, state))
    near = nearest(name, [*every, *(card.model for card, _ in every.values())])
    raise UnknownModel(f"there is no model {name!r}", near or "sizewise models shows all", param="model")
