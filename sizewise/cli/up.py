"""`sizewise up`: applies command-line options to the settings and starts the server of server.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import cast

import click

from sizewise.catalog.loader import default_local_card, ready_local_cards
from sizewise.cli.lazy_group import load_attribute
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.errors import SizewiseError
from sizewise.providers.local.runtime import INSTALL_HINT, missing_dependency
from sizewise.settings.load import Settings


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 0 picks a free one. [8080]")
@click.option("--host", metavar="ADDRESS", help="Address to listen on. [127.0.0.1]")
@click.option("--pull", is_flag=True, help="First download an embedded model, if there is no model.")
@local_options
def up(port: int | None, host: str | None, pull: bool) -> None:
    """Start the server: all APIs on one port.

    Prints the URL, an API key (shown once) and a curl command to try. Ctrl-C stops it after the running requests.

    \b
    Example: sizewise up --port 9000
    """
    found = _apply_options(command_settings(starts_server=True), port, host)
    _prepare_default_model(found, pull)
    program = "sizewise.server:run_server" if found.server.workers == 1 else "sizewise.workers.supervisor:run_workers"
    serve = cast("Callable[[Settings, bool], None]", load_attribute(program))  # late, so that `up --help` is fast
    serve(found, wants_json())


def _prepare_default_model(settings: Settings, pull: bool) -> None:
    """Downloads the smallest embedded model if there is none and no other model is configured; without `pull` it says
    how to.

    Without a network or a runtime the start continues: another model server may run on this machine, or both may come
    later.
    """
    if not settings.server.embedded:
        if pull:
            click.echo("--pull downloads nothing: [server] embedded is false", err=True)
        return
    here = any(card.task == "chat" for card in ready_local_cards(settings))
    if (here or not settings.providers) and (lacks := missing_dependency()):
        click.echo(f"starting without embedded models: {lacks}\nhint: {INSTALL_HINT}", err=True)
        return
    if here or settings.providers:
        return
    card = default_local_card(settings)
    if not pull:
        size = f" ({card.weights.bytes / 1_000_000:.0f} MB)" if card.weights is not None else ""
        hint = f"to download one{size}: sizewise models pull {card.model}, or sizewise up --pull"
        click.echo(f"starting without an embedded model\nhint: {hint}", err=True)
        return
    try:
        # Late: most starts show no progress bar.
        loaded = load_attribute("sizewise.cli.models_pull:fetch_with_progress")
        fetch = cast("Callable[..., Coroutine[object, object, str]]", loaded)
        asyncio.run(fetch(card, settings, "", silent=wants_json()))
    except SizewiseError as error:
        click.echo(f"starting without an embedded model: {error.message}\nhint: {error.hint}", err=True)


def _apply_options(found: Settings, port: int | None, host: str | None) -> Settings:
    server = found.server
    server = replace(server, port=server.port if port is None else port, host=host or server.host)
    return replace(found, server=server)
