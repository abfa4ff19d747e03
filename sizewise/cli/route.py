"""`sizewise route explain`: what the router would do with a prompt, and why; calls no model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import get_args

import click
import msgspec

from sizewise.catalog.retirements import retirements
from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.models_family import configured_name
from sizewise.cli.options import api_client, command_settings, server_options, wants_json
from sizewise.cli.output import dim, format_count, format_money, format_seconds, write_json, write_table
from sizewise.cli.printable import printable
from sizewise.cli.request_options import model_option, policy_option
from sizewise.data_class import DATA_CLASSES, DataClass
from sizewise.routing.languages import language_name

COMMANDS: Mapping[str, LazyCommand] = {
    "explain": LazyCommand(
        "sizewise.cli.route:explain", "Show the routing decision for a prompt, without calling a model."
    ),
    "quality": LazyCommand(
        "sizewise.cli.route_quality:quality", "Show measured quality loss, from sampled comparisons and feedback."
    ),
    "restore": LazyCommand("sizewise.cli.route_quality:restore", "Restore a policy that missed its quality target."),
    "outcomes": LazyCommand(
        "sizewise.cli.route_outcomes:outcomes", "Have models answer prompts, and score the answers."
    ),
    "prior": LazyCommand("sizewise.cli.route_prior:prior", "Pull the shipped answer prior by your own labels."),
    "calibrate": LazyCommand(
        "sizewise.cli.calibrate:calibrate", "Certify a quality target, and write the policy for it."
    ),
    "train": LazyCommand("sizewise.cli.router:train", "Train a predictor of which prompts need the large model."),
    "add-model": LazyCommand("sizewise.cli.router:add_model", "Add a new model to a trained predictor."),
    "replay": LazyCommand("sizewise.cli.replay:replay", "Replay a policy over recorded outcomes, at no cost."),
    "policy": LazyCommand("sizewise.cli.policy:policy", "Show which data may reach which model; test policies."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS)
def route() -> None:
    """Explain, measure, calibrate, train and test routing."""


@click.command()
@click.argument("question", nargs=-1, required=True)
@model_option
@policy_option
@click.option("--max-tokens", type=click.IntRange(min=1), help="Maximum output tokens.")
@click.option("--max-cost-usd", metavar="DOLLARS", help="Maximum cost.")
@click.option("--max-ms", type=click.IntRange(min=1), metavar="MS", help="Milliseconds for the whole answer.")
@click.option("--data-class", type=click.Choice(DATA_CLASSES), help="Data class of the prompt.")
@click.option(
    "--online", type=click.Choice(get_args(operations.Online)), help="Whether the request may leave this machine."
)
@click.option("--session", help="As the next request of this session.")
@server_options
@click.pass_context
def explain(
    ctx: click.Context,
    /,
    question: tuple[str, ...],
    model: str,
    policy: str,
    max_tokens: int | None,
    max_cost_usd: str | None,
    max_ms: int | None,
    data_class: DataClass | None,
    online: operations.Online | None,
    session: str | None,
) -> None:
    """Show the routing decision for a prompt, without calling a model.

    Shows the models to be called, the reason against each other one, and the expected cost and time. Exits with 1 if no
    model fits.

    \b
    Example: sizewise route explain "Prove that 2 is prime" --data-class confidential
    """
    client = api_client()
    explained = operations.explain(
        client,
        prompt=" ".join(question),
        model=asyncio.run(configured_name(client, model, command_settings())),
        policy=policy or None,
        max_tokens=max_tokens,
        max_cost_usd=max_cost_usd,
        max_ms=max_ms,
        data_class=data_class,
        online=online,
        session=session,
    )
    told = asyncio.run(explained)
    warnings = _warnings(told)
    if wants_json():
        write_json({**msgspec.to_builtins(told), "warnings": warnings})
    else:
        _show(told)
        for each in warnings:
            click.echo(f"warning: {each}")
    ctx.exit(1 if told.error else 0)


def _show(decision: operations.Explanation) -> None:
    spoken = f" in {language_name(decision.language)}" if decision.language else ""
    click.echo(
        f"{printable(decision.requested_model)} by policy {decision.policy}; about {format_count(decision.tokens)}"
        f" tokens of {decision.data_class} data{spoken}"
    )
    click.echo()
    for number, step in enumerate(decision.steps, 1):
        click.echo(printable(f"{number}. {' and '.join(step.models)}, {step.action}: {step.why}"))
        if step.on_average and step.threshold is not None:
            click.echo(dim(f"   {step.on_average}"))
    if decision.error:
        click.echo(printable(decision.reasons[-1]))
    if decision.freshness:
        click.echo(f"The answer may be out of date: {decision.freshness}")
    click.echo()
    has_efforts = any(each.effort for each in decision.candidates)
    write_table(
        ("MODEL", "SIZE", "PLACE", "MAY", "EXPECTED", "TIME", *(["THINKS"] if has_efforts else []), "WHY"),
        [
            (
                *(c.model, c.size, c.place, "yes" if c.eligible else "no", _cost(c), _time(c)),
                *([_thinking(c)] if has_efforts else []),
                c.why,
            )
            for c in decision.candidates
        ],
    )


def _warnings(decision: operations.Explanation) -> list[str]:
    """Candidates that have ended or will soon, by the settings of this machine."""
    names = {each.model for each in decision.candidates}
    return [str(each) for each in retirements(command_settings(), date.today()) if each.name in names]


def _cost(candidate: operations.Candidate) -> str:
    return format_money(candidate.cost_usd) if candidate.eligible else "-"


def _time(candidate: operations.Candidate) -> str:
    return "-" if candidate.expected_s is None else format_seconds(candidate.expected_s * 1_000)


def _thinking(candidate: operations.Candidate) -> str:
    return "-" if candidate.thinking_tokens is None else f"{format_count(candidate.thinking_tokens)} tokens"
