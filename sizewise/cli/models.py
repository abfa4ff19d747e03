"""`sizewise models`: the group of model commands; without a command it lists the models."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.models_list import every, print_models
from sizewise.cli.options import server_options

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand(
        "sizewise.cli.models_list:list_",
        "List the models that you can use, and those that you can download.",
    ),
    "pull": LazyCommand("sizewise.cli.models_pull:pull", "Download a model; resumes, and checks its sha256."),
    "update": LazyCommand("sizewise.cli.models_update:update", "Update prices, models and windows from a signed list."),
    "show": LazyCommand("sizewise.cli.models_show:show", "Show every fact about a model, with source and date."),
    "add": LazyCommand("sizewise.cli.models_add:add", "Use your own GGUF file in place."),
    "probe": LazyCommand("sizewise.cli.models_probe:probe", "Detect a model server, and print its settings."),
    "rm": LazyCommand("sizewise.cli.models_remove:rm", "Delete a downloaded model, and forget it."),
    "remove": LazyCommand(
        "sizewise.cli.models_add:remove", "Remove your own GGUF file from the catalog, without deleting it."
    ),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@every
@server_options
@click.pass_context
def models(ctx: click.Context, everything: bool) -> None:
    """Manage models: list, pull, update, show, add, probe, rm, remove.

    Without a command it lists every model that you can use, and those that you can download.

    \b
    Example: sizewise models
    """
    if ctx.invoked_subcommand is None:
        print_models(everything)
