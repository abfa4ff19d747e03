"""`sizewise flow show` and `withdraw`: a published flow, without the nodes that a check of one imports."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.flow_environments import SHORT, flow_in, other_versions, places_of
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, write_json
from sizewise.cli.release_status import complete_environment
from sizewise.cli.value_completion import complete_flow
from sizewise.errors import BadRequest, did_you_mean

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
    server = api_client()
    told = asyncio.run(operations.withdraw_flow(server, name=name, project=project))
    if wants_json():
        write_json({"withdrawn": None if told.commit else told.name, "commit": msgspec.to_builtins(told.commit)})
    elif told.commit is not None:
        write_commit(told.commit)
    else:
        click.echo(f"flow:{told.name} is withdrawn")
        environments = [] if project else asyncio.run(operations.list_flows_by_environment(server))
        for place, version in other_versions(environments, told.name, ""):
            click.echo(f"{place} still answers with {version[:SHORT]}, until a release without it is live there")


@click.command()
@click.argument("name", shell_complete=complete_flow)
@click.option(
    "--environment", help="The version that answers there. [what is published]", shell_complete=complete_environment
)
@server_options
def show(name: str, environment: str | None) -> None:
    """Print the file of a published flow.

    With --environment, of the version that answers there.

    \b
    Example: sizewise flow show support > flows/support.yaml
             sizewise flow show support --environment prod
    """
    server = api_client()
    environments = asyncio.run(operations.list_flows_by_environment(server))
    if environment is None:
        told = asyncio.run(operations.get_flow_text(server, name=name))
        if told is None:
            raise BadRequest(f"there is no published flow {name[:60]!r}", "run: sizewise flow list")
    else:
        told = asyncio.run(_answering(server, environments, name, environment))
    if wants_json():
        write_json(msgspec.to_builtins(told) | {"places": places_of(environments, name, told.version)})
        return
    click.echo(told.text, nl=False)
    for place, version in other_versions(environments, name, told.version) if environment is None else ():
        hint = f"sizewise flow show {name} --environment {place}"
        click.echo(dim(f"{place} answers with {version[:SHORT]}: {hint}" if version else f"{place} lacks it"), err=True)


async def _answering(
    server: ApiClient, environments: Sequence[operations.EnvironmentFlows], name: str, environment: str
) -> operations.FlowText:
    """Raises BadRequest."""
    chosen = next((each for each in environments if each.environment == environment), None)
    if chosen is None:
        hint = did_you_mean(environment, [each.environment for each in environments])
        raise BadRequest(f"there is no environment {environment[:100]!r}", hint or "run: sizewise release status")
    found = flow_in(chosen, name)
    if found is None or found.version is None:
        raise BadRequest(f"{environment} does not have the flow {name[:60]!r}", "run: sizewise flow list")
    part = await operations.get_release_part(server, kind="flows", name=name, version=found.version)
    return operations.FlowText(name, found.version, base64.b64decode(part.content).decode())
