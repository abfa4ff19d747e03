"""`sizewise eval`: the group of eval commands; without a command it lists the evals and their runs."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import local_options

COMMANDS: Mapping[str, LazyCommand] = {
    "new": LazyCommand("sizewise.cli.eval_new:new", "Create an eval and its data from a small working example."),
    "list": LazyCommand("sizewise.cli.eval_list:list_", "List the evals of the folder with their runs."),
    "run": LazyCommand("sizewise.cli.eval_run:run", "Have a target answer the items, and score the answers."),
    "compare": LazyCommand("sizewise.cli.eval_compare:compare", "Compare two runs item by item, with intervals."),
    "calibrate-judge": LazyCommand(
        "sizewise.cli.eval_calibrate_judge:calibrate_judge_",
        "Measure how often a judge errs, on answers that people labeled.",
    ),
    "label": LazyCommand("sizewise.cli.eval_label:label", "Draw answers of runs for people to label."),
    "ci": LazyCommand("sizewise.cli.eval_ci:ci", "Judge a change by the evals of its base."),
    "comment": LazyCommand("sizewise.cli.eval_comment:comment", "Write or update the one comment of a pull request."),
    "gate": LazyCommand("sizewise.cli.eval_gate:gate", "Check a run against the eval's rules."),
}


@click.group("eval", cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@local_options
@click.pass_context
def eval_(ctx: click.Context) -> None:
    """Measure answers: new, run, compare, gate.

    An eval is a file in the folder `evals` next to sizewise.toml: a target, a data set, scorers, and rules. Without a
    command the evals are listed.

    \b
    Example: sizewise eval new support
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())
