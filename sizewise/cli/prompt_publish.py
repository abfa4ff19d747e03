"""`sizewise prompt publish`: sends a prompt file to the server, which writes it to its folder or commits it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.flow_environments import once_live
from sizewise.cli.flow_show import write_commit
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.prompt import SHORT
from sizewise.cli.prompt_files import complete_prompt, find_prompt_file, parse_front_matter
from sizewise.errors import BadRequest, Forbidden
from sizewise.prompts.prompt_library import SUFFIX, read_prompt


@click.command()
@click.argument("id", shell_complete=complete_prompt)
@click.option("--replaces", metavar="VERSION", default=None, help="Version that it replaces; empty: it is new. [any]")
@click.option("--note", default="", help="Why, for the audit log or the commit.")
@server_options
def publish(id: str, replaces: str | None, note: str) -> None:
    """Publish a prompt on the server.

    ID is a prompt of the folder `prompts` next to sizewise.toml, or a file. It is checked here first. The server writes
    it to its own folder, where it is live at once. A server with [git] makes it a commit on a branch of yours, and a
    pull request.

    \b
    Example: sizewise prompt publish answer
    """
    path = Path(id)
    is_file = path.suffix == SUFFIX and path.is_file()
    file = read_prompt(path.parent, path.stem, parse_front_matter) if is_file else find_prompt_file(id)
    if file.error is not None:
        raise BadRequest(file.error.message, f"run: sizewise prompt check {id}")
    text = file.path.read_text("utf-8")
    server = api_client()
    told = asyncio.run(operations.publish_prompt(server, id=file.id, text=text, expected_version=replaces, note=note))
    if wants_json():
        write_json(msgspec.to_builtins(told))
    elif told.commit is not None:
        write_commit(told.commit)
    elif told.prompt is not None:
        again = "" if told.new else " (unchanged)"
        called = f"prompt {told.prompt.id}@{told.prompt.version[:SHORT]}"
        environments = asyncio.run(_environments(server))
        click.echo(
            f"{called} is live{again}" if not environments else f"{called}{again} is live {once_live(environments)}"
        )


async def _environments(server: ApiClient) -> list[operations.EnvironmentFlows]:
    """Empty where the key may not read them."""
    try:
        return await operations.list_flows_by_environment(server)
    except Forbidden:
        return []
