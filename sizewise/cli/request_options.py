"""Options of commands that send or explain a request: its model and its policy."""

from __future__ import annotations

import click

from sizewise.cli.value_completion import complete_model, complete_policy

model_option = click.option(
    "-m",
    "--model",
    default="auto",
    shell_complete=complete_model,
    help="auto, auto:<policy>, small, large or <provider>/<model>. [auto]",
)
policy_option = click.option(
    "-p",
    "--policy",
    default="",
    shell_complete=complete_policy,
    help="Route by this policy, as auto:<policy> does.",
)
