"""`sizewise models`: what can be asked and what could be, by the running server or else by the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click
import msgspec
from msgspec import Struct

from sizewise.cards import Card
from sizewise.catalog.read import cards, fetched, known
from sizewise.cli.options import served, server_or_none, settings, wants_json
from sizewise.cli.paper import count, dim, write_json, write_table
from sizewise.cli.server import Server
from sizewise.cli.verbs import Verb, Verbs
from sizewise.config import Settings
from sizewise.graphql.told import model

VERBS: Mapping[str, Verb] = {
    "pull": Verb("sizewise.cli.models_pull:pull", "Fetch a local model; resumes, and checks its sha256."),
    "show": Verb("sizewise.cli.models_show:show", "Every fact about a model, with source and date."),
    "add": Verb("sizewise.cli.models_own:add", "Use a GGUF file of yours where it lies."),
    "probe": Verb("sizewise.cli.models_probe:probe", "Ask a running model server what it is and has."),
    "remove": Verb("sizewise.cli.models_own:remove", "Forget a file of yours; it stays where it lies."),
}

QUERY = """{
  roles
  models {
    name size place state context task
    price { input output }
  }
}"""


class Price(Struct, frozen=True):
    input: str | None = None
    output: str | None = None


class Model(Struct, frozen=True):
    """A model as the list shows it."""

    name: str
    size: str
    place: str
    state: str
    context: int | None
    task: str
    price: Price


class Told(Struct, frozen=True):
    models: list[Model]
    roles: list[str] = []


@dataclass(frozen=True, slots=True)
class Listed:
    """`running`: whether a server told it. `roles` only a server knows."""

    running: bool
    roles: Sequence[str]
    models: Sequence[Model]


@click.group(cls=Verbs, verbs=VERBS, invoke_without_command=True)
@served
@click.pass_context
def models(ctx: click.Context) -> None:
    """The models: list, pull, show, add, probe, remove.

    Alone it lists them: every model that can be asked, and those that can be fetched.

    \b
    Example: sizewise models
    """
    if ctx.invoked_subcommand is not None:
        return
    found = asyncio.run(listed(settings(), server_or_none()))
    if wants_json():
        shown = {"running": found.running, "roles": found.roles, "models": found.models}
        write_json(msgspec.to_builtins(shown))
        return
    write_table(
        ("MODEL", "SIZE", "PLACE", "CONTEXT", "$/M IN", "$/M OUT", "STATE"),
        [_row(each) for each in found.models],
        right="CONTEXT $/M IN OUT",
    )
    if not found.running:
        click.echo(dim("no server is running: this is the catalogue; start one with sizewise up"), err=True)
    elif found.roles:
        click.echo(dim(f"also: {', '.join(found.roles)}"), err=True)


async def listed(settings: Settings, server: Server | None) -> Listed:
    """The server's models and then, on this machine, what could be fetched."""
    if server is None:
        usable = [_model(card, "fetched" if card.weights else "configured") for card in cards(settings)]
        return Listed(False, (), [*usable, *_absent(settings)])
    told = await server.graphql(QUERY, Told)
    here = {each.name for each in told.models}
    absent = [] if server.elsewhere else [each for each in _absent(settings) if each.name not in here]
    return Listed(True, told.roles, [*told.models, *absent])


def _absent(settings: Settings) -> list[Model]:
    """What is known and not yet here."""
    return [
        _model(card, f"not fetched: sizewise models pull {card.model}")
        for card in known(settings)
        if card.weights and not card.weights.path and not fetched(card.weights, settings.cache)
    ]


def _model(card: Card, state: str) -> Model:
    return msgspec.convert(model(card, state), Model)


def _row(model: Model) -> tuple[str, ...]:
    price = model.price
    context = count(model.context) if model.context else "?"
    return (model.name, model.size, model.place, context, price.input or "?", price.output or "?", model.state)
