"""`sizewise flow publish`: publishes a flow that has no error."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.flow_check import select_flows
from sizewise.cli.flow_environments import SHORT, other_answers, places_of
from sizewise.cli.flow_show import project_option, write_commit
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest


@click.command()
@click.argument("flow")
@project_option
@server_options
def publish(flow: str, project: str | None) -> None:
    """Publish a flow on the server.

    FLOW is a name in the folder `flows` next to sizewise.toml, or a file. It is checked here first; a flow with errors
    is not published. A server with [git] makes it a commit on a branch of yours, and a pull request.

    \b
    Example: sizewise flow publish support
    """
    (file,) = select_flows((flow,)).values()
    wrong = file.errors
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BadRequest(f"line {wrong[0].line}: {wrong[0].message}{more}", f"run: sizewise flow check {flow}")
    server = api_client()
    told = asyncio.run(operations.publish_flow(server, text=file.text, project=project))
    if wants_json():
        write_json(msgspec.to_builtins(told))
        return
    if told.commit is not None:
        write_commit(told.commit)
        return
    assert told.flow is not None
    again = "" if told.new else " (unchanged)"
    called = f"flow:{told.flow.name}@{told.flow.version[:SHORT]}"
    environments = [] if project else asyncio.run(operations.list_flows_by_environment(server))
    if not environments:
        click.echo(f"{called} is live in {told.flow.project!r}{again}")
        return
    places = ", ".join(places_of(environments, told.flow.name, told.flow.version)) or "no environment"
    click.echo(f"{called} is published in {told.flow.project!r}{again}, and answers in {places}")
    for line in other_answers(environments, told.flow.name, told.flow.version):
        click.echo(line)
