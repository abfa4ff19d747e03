"""`sizewise bias`: whether groups of people get another quality, more refusals, or the smaller model more often."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import server_options

COMMANDS: Mapping[str, LazyCommand] = {
    "run": LazyCommand("sizewise.cli.bias_run:run", "Ask models and policies as each group would, and compare."),
    "report": LazyCommand("sizewise.cli.bias_report:report", "Compare groups on recorded answers; asks no model."),
    "mitigate": LazyCommand(
        "sizewise.cli.bias_mitigate:mitigate", "Find thresholds that keep a cascade's promise in every group."
    ),
    "augment": LazyCommand(
        "sizewise.cli.bias_augment:augment", "Write training data that treats groups alike, and measure what it does."
    ),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, subcommand_metavar="VERB ...")
@server_options
def bias() -> None:
    """Compare groups of people: run, report, mitigate.

    Their quality, their refusals, and how often the small model answers them.

    \b
    Example: sizewise bias run --models small,large,auto
    """
