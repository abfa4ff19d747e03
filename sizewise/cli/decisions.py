"""`sizewise decisions`: questions with few possible answers, their certificates, and what was learned of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from shlex import quote

import click
import msgspec

from sizewise.app.option_model import options_line
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.decision_certification import certify_with_tuned
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_pairs, write_table
from sizewise.cli.printable import printable
from sizewise.errors import BadRequest, Conflict, PathNotFound

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.decisions:list_", "List decisions, those that changed last first."),
    "show": LazyCommand("sizewise.cli.decisions:show", "Show one: its options, its state and its certificate."),
    "certify": LazyCommand("sizewise.cli.decisions:certify", "Try a certification now, on what was learned."),
    "forget": LazyCommand(
        "sizewise.cli.decisions:forget", "Delete one, or all of a project, with all that was learned."
    ),
}

SHOWN_ID = 12  # digits of an id that tell decisions apart
PASSES = 2
"""A request that was in flight during the first one may have let something be learned since."""


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
    if not found:
        click.echo(
            "Nothing is learned of decisions yet. It needs `[learn] keep` and an embedding model on this machine."
        )
        return
    write_table(
        ("ID", "MODEL", "STATE", "OPTIONS", "ANSWERS", "SERVED", "QUESTION"),
        [
            (
                each.id[:SHOWN_ID],
                each.model,
                each.state,
                str(len(each.options)),
                f"{each.answers:,}",
                _share(each),
                each.question,
            )
            for each in found
        ],
        right="OPTIONS ANSWERS SERVED",
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
    done = asyncio.run(certify_with_tuned(api_client(), id))
    if done.state == "learning" and done.certificate is None and not done.cause:
        raise Conflict(
            f"{done.answers:,} answers are too few to try: no part of the error is spent",
            f"the server tries by itself at {done.next_certification_at or 0:,}",
        )
    _write(done)


@click.command()
@click.argument("id", required=False)
@click.option("--project", metavar="PROJECT", help="All decisions of a project: it no longer consents.")
@click.option("--yes", is_flag=True, help="With --project: delete. Without it, only count.")
@server_options
def forget(id: str | None, project: str | None, yes: bool) -> None:
    """Delete one, or all of a project, with all that was learned.

    It begins with the large model again. What a tuned model has learned of the deleted answers is noted on its card.

    \b
    Example: sizewise decisions forget 3f2a
             sizewise decisions forget --project shop --yes
    """
    if (id is None) == (project is None):
        raise BadRequest("name one decision, or a project", "sizewise decisions forget ID, or --project PROJECT")
    if id is not None:
        gone = asyncio.run(operations.forget_decision(api_client(), id=id))
        if wants_json():
            write_json({"forgotten": id, "answers": gone})
            return
        click.echo(f"forgot {printable(id)} and {gone:,} answers")
        return
    asyncio.run(_forget_project(project or "", dry_run=not yes))


async def _forget_project(project: str, *, dry_run: bool) -> None:
    """Raises PathNotFound, SizewiseError."""
    client, decisions, answers = api_client(), 0, 0
    for _ in range(1 if dry_run else PASSES):
        for each in await _of_project(client, project):
            answers += each.answers if dry_run else await operations.forget_decision(client, id=each.id)
            decisions += 1
    if not decisions:
        listed = await operations.list_decisions(client)
        known = ", ".join(sorted({each.project for each in listed})) or "none"
        raise PathNotFound(f"nothing is learned in the project {project[:100]!r}", f"Projects with decisions: {known}")
    if wants_json():
        write_json({"project": project, "decisions": decisions, "answers": answers, "dry_run": dry_run})
        return
    click.echo(f"{'would forget' if dry_run else 'forgot'} {decisions:,} decisions and {answers:,} answers")
    if dry_run:
        click.echo(f"nothing was deleted; to delete it: sizewise decisions forget --project {quote(project)} --yes")


async def _of_project(client: ApiClient, project: str) -> Sequence[operations.Decision]:
    """All of them, page by page; one that changed meanwhile may come twice."""
    found, skip = dict[str, operations.Decision](), 0
    while page := await operations.list_decisions(client, project=project, skip=skip):
        found |= {each.id: each for each in page}
        skip += len(page)
    return [*found.values()]


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
        *([("question", decision.question)] if decision.instructions else []),
        ("model", decision.model),
        ("state", f"{decision.state}: {decision.cause}" if decision.cause else decision.state),
        ("changed", format_time(decision.changed)),
        ("options", options_line(decision.options)),
        ("answers", f"{decision.answers:,}" + (f", next certification at {next_at:,}" if next_at else "")),
        ("compared", f"{decision.sampled:,} randomly drawn inputs"),
    ]
    if proof is not None:
        tested = f"tested on {proof.certified_on:,} answers, each by rungs that learned from {proof.taught:,} others"
        rows.append(("certificate", tested if proof.is_certified else f"not certified; {tested}"))
        rows.append(("serves", f"{proof.share:.0%} of all inputs, {proof.agreement:.1%} measured agreement"))
        rows.append(("rungs", ", ".join(f"{each.rung} {each.inputs:,}" for each in proof.rungs) or "none"))
    write_pairs(rows)
