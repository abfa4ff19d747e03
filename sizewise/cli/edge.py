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
    "diff": LazyCommand("sizewise.cli.edge_diff:diff", "Show what a deploy would change of what is live."),
    "status": LazyCommand("sizewise.cli.edge_deploy:status", "Show what is live at the edge, and what was."),
    "rollback": LazyCommand("sizewise.cli.edge_deploy:rollback", "Make the version live again that was live before."),
    "list": LazyCommand(
        "sizewise.cli.edge_list:list_", "List the edges of the server, those that need somebody first."
    ),
    "key": LazyCommand("sizewise.cli.edge_keys:key", "Make a key that may ask at the edge; it is shown once."),
    "keys": LazyCommand(
        "sizewise.cli.edge_keys:keys", "Write the gateway's keys to the edge: new ones in, revoked ones out."
    ),
    "pack": LazyCommand("sizewise.cli.edge_pack:pack", "Write an archive with which a small machine answers offline."),
    "join": LazyCommand(
        "sizewise.cli.edge_join:join", "Make this small machine report to a gateway, by a key of its own."
    ),
    "dev": LazyCommand("sizewise.cli.edge_dev:dev", "Run that Worker on this machine, in workerd."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS)
def edge() -> None:
    """Manage edges: a release that answers near its users.

    \b
    Example: sizewise edge build
    """
