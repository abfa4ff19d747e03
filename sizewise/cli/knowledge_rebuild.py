"""`sizewise knowledge rebuild`: embeds again what the vector store lacks, or everything, with progress bars."""

from __future__ import annotations

import asyncio

import click

from sizewise.cli import operations
from sizewise.cli.knowledge_add import embed_with_progress
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.progress import progress_bar
from sizewise.cli.value_completion import complete_knowledge_base


@click.command()
@click.argument("base", required=False, shell_complete=complete_knowledge_base)
@click.option("--all", "every", is_flag=True, help="All passages, not only those that are missing.")
@click.option("--dry-run", is_flag=True, help="Only show what would be embedded.")
@server_options
def rebuild(base: str | None, every: bool, dry_run: bool) -> None:
    """Embed again what the vector store lacks.

    For when its files were lost, or a backup restored without them. Without a BASE: every knowledge base of the project
    that lacks passages. Run it again, without --all, to continue after an interruption.

    If the settings name another vector store or embedding model, the knowledge base moves there.

    \b
    Example: sizewise knowledge rebuild handbook
    """
    if base is None and every:
        raise click.UsageError("name the knowledge base for --all")
    names = [base] if base is not None else asyncio.run(_lacking())
    done = [_rebuilt(name, every, dry_run) for name in names]
    if wants_json():
        write_json(done)
    elif not names:
        click.echo("no knowledge base lacks passages")


async def _lacking() -> list[str]:
    """Bases of the key's own project that lack passages, or whose passages wait."""
    found = await operations.list_missing_passages(api_client())
    mine = found.me.project
    return [its.name for its in found.knowledge if its.project == mine and (its.missing or its.waiting)]


def _rebuilt(base: str, every: bool, dry_run: bool) -> dict[str, object]:
    step = asyncio.run(_checked(base, every, dry_run))
    embedded = 0 if dry_run else embed_with_progress(base, step.missing)
    if not wants_json():
        many = f"{embedded:,} passage{'' if embedded == 1 else 's'}"
        moved = f" by {step.model} instead of {step.previous_model}" if step.model != step.previous_model else ""
        if dry_run:
            click.echo(f"{base}: {step.missing:,} of {step.total:,} passages would be embedded again{moved}")
        else:
            click.echo(f"{base}: {many} embedded{moved}" if embedded else f"{base}: nothing is missing")
    return {
        "base": base,
        "passages": step.total,
        "missing": step.missing,
        "embedded": embedded,
        "model": step.model,
        "previousModel": step.previous_model,
    }


async def _checked(base: str, every: bool, dry_run: bool) -> operations.RebuildKnowledgeResult:
    """The sum of all steps, each of which takes a few seconds."""
    client = api_client()
    with progress_bar("checking", "passages") as told:
        step = await operations.rebuild_knowledge(client, base=base, all=every, dry_run=dry_run, after="")
        first, checked, missing = step, step.checked, step.missing
        while step.next:
            told(checked, first.total)
            step = await operations.rebuild_knowledge(client, base=base, all=every, dry_run=dry_run, after=step.next)
            checked, missing = checked + step.checked, missing + step.missing
    return operations.RebuildKnowledgeResult(
        checked=checked,
        missing=missing,
        total=first.total,
        model=step.model,
        previous_model=first.previous_model,
        next="",
    )
