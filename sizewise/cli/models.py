"""`sizewise models`: the group of model commands; alone it lists the models."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.models_list import every, print_models
from sizewise.cli.options import server_options

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand(
        "sizewise.cli.models_list:list_",
        "The models that can be asked, and those that can be fetched.",
    ),
    "pull": LazyCommand("sizewise.cli.models_pull:pull", "Fetch a local model; resumes, and checks its sha256."),
    "show": LazyCommand("sizewise.cli.models_show:show", "Every fact about a model, with source and date."),
    "add": LazyCommand("sizewise.cli.models_add:add", "Use a GGUF file of yours where it lies."),
    "probe": LazyCommand("sizewise.cli.models_probe:probe", "Ask a running model server what it is and has."),
    "remove": LazyCommand("sizewise.cli.models_add:remove", "Forget a file of yours; it stays where it lies."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@every
@server_options
@click.pass_context
def models(ctx: click.Context, everything: bool) -> None:
    """The models: list, pull, show, add, probe, remove.

    Alone it lists them: every model that can be asked, and those that can be fetched.

    \b
    Example: sizewise models
    """
    if ctx.invoked_subcommand is None:
        print_models(everything)
