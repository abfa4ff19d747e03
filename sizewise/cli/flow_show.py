"""`sizewise flow show` and `withdraw`: a published flow, without the nodes that a check of one imports."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.flow_runs import SHORT
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.value_completion import complete_flow
from sizewise.errors import BadRequest

project_option = click.option("--project", default=None, help="Project to publish in. [the key's]")


def write_commit(made: operations.FlowCommit) -> None:
    click.echo(
        f"Committed {made.commit[:SHORT]} to the branch {made.branch} of {made.repository}: nothing is live by it"
    )
    if made.pull_request:
        click.echo(f"Pull request: {made.pull_request}")
    elif made.problem:
        click.echo(f"warning: no pull request: {made.problem}", err=True)


@click.command()
@click.argument("name", shell_complete=complete_flow)
@project_option
@server_options
def withdraw(name: str, project: str | None) -> None:
    """Withdraw a published flow.

    Its versions and runs are kept. A flow in the server's folder is published again when its file changes. A server
    with [git] removes a flow of its repository by a commit on a branch of yours, and a pull request.

    \b
    Example: sizewise flow withdraw support
    """
    told = asyncio.run(operations.withdraw_flow(api_client(), name=name, project=project))
    if wants_json():
        write_json({"withdrawn": None if told.commit else told.name, "commit": msgspec.to_builtins(told.commit)})
    elif told.commit is not None:
        write_commit(told.commit)
    else:
        click.echo(f"flow:{told.name} is withdrawn")


@click.command()
@click.argument("name", shell_complete=complete_flow)
@server_options
def show(name: str) -> None:
    """Print the file of a published flow.

    \b
    Example: sizewise flow show support > flows/support.yaml
    """
    told = asyncio.run(operations.get_flow_text(api_client(), name=name))
    if told is None:
        raise BadRequest(f"there is no published flow {name[:60]!r}", "run: sizewise flow list")
    if wants_json():
        write_json(msgspec.to_builtins(told))
    else:
        click.echo(told.text, nl=False)
