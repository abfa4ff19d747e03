"""`sizewise scores`: lists scores of the server, and adds one; computes no statistics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_table

SHORT = 16
"""Characters of a target in the list."""
SOURCES = ("user", "person", "judge", "code")
COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.scores:list_", "List scores, newest first."),
    "add": LazyCommand("sizewise.cli.scores:add", "Score an answer by its trace, span or session."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def scores(ctx: click.Context) -> None:
    """Judgements of users, people, judges: list, add.

    A score has a name, a value from 0 (bad) to 1 (good), a label or both. Without a command they are listed.

    \b
    Example: sizewise scores add 6b0641ee22d52f62 --value 1
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())


@click.command("list")
@click.option("-n", "--last", default=20, type=click.IntRange(1, 1_000), help="Number of scores. [20]")
@click.option("--name", help="Only scores of this name.")
@click.option("--source", type=click.Choice(SOURCES), help="Only scores from there.")
@click.option("--trace", help="Only scores of this trace.")
@click.option("--session", metavar="ID", help="Only scores of this conversation.")
@click.option("-m", "--model", help="Only scores of answers of this model.")
@click.option("--days", type=click.FloatRange(0.0, 3_650, min_open=True), help="Only scores of the last days.")
@click.option("--before", metavar="PAGE", help="Go on where another list ended.")
@server_options
def list_(
    last: int,
    name: str | None,
    source: str | None,
    trace: str | None,
    session: str | None,
    model: str | None,
    days: float | None,
    before: str | None,
) -> None:
    """List scores, newest first.

    \b
    Example: sizewise scores list --name resolved --source judge --days 7
    """
    since = None if days is None else int((time.time() - days * 86_400) * 1_000)
    page = asyncio.run(
        operations.list_scores(
            api_client(),
            last=last,
            before=before,
            name=name,
            source=source,  # type: ignore[arg-type]  # one of SOURCES
            trace=trace,
            session=session,
            model=model,
            since=since,
        )
    )
    if wants_json():
        write_json(msgspec.to_builtins({"scores": page.rows, "before": page.before}))
        return
    if not page.rows:
        click.echo("There is no score like that. Add one: sizewise scores add TRACE --value 1", err=True)
        return
    write_table(
        ("TIME", "NAME", "VALUE", "LABEL", "SOURCE", "BY", "TARGET", "", "MODEL"),
        [*map(_row, page.rows)],
        right="VALUE",
    )
    if page.before is not None:
        click.echo(f"more: --before {page.before}", err=True)


@click.command()
@click.argument("trace", required=False)
@click.option("--span", help="Score one record of a trace, by its span.")
@click.option("--session", metavar="ID", help="Score a conversation, by the client's id of it.")
@click.option("--name", default="user", help="What is judged, in one word. [user]")
@click.option("--value", type=float, metavar="VALUE", help="0 is bad, 1 is good.")
@click.option("--label", help="A word, beside the value or in its place.")
@click.option("--source", type=click.Choice(SOURCES), default="user", help="Who judges. [user]")
@click.option("--scorer", metavar="NAME@VERSION", help="The judge or code that judged.")
@click.option("--comment", help="Stored encrypted.")
@server_options
def add(
    trace: str | None,
    span: str | None,
    session: str | None,
    name: str,
    value: float | None,
    label: str | None,
    source: str,
    scorer: str | None,
    comment: str | None,
) -> None:
    """Score an answer by its trace, span or session.

    TRACE is the x-sizewise-trace of an answer, or its beginning. Your earlier score of this name on it is replaced.

    \b
    Example: sizewise scores add 6b0641ee22d52f62 --name resolved --value 0 --comment "wrong city"
    """
    made = asyncio.run(
        operations.add_score(
            api_client(),
            trace=trace,
            span=span,
            session=session,
            name=name,
            value=value,
            label=label,
            source=source,  # type: ignore[arg-type]  # one of SOURCES
            scorer=scorer,
            comment=comment,
        )
    )
    if wants_json():
        write_json(msgspec.to_builtins(made))
        return
    said = " ".join(filter(None, ["" if made.value is None else f"{made.value:g}", made.label or ""]))
    click.echo(f"{made.target} {made.target_id[:SHORT]} has {made.name} {said}")


def _row(score: operations.Score) -> tuple[str, ...]:
    return (
        format_time(score.at),
        score.name,
        "" if score.value is None else f"{score.value:g}",
        score.label or "",
        f"{score.source} {score.scorer}".strip(),
        score.author,
        score.target_id[:SHORT],
        score.target,
        score.model or "",
    )
