"""`sizewise models list`: the models of the running server, or of the catalog without one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

import click
import msgspec

from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.loader import is_downloaded, load_cards, local_cards
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client_or_none, command_settings, server_options, wants_json
from sizewise.cli.output import dim, format_count, write_json, write_table
from sizewise.graphql.catalog import all_catalog_models as catalogue
from sizewise.graphql.model_type import model_values
from sizewise.model_card import ModelCard
from sizewise.settings.load import Settings

UNKNOWN_PRICE = operations.PriceSummary(None, None)


@dataclass(frozen=True, slots=True)
class ModelList:
    """`running`: whether the list came from a server. Only a server reports `aliases`."""

    running: bool
    aliases: Sequence[str]
    models: Sequence[operations.ModelSummary]


every = click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Include every model in the catalog.",
)


@click.command("list")
@every
@server_options
def list_(everything: bool) -> None:
    """List the models that you can use, and those that you can download.

    --all adds every model in the catalog, from any provider; `sizewise models show NAME` shows the details.

    \b
    Example: sizewise models list --all
    """
    print_models(everything)


def print_models(everything: bool) -> None:
    """The list; with `everything` followed by the whole catalog."""
    mine, server = command_settings(), api_client_or_none()
    found = asyncio.run(list_models(mine, server))
    world = asyncio.run(_world(mine, server)) if everything else []
    if wants_json():
        shown = {"running": found.running, "modelAliases": found.aliases, "models": found.models}
        write_json(msgspec.to_builtins({**shown, "catalog": world} if everything else shown))
        return
    write_table(
        ("MODEL", "SIZE", "PLACE", "CONTEXT", "$/M IN", "$/M OUT", "STATE"),
        [_row(each) for each in found.models],
        right="CONTEXT $/M IN OUT",
    )
    if everything:
        click.echo()
        write_table(
            ("KNOWN", "VENDOR", "SIZE", "PARAMETERS", "CONTEXT", "FROM $/M IN", "FROM $/M OUT", "LICENSE"),
            [_known(each) for each in world],
            right="PARAMETERS CONTEXT $/M",
        )
    if not found.running:
        click.echo(dim("no server is running, so this is the catalog; start one with: sizewise up"), err=True)
    elif found.aliases:
        click.echo(dim(f"also: {', '.join(found.aliases)}"), err=True)


async def list_models(settings: Settings, server: ApiClient | None) -> ModelList:
    """The server's models, then what this machine could download."""
    if server is None:
        usable = [_model(card, "fetched" if card.weights else "configured") for card in load_cards(settings)]
        return ModelList(False, (), [*usable, *_absent(settings)])
    told = await operations.list_models(server)
    here = {each.name for each in told.models}
    absent = [] if server.remote else [each for each in _absent(settings) if each.name not in here]
    return ModelList(True, told.model_aliases, [*told.models, *absent])


def _absent(settings: Settings) -> list[operations.ModelSummary]:
    """Known models that are not downloaded yet."""
    return [
        _model(card, f"not downloaded; run: sizewise models pull {card.model}")
        for card in local_cards(settings)
        if card.weights and not card.weights.path and not is_downloaded(card.weights, settings.cache_dir)
    ]


def _model(card: ModelCard, state: str) -> operations.ModelSummary:
    return msgspec.convert(model_values(card, state), operations.ModelSummary)


def _row(model: operations.ModelSummary) -> tuple[str, ...]:
    price = model.price
    context = format_count(model.context) if model.context else "?"
    return (model.name, model.size, model.place, context, price.input or "?", price.output or "?", _state(model))


def _state(model: operations.ModelSummary) -> str:
    queue = model.queue
    if queue is None or not queue.predicted_wait_s:
        return model.state
    return f"{model.state}; all slots in use, {queue.waiting} waiting, about {ceil(queue.predicted_wait_s)} s"


async def _world(settings: Settings, server: ApiClient | None) -> Sequence[operations.CatalogSummary]:
    if server is not None:
        return await operations.list_catalog(server)
    return msgspec.convert(
        catalogue(current_catalog(settings), settings.sizes.thresholds), list[operations.CatalogSummary]
    )


def _known(known: operations.CatalogSummary) -> tuple[str, ...]:
    """The price of the cheapest provider."""
    offers = [each.price for each in known.offers if each.price.input]
    least = min(offers, key=lambda each: (Decimal(each.input or 0), Decimal(each.output or 0)), default=UNKNOWN_PRICE)
    answers = "-" if known.task == "embed" and least.input and not least.output else least.output or "?"
    size = f"{known.parameters:,}" if known.parameters else "?"
    size = f"unverified {size}" if "parameters" in known.unverified else size
    context = f"{known.context:,}" if known.context else "?"
    rate = least.input or "?"
    return (known.name, known.vendor, known.size, size, context, rate, answers, known.license or "?")
