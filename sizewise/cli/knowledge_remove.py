"""`sizewise knowledge release` and `remove`: releases held-back passages, removes documents or knowledge bases."""

from __future__ import annotations

import asyncio

import click

from sizewise.cli import operations
from sizewise.cli.knowledge_add import embed_with_progress
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.value_completion import complete_knowledge_base


@click.command()
@click.argument("base", shell_complete=complete_knowledge_base)
@click.argument("document")
@server_options
def release(base: str, document: str) -> None:
    """Release passages that were held back as suspect.

    Look at them first: sizewise knowledge show BASE DOCUMENT.

    \b
    Example: sizewise knowledge release handbook faq.md
    """
    count = asyncio.run(operations.approve_document(api_client(), base=base, id=document)).passages
    embed_with_progress(base)
    if wants_json():
        write_json({"released": count})
    else:
        click.echo(f"{count:,} released" if count else "no passage is held back")


@click.command()
@click.argument("base", shell_complete=complete_knowledge_base)
@click.argument("documents", nargs=-1, metavar="DOCUMENT...")
@click.option("--all", "whole", is_flag=True, help="The whole knowledge base, with all documents.")
@server_options
def remove(base: str, documents: tuple[str, ...], whole: bool) -> None:
    """Remove documents, or a whole knowledge base.

    DOCUMENT is its id or its source.

    \b
    Example: sizewise knowledge remove handbook old.pdf
    """
    if whole is bool(documents):
        raise click.UsageError("name the documents, or use --all")
    if whole:
        asyncio.run(operations.remove_knowledge(api_client(), base=base))
    else:
        for each in documents:
            asyncio.run(operations.remove_document(api_client(), base=base, id=each))
        embed_with_progress(base)  # also deletes them from the vector store
    if wants_json():
        write_json({"removed": base if whole else list(documents)})
    else:
        click.echo(f"removed {base}" if whole else f"removed {len(documents):,} from {base}")
