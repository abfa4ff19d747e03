"""`sizewise dataset`: the group of data set commands; without a command it lists the data sets of evals."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import local_options

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.dataset_list:list_", "List the data sets with their evals."),
    "show": LazyCommand("sizewise.cli.dataset_show:show", "Show clusters, tags, weights and the first items."),
    "add": LazyCommand("sizewise.cli.dataset_add:add", "Add items of a file to a data set."),
    "from-records": LazyCommand(
        "sizewise.cli.dataset_from_records:from_records", "Sample items from stored requests, with their probabilities."
    ),
    "export": LazyCommand("sizewise.cli.dataset_export:export", "Write a data set for another program."),
    "split": LazyCommand("sizewise.cli.dataset_split:split", "Split a data set by cluster, such as dev and test."),
}


@click.group("dataset", cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@local_options
@click.pass_context
def dataset(ctx: click.Context) -> None:
    """Manage data sets of evals: add, from-records, split.

    A data set is a file NAME.jsonl or NAME.csv in the folder `evals` next to sizewise.toml, an item a line. Its hash is
    that of its items. Without a command the data sets are listed.

    \b
    Example: sizewise dataset from-records traffic --items 200
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())
