"""`sizewise release status`: what is live in each environment, since when, and the last changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, api_client_or_none, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_table
from sizewise.cli.release_canary import write_canary
from sizewise.errors import BadRequest, SizewiseError, did_you_mean

SHORT = 12
"""Digits of a hash."""


def complete_environment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    try:
        server = api_client_or_none()
        found = asyncio.run(operations.list_environments(server)) if server is not None else []
    except SizewiseError:
        return []
    return [each.name for each in found if each.name.startswith(incomplete)]


@click.command()
@click.argument("name", required=False, metavar="[ENVIRONMENT]", shell_complete=complete_environment)
@server_options
def status(name: str | None) -> None:
    """Show what is live in each environment.

    With a name, it also shows the last changes.

    \b
    Example: sizewise release status prod
    """
    found = asyncio.run(operations.list_environments(api_client()))
    chosen = [each for each in found if name in (None, each.name)]
    if name is not None and not chosen:
        hint = did_you_mean(name, [each.name for each in found]) or "add a table [environments.NAME] to the settings"
        raise BadRequest(f"there is no environment {name[:100]!r}", hint)
    if wants_json():
        canaries = [asyncio.run(operations.show_canary(api_client(), environment=each.name)) for each in chosen]
        write_json(msgspec.to_builtins({"environments": chosen, "canaries": [each for each in canaries if each]}))
        return
    if not chosen:
        click.echo("There are no environments: what is published is live.")
        click.echo("To have some, add to sizewise.toml: [environments.staging] and [environments.prod]")
        return
    write_environments(chosen)
    for each in chosen:
        if each.live is not None and (each.live.canary or name is not None):
            write_canary(asyncio.run(operations.show_canary(api_client(), environment=each.name)))
    if name is not None:
        write_moves(chosen[0].moves)


def write_environments(environments: Iterable[operations.Environment]) -> None:
    rows = [
        (
            f"{each.name}{' (default)' if each.is_default else ''}",
            _live(each.live),
            "" if each.live is None else format_time(each.live.since),
            (each.live.previous or "")[:SHORT] if each.live is not None else "",
            each.source,
        )
        for each in environments
    ]
    write_table(("ENVIRONMENT", "LIVE", "SINCE", "BEFORE", "RECEIVES FROM"), rows)
    for each in environments:
        if each.problem:
            click.echo(f"{each.name}: this server does not serve it: {each.problem}")


def _live(live: operations.LiveRelease | None) -> str:
    if live is None:
        return "what is published"
    return f"{live.release[:SHORT]}{f', canary {canary_words(live)}' if live.canary else ''}"


def canary_words(live: operations.LiveRelease) -> str:
    """The canary and its share."""
    share = f"{100 * live.share:g} %" if live.share else "in its shadow run"
    return f"{(live.canary or '')[:SHORT]} {share}"


def write_moves(moves: Iterable[operations.ReleaseMove]) -> None:
    click.echo()
    rows = [(format_time(each.at), each.action, each.release[:SHORT], each.by, each.reason) for each in moves]
    write_table(("WHEN", "CHANGE", "RELEASE", "BY", "REASON"), rows)
