"""`sizewise knowledge`: lists, shows and searches knowledge bases and documents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import get_args

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_date, write_json, write_pairs, write_table
from sizewise.cli.printable import printable
from sizewise.cli.value_completion import complete_knowledge_base
from sizewise.data_class import DATA_CLASSES, DataClass

COMMANDS: Mapping[str, LazyCommand] = {
    "add": LazyCommand("sizewise.cli.knowledge_add:add", "Add files, folders and web pages to a knowledge base."),
    "sync": LazyCommand("sizewise.cli.knowledge_add:sync", "Add changes, and remove documents whose files are gone."),
    "list": LazyCommand("sizewise.cli.knowledge:list_", "List the knowledge bases, or the documents of one."),
    "search": LazyCommand("sizewise.cli.knowledge:search", "Search for passages, with their sources."),
    "show": LazyCommand("sizewise.cli.knowledge:show", "Show one document and its passages."),
    "rebuild": LazyCommand("sizewise.cli.knowledge_rebuild:rebuild", "Embed again what the vector store lacks."),
    "release": LazyCommand(
        "sizewise.cli.knowledge_remove:release",
        "Release passages that were held back as suspect.",
    ),
    "remove": LazyCommand("sizewise.cli.knowledge_remove:remove", "Remove documents, or a whole knowledge base."),
}
PAGE = 1_000


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def knowledge(ctx: click.Context) -> None:
    """Manage knowledge bases: add, sync, search.

    Without a command it lists the knowledge bases.

    \b
    Example: sizewise knowledge add handbook docs/ policies.pdf
    """
    if ctx.invoked_subcommand is None:
        _bases()


@click.command("list")
@click.argument("base", required=False, shell_complete=complete_knowledge_base)
@server_options
def list_(base: str | None) -> None:
    """List the knowledge bases, or the documents of one.

    \b
    Example: sizewise knowledge list handbook
    """
    if base is None:
        _bases()
        return
    found = fetch_documents(base)
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    rows = [(its.id, its.source, its.kind, str(its.pages or "-"), its.data_class, its.state) for its in found]
    write_table(("ID", "SOURCE", "KIND", "PAGES", "CLASS", "STATE"), rows, right="PAGES")


def _bases() -> None:
    found = asyncio.run(operations.list_knowledge_bases(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    rows = [
        (
            its.name,
            its.project,
            f"{its.documents:,}",
            f"{its.passages:,}",
            f"{its.waiting:,}",
            f"{its.quarantined:,}",
            "?" if its.missing is None else f"{its.missing:,}",
            ", ".join((its.model, *(_other(each) for each in its.generations if not each.current))),
        )
        for its in found
    ]
    write_table(
        ("BASE", "PROJECT", "DOCUMENTS", "PASSAGES", "WAITING", "HELD", "MISSING", "VECTORS BY"),
        rows,
        right="DOCUMENTS PASSAGES WAITING HELD MISSING",
    )
    for its in found:
        if its.missing:
            told = f"the vector store of {its.name!r} lacks passages; run: sizewise knowledge rebuild {its.name}"
            click.echo(told, err=True)
    if not found:
        click.echo(dim("there is no knowledge base; create one: sizewise knowledge add NAME FILE..."), err=True)


def _other(generation: operations.KnowledgeBaseGenerations) -> str:
    return f"{generation.model} (kept)" if generation.ready else f"{generation.model} (being built)"


def fetch_documents(base: str) -> list[operations.Document]:
    """All documents, page by page."""
    return asyncio.run(_documents(base))


async def _documents(base: str) -> list[operations.Document]:
    asked, found, after = api_client(), list[operations.Document](), ""
    while True:
        page = await operations.list_documents(asked, base=base, after=after, limit=PAGE)
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1].id


@click.command()
@click.argument("base", shell_complete=complete_knowledge_base)
@click.argument("question")
@click.option("--limit", type=click.IntRange(1, 200), default=5, metavar="N", help="Maximum number of passages. [5]")
@click.option("--mode", type=click.Choice(get_args(operations.SearchMode)), default="hybrid", help="[hybrid]")
@click.option("--most", type=click.Choice(DATA_CLASSES), metavar="CLASS", help="Strictest data class to include.")
@server_options
@click.pass_context
def search(
    ctx: click.Context, /, base: str, question: str, limit: int, mode: operations.SearchMode, most: DataClass | None
) -> None:
    """Search for passages, with their sources.

    Only in documents that the key may read. Exits with 1 if nothing is found.

    \b
    Example: sizewise knowledge search handbook "How many days of leave?"
    """
    asked = operations.search_passages(
        api_client(),
        base=base,
        query=question,
        limit=limit,
        mode=mode,
        max_data_class=most,
    )
    found = asyncio.run(asked)
    if wants_json():
        write_json(msgspec.to_builtins(found))
    else:
        for number, its in enumerate(found.results, 1):
            _tell(number, its)
        if not found.results:
            click.echo("nothing was found", err=True)
        for warning in found.warnings:
            click.echo(f"warning: {warning}", err=True)
    ctx.exit(0 if found.results else 1)


def _tell(number: int, its: operations.SearchResult) -> None:
    marks = f"  suspect: {'; '.join(its.suspect)}" if its.suspect else ""
    click.echo(f"{number}. {printable(its.citation)}  {dim(f'{its.score:.2f}{marks}')}")
    click.echo(f"   {printable(' '.join(its.text.split()))}\n")


@click.command()
@click.argument("base", shell_complete=complete_knowledge_base)
@click.argument("document")
@server_options
def show(base: str, document: str) -> None:
    """Show one document and its passages.

    DOCUMENT is its id or its source.

    \b
    Example: sizewise knowledge show handbook policies.pdf
    """
    found = asyncio.run(operations.get_document(api_client(), base=base, id=document))
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    write_pairs(
        [
            ("source", found.source),
            ("id", found.id),
            ("title", found.title or "-"),
            ("kind", found.kind + (f", {found.pages} pages" if found.pages else "")),
            ("class", found.data_class),
            ("readers", ", ".join(found.readers) or "everyone in the project"),
            ("changed", f"{format_date(found.changed)} by {found.added_by or '-'}"),
            ("state", found.state),
            *(("note", note) for note in found.notes),
        ],
    )
    for its in found.passages or ():
        place = " > ".join([*([f"page {its.page}"] if its.page else []), *its.headings])
        told = f" {its.state}" if its.state != "ready" else ""
        why = f": {'; '.join(its.suspect)}" if its.suspect else ""
        click.echo(f"\n{dim(f'{printable(place)}{told}{why}')}\n{printable(its.text, lines=True)}")
