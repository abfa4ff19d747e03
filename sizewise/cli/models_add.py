"""`sizewise models add` and `remove`: GGUF files of the user's own; they are used where they lie and never changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from sizewise.catalog import user_models
from sizewise.cli.options import placed, settings, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.reload_server import noticed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Its name; otherwise the file's.")
@placed
def add(file: Path, name: str) -> None:
    """Use a GGUF file of yours where it lies.

    \b
    Example: sizewise models add ~/models/qwen3-4b-q4.gguf --name qwen3-4b
    """
    found = settings()
    called = asyncio.run(user_models.add(file, found.home, name))
    _say(called, "added", asyncio.run(noticed(found)))


@click.command()
@click.argument("name")
@placed
def remove(name: str) -> None:
    """Forget a file of yours; it stays where it lies.

    \b
    Example: sizewise models remove qwen3-4b
    """
    found = settings()
    asyncio.run(user_models.remove(name, found.home))
    _say(name, "removed", asyncio.run(noticed(found)))


def _say(name: str, what: str, noticed: bool) -> None:
    if wants_json():
        write_json({"name": name, "done": what, "noticed": noticed})
    else:
        click.echo(f"{name} {what}{'; the running server knows' if noticed else ''}")
