"""`sizewise release plan` and `approve`: what a release would change in an environment, before it does."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.edge_list import STANDINGS
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.release_apply import save_folder
from sizewise.cli.release_source import FOLDER
from sizewise.cli.release_status import complete_environment
from sizewise.errors import BadRequest


@click.command()
@click.argument("names", nargs=-1, metavar="[FROM] TO", shell_complete=complete_environment)
@click.option("--commit", metavar="ID", help="In place of FROM: a commit of the repository of [git], by its whole id.")
@click.option("--ref", metavar="BRANCH", help="In place of FROM: the last commit of a branch there.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if something would change.")
@server_options
@click.pass_context
def plan(ctx: click.Context, names: tuple[str, ...], commit: str | None, ref: str | None, exit_code: bool) -> None:
    """Plan a release for an environment: what changes, breaks and is missing.

    FROM is an environment, the first 8 or more digits of a hash, or `.`, the folder as it is now. The plan is saved;
    it is refused later if what is live in TO has changed.

    \b
    Example: sizewise release plan staging prod
             sizewise release plan --ref main prod
    """
    *sources, to = names or ("",)
    given = [*sources, *(each for each in (commit, ref) if each is not None)]
    if not to or len(given) != 1:
        raise BadRequest(
            "name what to plan, once, and an environment",
            "sizewise release plan FROM TO, or sizewise release plan --commit ID TO",
        )
    named = given[0]
    if commit is not None or ref is not None:
        named = asyncio.run(_release_of(named))
    elif named == FOLDER:
        named = asyncio.run(save_folder())
    made = asyncio.run(operations.plan_release(api_client(), source=named, to=to))
    write_plan(made)
    ctx.exit(1 if exit_code and made.base != made.release else 0)


async def _release_of(ref: str) -> str:
    """The hash of the release that a branch or commit becomes. Raises BadRequest."""
    found = await operations.sync_git(api_client(), ref=ref)
    if found.release is None:
        raise BadRequest(f"{ref!r} became no release", "sizewise release sync says why")
    return found.release


@click.command()
@click.argument("id", metavar="PLAN")
@server_options
def approve(id: str) -> None:
    """Approve a plan of someone else's.

    \b
    Example: sizewise release approve plan-3f2a9c01
    """
    write_plan(asyncio.run(operations.approve_release(api_client(), plan=id)))


def write_plan(made: operations.ReleasePlan) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(made))
        return
    click.echo(made.sentence)
    for missing in made.missing:
        click.echo(f"missing: {missing.kind}/{missing.name}: {missing.hint}")
    for gate in made.gates:
        click.echo(f"eval: {gate.eval}: {gate.sentence}")
    for each in made.changes:
        for why in each.breaking:
            click.echo(f"breaking: {each.kind}/{each.name}: {why}")
    for effect in made.effects:
        click.echo(f"effect: {effect.kind}/{effect.name}: {effect.sentence}")
    for each in made.changes:
        click.echo(f"{each.sign} {each.kind}/{each.name}")
        for line in each.details:
            click.echo(f"    {line}")
    write_followers(made)
    if any(gate.verdict != "pass" for gate in made.gates):
        click.echo(f"Run its evals: sizewise release gate {made.id}")
    elif made.base != made.release:
        click.echo(f"Apply it: sizewise release apply {made.id}")


def write_followers(made: operations.ReleasePlan) -> None:
    """The edges that would get the release, and those that may follow."""
    for each in asyncio.run(operations.list_environments(api_client())):
        counts = each.edges
        if not counts.total or made.environment not in (each.name, each.source):
            continue
        stand = ", ".join(f"{number} {name}" for name in STANDINGS if (number := getattr(counts, name)))
        how = "" if each.name == made.environment else f"; they follow by --edges {each.name}"
        click.echo(f"edges of {each.name}: {stand}{how}")
