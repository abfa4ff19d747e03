"""`sizewise edge`: the group of commands for edges; without a command it shows its help."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS: Mapping[str, LazyCommand] = {
    "build": LazyCommand(
        "sizewise.cli.edge_build:build", "Compile the folder's release to the files of a Cloudflare Worker."
    ),
    "deploy": LazyCommand(
        "sizewise.cli.edge_deploy:deploy", "Upload the folder's release, make it live, and check it."
    ),
    "status": LazyCommand("sizewise.cli.edge_deploy:status", "Show what is live at the edge, and what was."),
    "rollback": LazyCommand("sizewise.cli.edge_deploy:rollback", "Make the version live again that was live before."),
    "key": LazyCommand("sizewise.cli.edge_deploy:key", "Make a key for the edge, and write its digest to KV."),
    "dev": LazyCommand("sizewise.cli.edge_dev:dev", "Run that Worker on this machine, in workerd."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS)
def edge() -> None:
    """Manage edges: a release that answers near its users.

    \b
    Example: sizewise edge build
    """
