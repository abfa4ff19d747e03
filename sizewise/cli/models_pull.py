"""`sizewise models pull`: downloads the weights of a local model with a progress bar; needs no server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sizewise.catalog.loader import is_downloaded, local_card
from sizewise.catalog.weights import PullProgress, no_progress
from sizewise.catalog.weights import pull_weights as fetch
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.reload_server import reload_running_server
from sizewise.cli.value_completion import complete_download
from sizewise.model_card import ModelCard
from sizewise.providers.local.runtime import INSTALL_HINT, missing_dependency
from sizewise.settings.load import Settings


@click.command()
@click.argument("name", shell_complete=complete_download)
@click.option("--from", "source", default="", metavar="URL", help="Use an identical file at this URL or path.")
@local_options
def pull(name: str, source: str) -> None:
    """Download a local model; resumes, and checks its sha256.

    \b
    Example: sizewise models pull smollm2-135m
    """
    found = command_settings()
    card = local_card(name, found)
    assert card.weights is not None  # a local model has them
    here = bool(card.weights.path) or is_downloaded(card.weights, found.cache_dir)
    silent = wants_json()
    if lacks := missing_dependency():
        click.echo(f"{card.name} cannot run yet: {lacks}\nhint: {INSTALL_HINT}", err=True)
    path = asyncio.run(fetch_with_progress(card, found, source, silent=silent))
    known = False if here else asyncio.run(reload_running_server(found))
    if silent:
        write_json(
            {"name": card.name, "path": path, "bytes": card.weights.bytes, "fetched": not here, "noticed": known},
        )
    else:
        click.echo(f"{card.name} {'was already downloaded' if here else 'is ready'}: {path}")


async def fetch_with_progress(card: ModelCard, settings: Settings, source: str, *, silent: bool) -> str:
    """The path of the weights. Shows a progress bar on a terminal."""
    assert card.weights is not None

    def waiting() -> None:
        click.echo("another process is downloading it; waiting", err=True)

    with _bar(card.model, silent) as progress:
        return str(await fetch(card.weights, settings, source=source, progress=progress, on_wait=waiting))


@contextmanager
def _bar(name: str, silent: bool) -> Iterator[PullProgress]:
    """A progress bar with rate and remaining time on stderr, if it is a terminal."""
    console = Console(stderr=True)
    if silent or not console.is_terminal:
        yield no_progress
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda here, whole: bar.update(task, completed=here, total=whole)
