"""`sizewise flow run`: shows at once what it runs, then runs the flow on the server; imports little before."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sizewise.cli.options import api_client, server_options
from sizewise.cli.status_line import status_line
from sizewise.cli.value_completion import complete_flow
from sizewise.errors import BadRequest


@click.command()
@click.argument("name", shell_complete=complete_flow)
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input; VALUE may be JSON, @FILE, or - for stdin.",
)
@click.option("--durable", is_flag=True, help="Start a durable run and follow it; Ctrl-C leaves it running.")
@click.option("--steps", is_flag=True, help="Show each node, and each tool call of an agent with its result.")
@click.option("--live", is_flag=True, help="Run the published version, even if the file here has errors.")
@server_options
def run(name: str, inputs: tuple[str, ...], durable: bool, steps: bool, live: bool) -> int:
    """Run a flow on the server and stream its text.

    NAME may be NAME@VERSION. --json prints all outputs at the end. If the file in the folder has errors, they are
    reported and nothing runs.

    \b
    Example: sizewise flow run support --input question="How do I return it?"
    """
    given = dict(_input(each) for each in inputs)
    with status_line() as status:
        status.show(f"running flow:{name}")
        from sizewise.cli.flow_run_output import print_run  # takes 200 ms, so the line comes first

        return print_run(api_client(), name, given, status, durable=durable, steps=steps, live=live)


def _input(said: str) -> tuple[str, str]:
    name, sign, value = said.partition("=")
    if not sign or not name:
        raise BadRequest(f"{said[:60]!r} is not an input", "write it as --input question='Why?'")
    if value == "-":
        return name, sys.stdin.buffer.read().decode("utf-8", "replace")
    if value.startswith("@"):
        try:
            return name, Path(value[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequest(f"the file {value[1:]!r} cannot be read", "give the path of a text file") from error
    return name, value
