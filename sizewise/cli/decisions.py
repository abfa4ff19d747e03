"""`sizewise decisions`: questions with few possible answers, their certificates, and what was learned of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.decision_certification import certify_with_tuned
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_table
from sizewise.cli.printable import printable
from sizewise.errors import PathNotFound

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.decisions:list_", "List decisions, those that changed last first."),
    "show": LazyCommand("sizewise.cli.decisions:show", "Show one: its options, its state and its certificate."),
    "certify": LazyCommand("sizewise.cli.decisions:certify", "Try a certification now, on what was learned."),
    "forget": LazyCommand("sizewise.cli.decisions:forget", "Delete one, with all that was learned."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def decisions(ctx: click.Context) -> None:
    """List, show, certify and forget decisions.

    A decision is a question with few possible answers. Without a command it lists them.

    \b
    Example: sizewise decisions
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())


@click.command("list")
@server_options
def list_() -> None:
    """List decisions, those that changed last first.

    \b
    Example: sizewise decisions list --json
    """
    found = asyncio.run(operations.list_decisions(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins({"decisions": found}))
        return
    write_table(
        ("ID", "MODEL", "STATE", "OPTIONS", "ANSWERS", "SERVED"),
        [(each.id, each.model, each.state, str(len(each.options)), str(each.answers), _share(each)) for each in found],
    )


@click.command()
@click.argument("id")
@server_options
def show(id: str) -> None:
    """Show one: its options, its state and its certificate.

    \b
    Example: sizewise decisions show 3f2a
    """
    _write(_found(asyncio.run(operations.show_decision(api_client(), id=id)), id))


@click.command()
@click.argument("id")
@server_options
def certify(id: str) -> None:
    """Try a certification now, on what was learned.

    It spends a part of the error that all tries share; the server tries by itself at 250 answers and later. A model
    that was tuned for the decision is asked about all kept inputs first; that can be stopped, and goes on.

    \b
    Example: sizewise decisions certify 3f2a
    """
    _write(asyncio.run(certify_with_tuned(api_client(), id)))


@click.command()
@click.argument("id")
@server_options
def forget(id: str) -> None:
    """Delete one, with all that was learned.

    It begins with the large model again.

    \b
    Example: sizewise decisions forget 3f2a
    """
    gone = asyncio.run(operations.forget_decision(api_client(), id=id))
    if wants_json():
        write_json({"forgotten": id, "answers": gone})
        return
    click.echo(f"forgot {printable(id)} and {gone:,} answers")


def _found(decision: operations.Decision | None, id: str) -> operations.Decision:
    if decision is None:
        raise PathNotFound(f"there is no decision {id[:100]!r}", "list them: sizewise decisions list")
    return decision


def _share(decision: operations.Decision) -> str:
    proof = decision.certificate
    return f"{proof.share:.0%}" if proof is not None and decision.state == "certified" else "-"


def _write(decision: operations.Decision) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(decision))
        return
    proof, next_at = decision.certificate, decision.next_certification_at
    rows = [
        ("decision", decision.id),
        ("model", decision.model),
        ("state", f"{decision.state}: {decision.cause}" if decision.cause else decision.state),
        ("changed", format_time(decision.changed)),
        ("options", ", ".join(map(printable, decision.options))),
        ("answers", f"{decision.answers:,}" + (f", next certification at {next_at:,}" if next_at else "")),
        ("compared", f"{decision.sampled:,} randomly drawn inputs"),
    ]
    if proof is not None:
        tested = f"taught by {proof.taught:,} answers, tested on {proof.certified_on:,}"
        rows.append(("certificate", tested if proof.is_certified else f"not certified; {tested}"))
        rows.append(("serves", f"{proof.share:.0%} of all inputs, {proof.agreement:.1%} measured agreement"))
        rows.append(("rungs", ", ".join(f"{each.rung} {each.inputs:,}" for each in proof.rungs) or "none"))
    write_table(("", ""), rows)
