"""`sizewise release pause` and `resume`, and the canary in `release status`: its sentence, evidence and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_table

NAMES: Mapping[str, str] = MappingProxyType(
    {"error": "errors", "quality": "quality", "slow": "slow answers", "cost": "cost"}
)
MAX_FAILURES = 5


@click.command()
@click.argument("environment")
@server_options
def pause(environment: str) -> None:
    """Let a canary take no further step.

    Its guards go on: it may still be rolled back.

    \b
    Example: sizewise release pause prod
    """
    _show(asyncio.run(operations.pause_release(api_client(), environment=environment)))


@click.command()
@click.argument("environment")
@server_options
def resume(environment: str) -> None:
    """Let a paused canary go on.

    It takes its steps again. It does not become live by this: that is `release promote`.

    \b
    Example: sizewise release resume prod
    """
    _show(asyncio.run(operations.resume_release(api_client(), environment=environment)))


def _show(canary: operations.Canary | None) -> None:
    if wants_json():
        write_json(msgspec.to_builtins({"canary": canary}))
    else:
        write_canary(canary)


def write_canary(canary: operations.Canary | None) -> None:
    """Nothing where there was none."""
    if canary is None:
        return
    click.echo()
    click.echo(canary.sentence)
    if canary.pairs.seen or canary.units.canary or canary.units.stable:
        click.echo(canary.evidence_sentence)
        rows = [
            (
                NAMES.get(each.name, each.name),
                _points(each.name, each.value),
                f"{_points(each.name, each.low)} to {_points(each.name, each.high)}" if each.low is not None else "",
                _points(each.name, each.margin),
                f"{min(each.evidence, 1e6):.1f}",
                f"{min(each.certified, 1e6):.1f}",
            )
            for each in canary.metrics
        ]
        write_table(("METRIC", "CANARY - STABLE", "INTERVAL", "ALLOWED", "WORSE", "WITHIN"), rows)
        units, pairs = canary.units, canary.pairs
        click.echo(f"{units.canary} canary and {units.stable} stable sessions, {pairs.seen} shadow pairs compared.")
    for limit in canary.limits:
        click.echo(limit)
    is_open = canary.ended is None
    late = [each.name for each in canary.servers if is_open and not each.confirmed]
    if late:
        click.echo(f"Not yet on: {', '.join(late)}")
    if canary.failures:
        click.echo("Failed requests: sizewise records --trace ID")
        for failure in canary.failures[:MAX_FAILURES]:
            click.echo(f"  {format_time(failure.at)}  {failure.trace}")


def _points(metric: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:+.1f} %" if metric == "cost" else f"{100 * value:+.1f} points"
