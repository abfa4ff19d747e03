"""`sizewise models add` and `remove`: registers GGUF files of your own, used in place and never changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from sizewise.catalog import user_models
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.reload_server import reload_running_server


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Name of the model. [the file's]")
@local_options
def add(file: Path, name: str) -> None:
    """Use your own GGUF file in place.

    \b
    Example: sizewise models add ~/models/qwen3-4b-q4.gguf --name qwen3-4b
    """
    found = command_settings()
    called = asyncio.run(user_models.add_model(file, found.home, name))
    _say(called, "added", asyncio.run(reload_running_server(found)))


@click.command()
@click.argument("name")
@local_options
def remove(name: str) -> None:
    """Remove your own GGUF file from the catalog, without deleting it.

    \b
    Example: sizewise models remove qwen3-4b
    """
    found = command_settings()
    asyncio.run(user_models.remove_model(name, found.home))
    _say(name, "removed", asyncio.run(reload_running_server(found)))


def _say(name: str, what: str, noticed: bool) -> None:
    if wants_json():
        write_json({"name": name, "done": what, "noticed": noticed})
    else:
        click.echo(f"{name} {what}{'; the running server has reloaded' if noticed else ''}")
