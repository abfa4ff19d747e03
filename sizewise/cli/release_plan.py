"""`sizewise release plan` and `approve`: what a release would change in an environment, before it does."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.release_apply import save_folder
from sizewise.cli.release_source import FOLDER
from sizewise.cli.release_status import complete_environment


@click.command()
@click.argument("source", metavar="FROM", shell_complete=complete_environment)
@click.argument("to", shell_complete=complete_environment)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if something would change.")
@server_options
@click.pass_context
def plan(ctx: click.Context, source: str, to: str, exit_code: bool) -> None:
    """Plan a release for an environment: what changes, breaks and is missing.

    FROM is an environment, the first 8 or more digits of a hash, or `.`, the folder as it is now. The plan is saved;
    it is refused later if what is live in TO has changed.

    \b
    Example: sizewise release plan staging prod
    """
    named = asyncio.run(save_folder()) if source == FOLDER else source
    made = asyncio.run(operations.plan_release(api_client(), source=named, to=to))
    write_plan(made)
    ctx.exit(1 if exit_code and made.base != made.release else 0)


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
    if any(gate.verdict != "pass" for gate in made.gates):
        click.echo(f"Run its evals: sizewise release gate {made.id}")
    elif made.base != made.release:
        click.echo(f"Apply it: sizewise release apply {made.id}")
