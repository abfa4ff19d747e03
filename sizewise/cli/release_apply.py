"""`sizewise release apply`, `promote` and `rollback`: change what is live in an environment."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.edge_list import wait_for_edges, write_outcomes
from sizewise.cli.options import api_client, command_settings, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.release_build import part_inputs
from sizewise.cli.release_source import FOLDER, complete_release
from sizewise.cli.release_status import SHORT, complete_environment
from sizewise.errors import BadRequest
from sizewise.releases.folder_release import build_release

PLAN_PREFIX = "plan-"
_breaking = click.option("--breaking", is_flag=True, help="Also if it breaks callers.")
_reason = click.option("--reason", default="", help="Why; it stands in the history and in the audit log.")
_edges = click.option(
    "--edges",
    multiple=True,
    metavar="ENVIRONMENT",
    help="Bring the edges of this environment along, which receives from that one; repeat it for more.",
    shell_complete=complete_environment,
)
_wait = click.option(
    "--wait",
    default=0,
    metavar="SECONDS",
    type=click.IntRange(0, 3_600),
    help="Wait so long for what edges make of it.",
)


@click.command()
@click.argument("name", default=FOLDER, metavar="[PLAN|RELEASE]", shell_complete=complete_release)
@click.option("--to", "environment", help="Environment; a plan names its own.", shell_complete=complete_environment)
@_breaking
@_reason
@click.option("--now", is_flag=True, help="Without a canary: it answers all requests at once.")
@_edges
@_wait
@server_options
def apply(
    name: str, environment: str | None, breaking: bool, reason: str, now: bool, edges: tuple[str, ...], wait: int
) -> None:
    """Make a release live in an environment.

    The server builds it first; if that fails, nothing changes. Where the environment has canary steps, it answers a
    share of new sessions first.

    PLAN is the id of a plan. RELEASE is the first 8 or more digits of a hash, or `.`, the folder as it is now, which is
    saved first.

    \b
    Example: sizewise release apply 3f2a9c01 --to prod
    """
    server, plan = api_client(), None
    if name.startswith(PLAN_PREFIX):
        plan, release = name, None
        if environment is not None:
            raise BadRequest("a plan names its environment", "leave --to out")
    else:
        if environment is None:
            raise BadRequest("--to is missing", f"name an environment: sizewise release apply {name} --to prod")
        release = asyncio.run(save_folder()) if name == FOLDER else name
    made = operations.apply_release(
        server,
        plan=plan,
        environment=environment,
        release=release,
        breaking=breaking,
        reason=reason,
        now=now,
        edges=list(edges),
    )
    _show(asyncio.run(made), edges, wait)


async def save_folder() -> str:
    """The hash of the folder's release, which the server has then."""
    made = build_release(command_settings())
    await operations.save_release(api_client(), manifest=msgspec.to_builtins(made.manifest), parts=part_inputs(made))
    return made.manifest.hash


@click.command()
@click.argument("environment", shell_complete=complete_environment)
@_breaking
@_reason
@_edges
@_wait
@server_options
def promote(environment: str, breaking: bool, reason: str, edges: tuple[str, ...], wait: int) -> None:
    """Make live what is live in the environment before this one.

    It is the same hash: that of the environment from which ENVIRONMENT receives. Edges of ENVIRONMENT, and of those
    that --edges names, get it when they ask next, and each answers by its own evals.

    \b
    Example: sizewise release promote prod
             sizewise release promote prod --edges tills --wait 60
    """
    made = operations.promote_release(
        api_client(), environment=environment, breaking=breaking, reason=reason, edges=list(edges)
    )
    _show(asyncio.run(made), edges, wait)


@click.command()
@click.argument("environment", shell_complete=complete_environment)
@click.option("--to", default="", help="A release that has been live there. [the one before]", metavar="RELEASE")
@_reason
@server_options
def rollback(environment: str, to: str, reason: str) -> None:
    """Go back to the release that was live before.

    Every server follows within a second. Requests in flight finish, and so do flow runs, under the release that they
    began with.

    \b
    Example: sizewise release rollback prod --reason "refunds are wrong"
    """
    _show(asyncio.run(operations.rollback_release(api_client(), environment=environment, to=to, reason=reason)))


def _done(environment: operations.Environment, live: operations.LiveRelease) -> str:
    """What the change has done; what was live before it stands last."""
    name, release, last = environment.name, live.release[:SHORT], next(iter(environment.moves), None)
    if live.canary:
        share = f"answers {100 * live.share:g} % of new sessions" if live.share else "answers copies of requests first"
        return f"{live.canary[:SHORT]} is the canary of {name} now: it {share}. {release} stays live."
    if last is not None and last.action == "rollback" and last.release == last.before:
        return f"The canary of {name} has ended. {release} stays live."
    before = last.before if last is not None and last.release == live.release else live.previous
    again = " again" if last is not None and last.action == "rollback" else ""
    return f"{release} is live in {name}{again}{f' (before: {before[:SHORT]})' if before else ''}"


def _show(environment: operations.Environment, edges: tuple[str, ...] = (), wait: int = 0) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(asyncio.run(_after_edges(environment, edges, wait)) if wait else environment))
        return
    live = environment.live
    assert live is not None
    click.echo(_done(environment, live))
    if live.canary:
        click.echo(f"Watch it: sizewise release status {environment.name}")
    if environment.problem:
        click.echo(f"This server does not serve it: {environment.problem}")
    if environment.edges.total or edges:
        asyncio.run(wait_for_edges([environment.name, *edges], wait))
        write_outcomes([environment.name, *edges])
    elif wait:
        click.echo(f"There is no edge of {environment.name} to wait for.", err=True)


async def _after_edges(
    environment: operations.Environment, edges: tuple[str, ...], wait: int
) -> operations.Environment:
    """With what its edges have made of it meanwhile."""
    if environment.edges.total or edges:
        await wait_for_edges([environment.name, *edges], wait)
    listed = await operations.list_environments(api_client())
    return next((each for each in listed if each.name == environment.name), environment)
