"""`sizewise route policy`: which data may reach which model, and the policies' own tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import click
import msgspec

from sizewise.app.routing_config import build_data_policy, build_policies
from sizewise.catalog.loader import load_cards
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import dim, write_json, write_table
from sizewise.data_class import DATA_CLASSES
from sizewise.errors import BadRequest, did_you_mean
from sizewise.evals.policy_tests import PolicyTestResult, run_policy_test
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.handler import Handler
from sizewise.model_card import ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.settings.load import Settings
from sizewise.settings.routing import PolicyTestSettings

COMMANDS: Mapping[str, LazyCommand] = {
    "test": LazyCommand("sizewise.cli.policy:test", "Run the policies' test cases; exits with 1 if one fails."),
}
SHOWN = """[[policies.default.tests]]
name = "confidential data stays on this machine"
data_class = "confidential"
denied_models = ["{far}"]"""


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@local_options
@click.pass_context
def policy(ctx: click.Context) -> None:
    """Show which data may reach which model; test policies.

    Without a command it shows, for every policy and data class, all models that a request may reach on any path: first
    attempt, fallback, retry, judge and comparison. Calls no model and needs no server.

    \b
    Example: sizewise route policy
    """
    if ctx.invoked_subcommand is not None:
        return
    found = command_settings()
    tries = _opened(found)
    rows = [
        tries(PolicyTestSettings(name=kind, data_class=kind), each, 0)
        for each, kind in product(found.policies, DATA_CLASSES)
    ]
    if wants_json():
        told = [{"policy": row.policy, "data_class": row.name, "models": row.models} for row in rows]
        write_json({"reach": told})
        return
    write_table(
        ("POLICY", "DATA", "MAY REACH"),
        [(row.policy, row.name, ", ".join(row.models) or f"none: {row.why}") for row in rows],
    )


@click.command()
@click.argument("name", required=False)
@local_options
@click.pass_context
def test(ctx: click.Context, /, name: str | None) -> None:
    """Run the policies' test cases; exits with 1 if one fails.

    The test cases are in sizewise.toml, as [[policies.NAME.tests]]: a request and its expected routing. With NAME only
    that policy's. Calls no model, needs no server, costs nothing.

    \b
    Example: sizewise route policy test
    """
    found = command_settings()
    if name is not None and name not in found.policies:
        hint = did_you_mean(name, list(found.policies)) or f"known: {', '.join(found.policies)}"
        raise BadRequest(f"there is no policy {name!r}", hint)
    tries = _opened(found)
    done = [
        tries(case, each, number)
        for each, wanted in found.policies.items()
        for number, case in enumerate(wanted.tests if name in (None, each) else (), 1)
    ]
    if not done:
        far = next(
            (card.name for card in load_cards(found) if card.place not in ("process", "machine")), "<provider>/*"
        )
        raise BadRequest("there are no tests", f"add some to sizewise.toml:\n{SHOWN.format(far=far)}")
    failed = sum(1 for each in done if each.failures)
    if wants_json():
        write_json({"failed": failed, "tests": msgspec.to_builtins(done)})
    else:
        for each in done:
            _show(each)
        click.echo(f"{len(done) - failed} of {len(done)} passed")
    ctx.exit(1 if failed else 0)


def _show(each: PolicyTestResult) -> None:
    mark = click.style("✗", fg="red") if each.failures else click.style("✓", fg="green")
    click.echo(f"{mark} {each.policy}: {each.name}")
    for failure in each.failures:
        click.echo(f"    {failure}")
    if not each.failures:
        click.echo(dim(f"    {', '.join(each.models) or each.why}"))


def _opened(found: Settings) -> Callable[[PolicyTestSettings, str, int], PolicyTestResult]:
    """A function that runs one test case of a policy, with its guardrails."""
    load = PluginRegistry()
    _, names = build_policies(found, load_cards(found), load)
    held = build_data_policy(found)
    post = GuardrailPipeline(
        settings=found.guardrails,
        policies=found.policies,
        plan=names,
        plugins=load,
        connect=_no_model,
    )
    return lambda case, policy, number: run_policy_test(case, policy, names, held, post.check, number)


def _no_model(card: ModelCard) -> Handler:
    raise AssertionError("policy tests call no model")
