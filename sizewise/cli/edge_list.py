"""`sizewise edge list`: the edges of the server, and what each made of the release that is live; changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Literal

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_table
from sizewise.cli.release_status import SHORT, complete_environment

Standing = Literal["failing", "lagging", "silent", "current", "revoked"]
STANDINGS: tuple[Standing, ...] = ("failing", "lagging", "silent", "current", "revoked")
LOOK_S = 1.0
SHOWN = 20
"""Edges that a promotion names."""


@click.command("list")
@click.option("--environment", help="Only those of one environment.", shell_complete=complete_environment)
@click.option("--standing", type=click.Choice(STANDINGS), help="Only those that stand so to what is live.")
@click.option("--words", help="A part of the name.")
@click.option("-n", "--last", default=100, type=click.IntRange(1, 1_000), help="Number of edges. [100]")
@server_options
def list_(environment: str | None, standing: Standing | None, words: str | None, last: int) -> None:
    """List the edges of the server, those that need somebody first.

    failing: it says why it does not answer with what is live in its environment. lagging: it answers with something
    else. silent: not heard of for two minutes. current. revoked: its key.

    \b
    Example: sizewise edge list --environment tills
    """
    found = operations.list_edges(api_client(), environment=environment, standing=standing, words=words, last=last)
    page = asyncio.run(found)
    if wants_json():
        write_json(msgspec.to_builtins({"edges": page.rows}))
        return
    if not page.rows:
        click.echo("No edge is like that." if environment or standing or words else "No edge has reported.")
        return
    write_edges(page.rows)
    if page.before is not None:
        click.echo(f"There are more: -n {min(1_000, 10 * last)}, or --standing failing")


def write_edges(edges: Iterable[operations.Edge]) -> None:
    rows = [
        (
            each.name,
            each.environment,
            each.standing,
            (each.release or "")[:SHORT],
            (each.wanted or "")[:SHORT],
            format_time(each.seen),
            each.note,
        )
        for each in edges
    ]
    write_table(("EDGE", "ENVIRONMENT", "STANDING", "ANSWERS WITH", "WANTED", "LAST REPORT", "IT SAYS"), rows)


def write_outcomes(environments: Sequence[str]) -> None:
    """What the edges of each environment made of what is live there."""
    for each in asyncio.run(operations.list_environments(api_client())):
        counts, live = each.edges, each.live
        if each.name not in environments or not counts.total or live is None:
            continue
        took = counts.current + counts.silent
        click.echo(
            f"Edges of {each.name}: {took} of {counts.total - counts.revoked} answer with {live.release[:SHORT]}, "
            f"{counts.failing} refused it, {counts.lagging} not yet"
        )
        for standing in STANDINGS[:2]:
            found = operations.list_edges(api_client(), environment=each.name, standing=standing, last=SHOWN)
            page = asyncio.run(found)
            for edge in page.rows:
                click.echo(f"  {edge.name}: {outcome(edge)}")
            if page.before is not None:
                click.echo(f"  and more: sizewise edge list --environment {each.name} --standing {standing}")


def outcome(edge: operations.Edge) -> str:
    """Of one that does not answer with what is live."""
    if edge.standing == "failing":
        return f"refused: {edge.note}"
    if edge.kind == "worker":
        return "a Worker gets its release by: sizewise edge deploy"
    heard = edge.wanted_since is not None and edge.seen > edge.wanted_since
    return f"not {'taken yet' if heard else 'seen since'}; last report {format_time(edge.seen)}"


async def wait_for_edges(environments: Sequence[str], wait_s: int) -> None:
    """Until none of them lags behind what is live there, or for so many seconds."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        pages = [
            await operations.list_edges(api_client(), environment=each, standing="lagging", last=1)
            for each in environments
        ]
        if not any(page.rows for page in pages):
            return
        await asyncio.sleep(LOOK_S)
