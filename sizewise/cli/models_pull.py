"""`sizewise models pull`: a local model's weights into the cache, with a bar for people; works without a server."""

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

from sizewise.catalog.loader import fetched, named
from sizewise.catalog.weights import Progress as Told
from sizewise.catalog.weights import nobody
from sizewise.catalog.weights import pull as fetch
from sizewise.cli.options import placed, settings, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.reload_server import noticed
from sizewise.model_card import Card
from sizewise.providers.local.runtime import ADD, missing
from sizewise.settings.load import Settings


@click.command()
@click.argument("name")
@click.option("--from", "source", default="", metavar="URL", help="Take the very same file from this URL or path.")
@placed
def pull(name: str, source: str) -> None:
    """Fetch a local model; resumes, and checks its sha256.

    \b
    Example: sizewise models pull smollm2-135m
    """
    found = settings()
    card = named(name, found)
    assert card.weights is not None  # a local model has them
    here = bool(card.weights.path) or fetched(card.weights, found.cache)
    silent = wants_json()
    if lacks := missing():
        click.echo(f"{card.name} will not run yet: {lacks}\nhint: {ADD}", err=True)
    path = asyncio.run(fetch_shown(card, found, source, silent=silent))
    known = False if here else asyncio.run(noticed(found))
    if silent:
        write_json(
            {"name": card.name, "path": path, "bytes": card.weights.bytes, "fetched": not here, "noticed": known}
        )
    else:
        click.echo(f"{card.name} {'was here already' if here else 'is ready'}: {path}")


async def fetch_shown(card: Card, settings: Settings, source: str, *, silent: bool) -> str:
    """Where the weights lie now. Shows a bar where somebody watches."""
    assert card.weights is not None

    def waiting() -> None:
        click.echo("another process is fetching it; waiting for it", err=True)

    with _bar(card.model, silent) as progress:
        return str(await fetch(card.weights, settings, source=source, progress=progress, waiting=waiting))


@contextmanager
def _bar(name: str, silent: bool) -> Iterator[Told]:
    """A bar with rate and remaining time on stderr, where somebody watches."""
    console = Console(stderr=True)
    if silent or not console.is_terminal:
        yield nobody
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
