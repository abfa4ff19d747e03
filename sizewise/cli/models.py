"""`sizewise models`: the verbs of models; alone it lists them."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import Verb, Verbs
from sizewise.cli.models_list import every, write
from sizewise.cli.options import served

VERBS: Mapping[str, Verb] = {
    "list": Verb("sizewise.cli.models_list:list_", "The models that can be asked, and those that can be fetched."),
    "pull": Verb("sizewise.cli.models_pull:pull", "Fetch a local model; resumes, and checks its sha256."),
    "show": Verb("sizewise.cli.models_show:show", "Every fact about a model, with source and date."),
    "add": Verb("sizewise.cli.models_add:add", "Use a GGUF file of yours where it lies."),
    "probe": Verb("sizewise.cli.models_probe:probe", "Ask a running model server what it is and has."),
    "remove": Verb("sizewise.cli.models_add:remove", "Forget a file of yours; it stays where it lies."),
}


@click.group(cls=Verbs, verbs=VERBS, invoke_without_command=True)
@every
@served
@click.pass_context
def models(ctx: click.Context, everything: bool) -> None:
    """The models: list, pull, show, add, probe, remove.

    Alone it lists them: every model that can be asked, and those that can be fetched.

    \b
    Example: sizewise models
    """
    if ctx.invoked_subcommand is None:
        write(everything)
