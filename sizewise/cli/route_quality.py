"""`sizewise route quality` and `restore`: measured quality loss of routing, and restoring a policy."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_count, format_date, write_json, write_table
from sizewise.cli.value_completion import complete_policy


@click.command()
@click.argument("policy", required=False, shell_complete=complete_policy)
@server_options
@click.pass_context
def quality(ctx: click.Context, /, policy: str | None) -> None:
    """Show measured quality loss, from sampled comparisons and feedback.

    For each policy, or for POLICY: how much worse its answers were than its large model's, from 0 to 1, with an
    interval. Exits with 1 if a quality target was missed. Comparisons need a `sample_rate` in [shadow].

    \b
    Example: sizewise route quality
    """
    told = asyncio.run(operations.get_quality(api_client(), policy=policy))
    if wants_json():
        write_json(msgspec.to_builtins({"quality": told}))
    else:
        _show(told)
    ctx.exit(1 if any(each.violated is not None for each in told) else 0)


def _show(policies: list[operations.PolicyQuality]) -> None:
    write_table(
        ("POLICY", "TARGET", "LOSS", "INTERVAL", "SAMPLES", "UNJUDGED", "SINCE", "STATE"),
        [_row(each) for each in policies],
        right="TARGET LOSS SAMPLES UNJUDGED",
    )
    opinions = [(each.policy, its) for each in policies for its in each.feedback]
    if opinions:
        click.echo()
        write_table(
            ("POLICY", "MODEL", "FEEDBACK", "COUNT", "MEAN"),
            [(policy, its.model, its.kind, format_count(its.count), f"{its.mean:.2f}") for policy, its in opinions],
            right="COUNT MEAN",
        )


def _row(its: operations.PolicyQuality) -> tuple[str, ...]:
    bounds = "-" if its.loss_low is None or its.loss_high is None else f"{its.loss_low:.3f} to {its.loss_high:.3f}"
    state = "no target" if its.certified is None else "no alarm"
    if its.violated is not None:
        state = f"target missed on {format_date(its.violated)}: only its large model answers"
    return (
        its.policy,
        "-" if its.certified is None else f"{its.certified:g}",
        "not measured" if its.loss is None else f"{its.loss:.3f}",
        bounds,
        format_count(its.samples),
        format_count(its.unjudged),
        "-" if its.since is None else format_date(its.since),
        state,
    )


@click.command()
@click.argument("policy", shell_complete=complete_policy)
@server_options
def restore(policy: str) -> None:
    """Restore a policy that missed its quality target.

    The policy routes as before, and its measurement starts again.

    \b
    Example: sizewise route restore support
    """
    told = asyncio.run(operations.restore_policy(api_client(), policy=policy))
    if wants_json():
        write_json(msgspec.to_builtins(told))
        return
    click.echo(
        f"{told.policy} is in use again"
        if told.was_violated
        else (f"{told.policy} was in use; its measurement starts again")
    )
