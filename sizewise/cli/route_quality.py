"""`sizewise route outcomes` and `restore`: what routing loses as far as it was measured; measures nothing itself."""

from __future__ import annotations

import asyncio

import click
import msgspec
from msgspec import Struct

from sizewise.cli.options import served, server, wants_json
from sizewise.cli.output import count, day, write_json, write_table

QUALITY = """query ($policy: String) { quality(policy: $policy) {
  policy certified samples unjudged loss lossLow lossHigh since violated feedback { model kind count mean }
} }"""
TRUST = "mutation ($policy: String!) { restorePolicy(policy: $policy) { policy wasViolated } }"


class Opinion(Struct):
    model: str
    kind: str
    count: int
    mean: float


class Quality(Struct, rename="camel"):
    policy: str
    certified: float | None
    samples: int
    unjudged: int
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    since: int | None
    violated: int | None
    feedback: list[Opinion]


class Told(Struct):
    quality: list[Quality]


class Trusted(Struct, rename="camel"):
    policy: str
    was_violated: bool


class TrustTold(Struct, rename="camel"):
    restore_policy: Trusted


@click.command()
@click.argument("policy", required=False)
@served
@click.pass_context
def outcomes(ctx: click.Context, /, policy: str | None) -> None:
    """What routing loses, by sampled comparisons and feedback.

    Of each policy, or of POLICY: how much worse its answers were than its large model's, from 0 to 1, with an interval.
    Exits with 1 when a quality target was missed. Comparisons need a `sample_rate` in [shadow].

    \b
    Example: sizewise route outcomes
    """
    told = asyncio.run(server().graphql(QUALITY, Told, policy=policy)).quality
    if wants_json():
        write_json(msgspec.to_builtins({"quality": told}))
    else:
        _show(told)
    ctx.exit(1 if any(each.violated is not None for each in told) else 0)


def _show(told: list[Quality]) -> None:
    write_table(
        ("POLICY", "PROMISED", "LOST", "INTERVAL", "SAMPLES", "UNJUDGED", "SINCE", "STATE"),
        [_row(each) for each in told],
        right="PROMISED LOST SAMPLES UNJUDGED",
    )
    opinions = [(each.policy, its) for each in told for its in each.feedback]
    if opinions:
        click.echo()
        write_table(
            ("POLICY", "MODEL", "FEEDBACK", "COUNT", "MEAN"),
            [(policy, its.model, its.kind, count(its.count), f"{its.mean:.2f}") for policy, its in opinions],
            right="COUNT MEAN",
        )


def _row(its: Quality) -> tuple[str, ...]:
    bounds = "-" if its.loss_low is None or its.loss_high is None else f"{its.loss_low:.3f} to {its.loss_high:.3f}"
    state = "nothing was promised" if its.certified is None else "no alarm"
    if its.violated is not None:
        state = f"found broken {day(its.violated)}: its large model answers alone"
    return (
        its.policy,
        "-" if its.certified is None else f"{its.certified:g}",
        "not measured" if its.loss is None else f"{its.loss:.3f}",
        bounds,
        count(its.samples),
        count(its.unjudged),
        "-" if its.since is None else day(its.since),
        state,
    )


@click.command()
@click.argument("policy")
@served
def restore(policy: str) -> None:
    """Use a policy again that missed its quality target.

    It routes as before, and its measurement starts again.

    \b
    Example: sizewise route restore support
    """
    told = asyncio.run(server().graphql(TRUST, TrustTold, policy=policy)).restore_policy
    if wants_json():
        write_json(msgspec.to_builtins(told))
        return
    click.echo(
        f"{told.policy} is trusted again" if told.was_violated else f"{told.policy} was trusted; it is measured anew"
    )
