"""`sizewise release apply`, `promote` and `rollback`: change what is live in an environment."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, command_settings, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.release_build import part_inputs
from sizewise.cli.release_source import FOLDER, complete_release
from sizewise.cli.release_status import SHORT, complete_environment
from sizewise.releases.folder_release import build_release

_reason = click.option("--reason", default="", help="Why; it stands in the history and in the audit log.")


@click.command()
@click.argument("name", default=FOLDER, metavar="[RELEASE]", shell_complete=complete_release)
@click.option("--to", "environment", required=True, help="Environment.", shell_complete=complete_environment)
@_reason
@server_options
def apply(name: str, environment: str, reason: str) -> None:
    """Make a release live in an environment. The server builds it first; if that fails, nothing changes.

    RELEASE is the first 8 or more digits of its hash, or `.`, the folder as it is now, which is saved first.

    \b
    Example: sizewise release apply 3f2a9c01 --to prod
    """
    server = api_client()
    if name == FOLDER:
        name = asyncio.run(_save_folder())
    _show(asyncio.run(operations.apply_release(server, environment=environment, release=name, reason=reason)))


async def _save_folder() -> str:
    made = build_release(command_settings())
    await operations.save_release(api_client(), manifest=msgspec.to_builtins(made.manifest), parts=part_inputs(made))
    return made.manifest.hash


@click.command()
@click.argument("environment", shell_complete=complete_environment)
@_reason
@server_options
def promote(environment: str, reason: str) -> None:
    """Make live what is live in the environment that ENVIRONMENT receives from: the same hash.

    \b
    Example: sizewise release promote prod
    """
    _show(asyncio.run(operations.promote_release(api_client(), environment=environment, reason=reason)))


@click.command()
@click.argument("environment", shell_complete=complete_environment)
@click.option("--to", default="", help="A release that has been live there. [the one before]", metavar="RELEASE")
@_reason
@server_options
def rollback(environment: str, to: str, reason: str) -> None:
    """Go back to the release that was live before. Every server follows within a second.

    Requests in flight finish, and so do flow runs, under the release that they began with.

    \b
    Example: sizewise release rollback prod --reason "refunds are wrong"
    """
    _show(asyncio.run(operations.rollback_release(api_client(), environment=environment, to=to, reason=reason)))


def _show(environment: operations.Environment) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(environment))
        return
    live = environment.live
    assert live is not None
    before = f" (before: {live.previous[:SHORT]})" if live.previous else ""
    click.echo(f"{live.release[:SHORT]} is live in {environment.name}{before}")
    if environment.problem:
        click.echo(f"This server does not serve it: {environment.problem}")
