"""`sizewise knowledge add` and `sync`: uploads changed files and embeds them, with progress bars."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client, command_settings, server_options, wants_json
from sizewise.cli.output import dim, write_json
from sizewise.cli.progress import ProgressCallback, progress_bar
from sizewise.cli.value_completion import complete_knowledge_base
from sizewise.data_class import DATA_CLASSES, DataClass
from sizewise.errors import BadRequest, SizewiseError
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.knowledge.folder import SourceFile, list_files
from sizewise.knowledge.load import MAX_FILE_BYTES, DocumentProcesses

MAX_UPLOAD_BYTES = 4 << 20
"""Bytes of a file that is uploaded whole; of a larger one only its text, extracted here."""
PAGE = 1_000
CONCURRENCY = 4
"""Sources sent at once: the server reads as many as its `[jobs]` allow, and the others wait there."""

Sources = click.argument("sources", nargs=-1, required=True, metavar="FILE...")
EVERYONE = "everyone"
READERS = click.option(
    "--reader",
    "readers",
    multiple=True,
    metavar="WHO",
    help="user:ID, key:ID or everyone (in the project); repeatable. [as before; new ones: everyone]",
)
CLASS = click.option(
    "--data-class",
    type=click.Choice(DATA_CLASSES),
    metavar="CLASS",
    help="Data class of the documents. [as chosen before; else from the settings]",
)


class AddDocument(Protocol):
    """operations.add_document for one base. Pass one of `data`, `url` and `sha256`."""

    def __call__(
        self, *, source: str, data: str = ..., url: str = ..., sha256: str = ..., document: object = ...
    ) -> Awaitable[operations.IngestedDocument]: ...


@click.command()
@click.argument("base", shell_complete=complete_knowledge_base)
@Sources
@READERS
@CLASS
@server_options
@click.pass_context
def add(
    ctx: click.Context,
    /,
    base: str,
    sources: tuple[str, ...],
    readers: tuple[str, ...],
    data_class: DataClass | None,
) -> None:
    """Add files, folders and web pages to a knowledge base.

    FILE is a file, a folder or a URL. A knowledge base that does not exist is created. Unchanged documents cost
    nothing, and get other readers or another data class if you name them; run it again to continue after an
    interruption. Exits with 1 if a file could not be read.

    \b
    Example: sizewise knowledge add handbook docs/ policies.pdf
    """
    done = asyncio.run(_brought(api_client(), base, sources, _readers(readers), data_class, prune=False))
    embed_with_progress(base)
    ctx.exit(_tell(base, done))


@click.command()
@click.argument("base", shell_complete=complete_knowledge_base)
@click.argument("sources", nargs=-1, metavar="[FOLDER...]")
@READERS
@CLASS
@server_options
@click.pass_context
def sync(
    ctx: click.Context,
    /,
    base: str,
    sources: tuple[str, ...],
    readers: tuple[str, ...],
    data_class: DataClass | None,
) -> None:
    """Add changes, and remove documents whose files are gone.

    Without a FOLDER the server reads the `sources` of the knowledge base in its settings. Readers and data class are
    those of all documents read, unchanged ones included.

    \b
    Example: sizewise knowledge sync handbook docs/
    """
    asked, named = api_client(), _readers(readers)
    if sources:
        done = asyncio.run(_brought(asked, base, sources, named, data_class, prune=True))
    else:
        done = asyncio.run(operations.sync_knowledge(asked, base=base, readers=named, data_class=data_class))
    embed_with_progress(base)
    ctx.exit(_tell(base, done))


def _readers(named: tuple[str, ...]) -> list[str] | None:
    """As the API takes them: None keeps those of before, an empty list is everyone. Raises BadRequest."""
    wrong = next((each for each in named if each != EVERYONE and not each.startswith(("user:", "key:"))), None)
    if wrong is not None:
        raise BadRequest(f"{wrong[:100]!r} is not a valid reader", f"use user:ID, key:ID or {EVERYONE}")
    if EVERYONE in named and set(named) != {EVERYONE}:
        raise BadRequest("either everyone reads a document, or those who are named", f"drop --reader {EVERYONE}")
    return None if not named else [each for each in named if each != EVERYONE]


async def _brought(
    client: ApiClient,
    base: str,
    sources: Iterable[str],
    readers: list[str] | None,
    data_class: DataClass | None,
    prune: bool,
) -> operations.SyncedKnowledge:
    pages = [each for each in sources if each.startswith(("http://", "https://"))]
    paths = [Path(each) for each in sources if each not in pages]
    found = [file for path in paths for file in list_files(path)]
    if len({file.source for file in found}) < len(found):
        raise BadRequest("two of these folders have the same name", "use the folder above them")
    send = partial(operations.add_document, client, base=base, readers=readers, data_class=data_class)
    done = operations.SyncedKnowledge([], [], [])
    ingested, failed = await _sent(send, [*found, *pages])
    done.ingested.extend(ingested)
    done.failed.extend(failed)
    if prune:
        roots = tuple(f"{path.resolve().name}/" for path in paths if path.is_dir())
        done.removed.extend(await _pruned(client, base, roots, {file.source for file in found}))
    return done


async def _sent(
    send: AddDocument, sources: Sequence[SourceFile | str]
) -> tuple[list[operations.IngestedDocument], list[operations.FailedSource]]:
    """Files and URLs, some at once; both lists in their order."""
    ended: dict[int, operations.IngestedDocument | operations.FailedSource] = {}
    processes = DocumentProcesses(command_settings().jobs)

    async def batches() -> AsyncIterator[Batch[int]]:
        for number in range(len(sources)):
            yield Batch(str(number), number)

    async def one(number: int) -> None:
        source = sources[number]
        name = source if isinstance(source, str) else source.source
        try:
            if isinstance(source, str):
                ended[number] = await send(source=source, url=source)
            else:
                ended[number] = await _one(send, source, processes)
        except (SizewiseError, OSError) as error:
            ended[number] = operations.FailedSource(name, _why(error))

    try:
        with progress_bar("reading", "files") as told:
            told(0, len(sources))
            progress = partial(_report, told, len(sources))
            await map_batches(batches(), one, concurrency=CONCURRENCY, progress=progress)
    finally:
        await processes.close()
    results = [ended[number] for number in sorted(ended)]
    return (
        [each for each in results if isinstance(each, operations.IngestedDocument)],
        [each for each in results if isinstance(each, operations.FailedSource)],
    )


def _report(told: ProgressCallback, total: int, done: int) -> None:
    told(done, total)


async def _one(send: AddDocument, file: SourceFile, processes: DocumentProcesses) -> operations.IngestedDocument:
    """Uploads the file only if the server does not know its hash."""
    size = file.path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise BadRequest(f"it has more than {MAX_FILE_BYTES:,} bytes", "split it into several files")
    data = file.path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    known = await send(source=file.source, sha256=digest)
    if known.outcome != "wanted":
        return known
    if size <= MAX_UPLOAD_BYTES:
        return await send(source=file.source, data=b64encode(data).decode())
    read = msgspec.to_builtins(await processes.load(data, file.source))
    return await send(source=file.source, sha256=digest, document=read)


async def _pruned(client: ApiClient, base: str, roots: tuple[str, ...], there: set[str]) -> list[str]:
    """Documents from these folders whose files are gone."""
    gone, after = list[tuple[str, str]](), ""
    while True:
        page = await operations.list_documents(client, base=base, after=after, limit=PAGE)
        gone += [(its.id, its.source) for its in page if its.source.startswith(roots) and its.source not in there]
        if len(page) < PAGE:
            break
        after = page[-1].id
    for id, _ in gone:
        await operations.remove_document(client, base=base, id=id)
    return [source for _, source in gone]


def embed_with_progress(base: str, expected: int = 0) -> int:
    """Embeds all waiting passages, with a progress bar on a terminal. Returns how many. `expected`: shown as the number
    of waiting passages until the server has said it.
    """
    return asyncio.run(_embedded(api_client(), base, expected))


async def _embedded(client: ApiClient, base: str, expected: int) -> int:
    done = 0
    with progress_bar("embedding", "passages") as told:
        if expected:
            told(0, expected)
        while True:
            left = await operations.embed_documents(client, base=base)
            done += left.embedded
            told(done, done + left.waiting)
            if not left.waiting:
                return done


def _tell(base: str, done: operations.SyncedKnowledge) -> int:
    """The exit code: 1 if a file could not be read."""
    if wants_json():
        write_json(msgspec.to_builtins(done))
        return 1 if done.failed else 0
    counts = {name: sum(its.outcome == name for its in done.ingested) for name in ("added", "changed", "same")}
    said = [f"{count:,} {name}" for name, count in (*counts.items(), ("removed", len(done.removed))) if count]
    click.echo(f"{base}: {', '.join(said) or 'nothing to do'}")
    for its in done.ingested:
        for note in its.notes if its.outcome != "same" else ():
            click.echo(dim(f"{its.source}: {note}"), err=True)
        if its.quarantined and its.outcome != "same":
            held = "1 passage contains" if its.quarantined == 1 else f"{its.quarantined} passages contain"
            click.echo(f"{its.source}: {held} instructions to the model and is held back", err=True)
            click.echo(dim(f"hint: sizewise knowledge show {base} {its.id}"), err=True)
    for failed in done.failed:
        click.echo(f"{failed.source}: {failed.why}", err=True)
    return 1 if done.failed else 0


def _why(error: SizewiseError | OSError) -> str:
    if isinstance(error, SizewiseError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return error.strerror or "cannot be read"
