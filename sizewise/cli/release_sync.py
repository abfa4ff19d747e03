"""`sizewise release sync`: has the server look at its git branch now, and tells what became of the last commit."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.release_show import SHORT


@click.command()
@server_options
def sync() -> None:
    """Look at the branch of [git] now; a new commit becomes a saved release.

    It is planned for each environment that may receive any release. The server looks by itself once a minute. Nothing
    becomes live by it.

    \b
    Example: sizewise release sync
    """
    found = asyncio.run(operations.sync_git(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    commit = (found.commit or "")[:SHORT]
    if found.release is None:
        click.echo(f"{found.branch} is at {commit}, a commit of Sizewise's own: no release.")
        return
    click.echo(f"{found.branch} is at {commit}: release {found.release}")
    for plan in found.plans:
        click.echo(f"Planned: sizewise release apply {plan}")
    if not found.plans:
        click.echo(f"Next: sizewise release show {found.release[:SHORT]}")
