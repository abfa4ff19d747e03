"""`sizewise orgs`: organizations of this server; manages no users but the first owner."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click

from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options
from sizewise.cli.users import show

COMMANDS: Mapping[str, LazyCommand] = {
    "create": LazyCommand("sizewise.cli.orgs:create", "Create an organization, and invite its first owner."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS)
def orgs() -> None:
    """Manage organizations: create."""


@click.command()
@click.argument("id")
@click.argument("email")
@click.option("--name", default="", help="Display name. [the id]")
@server_options
def create(id: str, email: str, name: str) -> None:
    """Create an organization, and invite its first owner.

    \b
    Example: sizewise orgs create acme ada@acme.example
    """
    here = api_client()
    show(here.url, asyncio.run(operations.create_organization(here, id=id, email=email, name=name)))
