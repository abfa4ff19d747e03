"""`sizewise knowledge`: bases and documents listed, shown and searched; what changes them has files of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli.knowledge_queries import (
    BASES,
    DOCUMENT,
    DOCUMENTS,
    SEARCH,
    Bases,
    Document,
    Documents,
    Found,
    One,
    Searched,
)
from sizewise.cli.lazy_group import Verb, Verbs
from sizewise.cli.options import served, server, wants_json
from sizewise.cli.output import day, dim, write_json, write_pairs, write_table
from sizewise.errors import UnknownPath

VERBS: Mapping[str, Verb] = {
    "add": Verb("sizewise.cli.knowledge_add:add", "Add files, folders and pages of the web to a base."),
    "sync": Verb("sizewise.cli.knowledge_add:sync", "The same, and take out what is there no more."),
    "list": Verb("sizewise.cli.knowledge:list_", "The bases; or the documents of one."),
    "search": Verb("sizewise.cli.knowledge:search", "Passages that answer a question, with their place."),
    "show": Verb("sizewise.cli.knowledge:show", "One document: what it is, and its passages."),
    "release": Verb("sizewise.cli.knowledge_remove:release", "Let passages be found that were held back as suspect."),
    "remove": Verb("sizewise.cli.knowledge_remove:remove", "Take documents out, or a whole base."),
}
PAGE = 1_000


@click.group(cls=Verbs, verbs=VERBS, invoke_without_command=True)
@served
@click.pass_context
def knowledge(ctx: click.Context) -> None:
    """Documents that answers are found in: add, sync, search.

    Alone it lists the bases.

    \b
    Example: sizewise knowledge add handbook docs/ policies.pdf
    """
    if ctx.invoked_subcommand is None:
        _bases()


@click.command("list")
@click.argument("base", required=False)
@served
def list_(base: str | None) -> None:
    """The bases; or the documents of one.

    \b
    Example: sizewise knowledge list handbook
    """
    if base is None:
        _bases()
        return
    found = documents(base)
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    rows = [(its.id, _plain(its.source), its.kind, str(its.pages or "-"), its.data_class, its.state) for its in found]
    write_table(("ID", "SOURCE", "KIND", "PAGES", "CLASS", "STATE"), rows, right="PAGES")


def _bases() -> None:
    found = asyncio.run(server().graphql(BASES, Bases)).knowledge
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
            its.model,
        )
        for its in found
    ]
    write_table(
        ("BASE", "PROJECT", "DOCUMENTS", "PASSAGES", "WAITING", "HELD", "VECTORS BY"),
        rows,
        right="DOCUMENTS PASSAGES WAITING HELD",
    )
    if not found:
        click.echo(dim("none yet: sizewise knowledge add NAME FILE..."), err=True)


def documents(base: str) -> list[Document]:
    """All of them."""
    return asyncio.run(_documents(base))


async def _documents(base: str) -> list[Document]:
    asked, found, after = server(), list[Document](), ""
    while True:
        page = (await asked.graphql(DOCUMENTS, Documents, base=base, after=after, limit=PAGE)).documents
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1].id


@click.command()
@click.argument("base")
@click.argument("question")
@click.option("--limit", type=click.IntRange(1, 200), default=5, metavar="N", help="The most passages. [5]")
@click.option("--mode", type=click.Choice(["hybrid", "vector", "words"]), default="hybrid", help="[hybrid]")
@click.option("--most", metavar="CLASS", help="Of no stricter data class than this.")
@served
@click.pass_context
def search(ctx: click.Context, /, base: str, question: str, limit: int, mode: str, most: str | None) -> None:
    """Passages that answer a question, with their place.

    Of documents that the key may read. Ends with 1 where there are none.

    \b
    Example: sizewise knowledge search handbook "How many days of leave?"
    """
    asked = server().graphql(SEARCH, Searched, base=base, question=question, limit=limit, mode=mode, most=most)
    found = asyncio.run(asked).passages
    if wants_json():
        write_json(msgspec.to_builtins(found))
    else:
        for number, its in enumerate(found, 1):
            _tell(number, its)
        if not found:
            click.echo("nothing was found", err=True)
    ctx.exit(0 if found else 1)


def _tell(number: int, its: Found) -> None:
    marks = f"  suspect: {'; '.join(its.suspect)}" if its.suspect else ""
    click.echo(f"{number}. {_plain(its.citation)}  {dim(f'{its.score:.2f}{marks}')}")
    click.echo(f"   {_plain(' '.join(its.text.split()))}\n")


@click.command()
@click.argument("base")
@click.argument("document")
@served
def show(base: str, document: str) -> None:
    """One document: what it is, and its passages.

    DOCUMENT is its id or its source.

    \b
    Example: sizewise knowledge show handbook policies.pdf
    """
    id = document_id(base, document)
    found = asyncio.run(server().graphql(DOCUMENT, One, base=base, id=id)).document
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    write_pairs(
        [
            ("source", _plain(found.source)),
            ("id", found.id),
            ("title", _plain(found.title) or "-"),
            ("kind", found.kind + (f", {found.pages} pages" if found.pages else "")),
            ("class", found.data_class),
            ("readers", ", ".join(found.readers) or "all of the project"),
            ("changed", f"{day(found.changed)} by {found.added_by or '-'}"),
            ("state", found.state),
            *(("note", _plain(note)) for note in found.notes),
        ]
    )
    for its in found.passages or ():
        place = " > ".join([*([f"page {its.page}"] if its.page else []), *its.headings])
        told = f" {its.state}" if its.state != "ready" else ""
        why = f": {'; '.join(its.suspect)}" if its.suspect else ""
        click.echo(f"\n{dim(f'{_plain(place)}{told}{why}')}\n{_plain(its.text, lines=True)}")


def document_id(base: str, named: str) -> str:
    """Of the document of this id or source. Raises UnknownPath."""
    found = next((its.id for its in documents(base) if named in (its.id, its.source)), None)
    if found is None:
        raise UnknownPath(f"there is no document {named[:100]!r} in {base!r}", f"sizewise knowledge list {base}")
    return found


def _plain(text: str, lines: bool = False) -> str:
    """Without what would move the cursor of whoever reads it."""
    return "".join(each if each.isprintable() or (lines and each == "\n") else "?" for each in text)
