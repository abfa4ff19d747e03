"""`sizewise savings`: what policies saved, money with the interval and energy, and the measured loss of quality."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import isfinite
from pathlib import Path

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_count, format_money, write_file, write_json, write_table
from sizewise.cli.value_completion import complete_policy
from sizewise.energy import format_wh
from sizewise.errors import BadRequest, did_you_mean
from sizewise.evals.cost_quality_plot import PlotPoint, draw_plot


@click.command("savings")
@click.option("--days", default=30.0, show_default=True, help="Number of days to include.")
@click.option(
    "--svg", "picture", type=click.Path(path_type=Path), help="Draw cost against quality of one policy, as SVG."
)
@click.option("--policy", metavar="NAME", shell_complete=complete_policy, help="Only this policy.")
@server_options
def savings(days: float, picture: Path | None, policy: str | None) -> None:
    """Show what policies saved, in money and energy, and the measured loss of quality.

    Compared to always calling the large model, with the same numbers of input and output tokens.

    \b
    Example: sizewise savings --days 7
    """
    if not isfinite(days):
        raise BadRequest(f"--days is {days!r}", "use a number, such as 7")
    found = asyncio.run(operations.get_savings(api_client(), days=days))
    told, known = found.savings, {each.policy: each for each in found.quality}
    if policy is not None and policy not in known:
        hint = did_you_mean(policy, list(known)) or f"routing policies: {', '.join(known) or 'none'}"
        raise BadRequest(f"{policy!r} is not a policy that routes between models", hint)
    told = [each for each in told if policy in (None, each.policy)]
    if picture is not None:
        _draw(told, known, picture)
    if wants_json():
        rows = [{**msgspec.to_builtins(each), "quality": msgspec.to_builtins(known.get(each.policy))} for each in told]
        write_json(rows)
        return
    if not told:
        click.echo(
            "No routing policy has answered a request yet."
            if policy is None
            else ("The policy has answered no request yet."),
        )
        return
    heads = ("POLICY", "REQUESTS", "SMALL", "SPENT", "LARGE ALONE", "SAVED", "MEASURING", "QUALITY LOSS")
    write_table(heads, [_row(each, known.get(each.policy)) for each in told])
    if any(each.unpriced for each in told):
        click.echo()
        click.echo(f"{format_count(sum(each.unpriced for each in told))} requests without a known price count as free.")
    click.echo()
    write_table(("POLICY", "REQUESTS", "ENERGY", "LARGE ALONE", "SAVED"), [_energy_row(each) for each in told])
    click.echo()
    click.echo(f"Energy is {told[0].energy.how}; LARGE ALONE is for as many output tokens.")
    if unknown := sum(each.energy.unknown for each in told):
        click.echo(f"{format_count(unknown)} requests of unknown energy are left out.")


def _row(each: operations.PolicySavings, quality: operations.QualityLoss | None) -> tuple[str, ...]:
    small = f"{each.small / max(1, each.requests):.0%}"
    return (
        each.policy,
        format_count(each.requests),
        small,
        format_money(each.spent_usd),
        format_money(each.baseline_usd),
        _saved(each),
        format_money(each.evaluation_usd),
        _lost(quality),
    )


def _energy_row(each: operations.PolicySavings) -> tuple[str, ...]:
    its = each.energy
    took, alone = its.took_wh, its.large_alone_wh
    return (
        each.policy,
        format_count(its.requests),
        "unknown" if took is None else format_wh(took),
        "unknown" if alone is None else format_wh(alone),
        "unknown" if took is None or alone is None else format_wh(alone - took),
    )


def _lost(its: operations.QualityLoss | None) -> str:
    if its is None or its.loss is None or its.loss_low is None or its.loss_high is None:
        return "not measured"
    return f"{its.loss:.1%} ({its.loss_low:.1%} to {its.loss_high:.1%}, {format_count(its.samples)} sampled)"


def _saved(each: operations.PolicySavings) -> str:
    if each.saved_usd is None or each.margin_usd is None:
        return "unknown"
    alone = float(each.baseline_usd or 0)
    if not alone:
        return "nothing to save"
    return f"{float(each.saved_usd) / alone:.1%} +- {float(each.margin_usd) / alone:.1%}"


def _draw(savings: list[operations.PolicySavings], known: Mapping[str, operations.QualityLoss], file: Path) -> None:
    if len(savings) != 1:
        names = ", ".join(each.policy for each in savings) or "none has answered a request"
        raise BadRequest(f"a plot shows one policy, and there are {len(savings)}", f"use --policy NAME: {names}")
    its = savings[0]
    alone = float(its.baseline_usd or 0)
    if not alone:
        raise BadRequest(f"the cost of {its.large!r} alone is unknown or zero", "set its price in the settings")
    cost, within = float(its.spent_usd) / alone, float(its.margin_usd or 0) / alone
    dots, quality = [PlotPoint(its.large, 1.0, 1.0)], known.get(its.policy)
    if quality is None or quality.loss is None or quality.loss_low is None or quality.loss_high is None:
        dots.append(PlotPoint(its.policy, cost, 1.0, cost_margin=within, is_unmeasured=True))
    else:
        dots.append(
            PlotPoint(
                name=its.policy,
                cost=cost,
                quality=1 - quality.loss,
                low=1 - quality.loss_high,
                high=1 - quality.loss_low,
                cost_margin=within,
            )
        )
    title = f"{its.policy}: {format_count(its.requests)} requests"
    promised = None if quality is None else quality.certified
    curves = msgspec.convert(its.curves or {}, dict[str, list[tuple[float, float]]])
    write_file(file, draw_plot(title, curves, dots, promised))
