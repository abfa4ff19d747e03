"""`sizewise records export`: records as JSONL, Parquet, OTLP or Langfuse events, page by page; changes nothing."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from sizewise.atomic_file import open_file_atomically
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.progress import progress_bar
from sizewise.cli.record_filters import RecordCriteria, criteria, filter_options
from sizewise.cli.record_rows import record_rows, step_row
from sizewise.cli.records_parquet import ParquetRecords
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.telemetry.langfuse_encoding import record_to_langfuse
from sizewise.telemetry.otlp_encoding import encode_spans, record_to_otlp, step_to_otlp
from sizewise.telemetry.tables import RecordWithAttempts

PAGE = 500
"""Records of one query, and of one line of OTLP or Langfuse: well below their limits of some megabytes."""
KNOWN_TRACES = 10_000
"""Traces whose steps are not exported again."""
OWN_SPANS = ("request", "chat")
"""Spans of a trace that are records and attempts."""


@click.command()
@filter_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "parquet", "otlp", "langfuse"]),
    default="jsonl",
    help="otlp: lines for a collector's otlpjsonfile receiver. langfuse: bodies of its ingestion API. [jsonl]",
)
@click.option(
    "-o",
    "--output",
    "--out",
    "output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default=Path("-"),
    help="Output file, there when it is whole. [stdout]",
)
@server_options
def export(form: str, output: Path, **filters: object) -> None:
    """Export records as JSONL, Parquet, OTLP or Langfuse.

    Newest first, with their attempts; no prompts and no replies. Needs little memory, however many they are. A file is
    replaced once the export is complete.

    \b
    Example: sizewise records export --since 30d -o records.jsonl
             sizewise records export --format parquet --tag team=search -o records.parquet
    """
    if form == "parquet" and str(output) == "-":
        raise BadRequest("Parquet is not written to stdout", "give a file: -o records.parquet")
    wanted = criteria(**filters)
    with _opened(output) as file:
        count = asyncio.run(_export(file, form, wanted))
    if str(output) == "-":
        return
    if wants_json():
        write_json({"records": count, "file": str(output)})
    else:
        click.echo(f"{count:,} records are in {output}", err=True)


async def _export(file: BinaryIO, form: str, wanted: RecordCriteria) -> int:
    client, count = api_client(), 0
    writer = ParquetRecords(file) if form == "parquet" else None
    seen = OrderedDict[str, None]()
    with progress_bar("exporting", "records") as progress:
        async for page in _pages(client, wanted):
            if form == "jsonl":
                file.write(b"".join(msgspec.json.encode(each) + b"\n" for each in page))
            elif page:
                rows = [record_rows(each) for each in page]
                if writer is not None:
                    writer.write(rows)
                elif form == "langfuse":
                    events = [event for each in rows for event in record_to_langfuse(each)]
                    file.write(msgspec.json.encode({"batch": events}) + b"\n")
                else:
                    spans = [span for each in rows for span in record_to_otlp(each)]
                    spans += await _steps(client, rows, seen)
                    file.write(encode_spans(spans, "sizewise") + b"\n")
            count += len(page)
            progress(count, None)
    if writer is not None:
        writer.close()
    return count


async def _pages(client: ApiClient, wanted: RecordCriteria) -> AsyncIterator[list[operations.RecordDetails]]:
    before: str | None = None
    while True:
        page = await operations.export_records(client, last=PAGE, before=before, **wanted)
        yield page.rows
        before = page.before
        if before is None:
            return


async def _steps(
    client: ApiClient, rows: Sequence[RecordWithAttempts], seen: OrderedDict[str, None]
) -> list[dict[str, object]]:
    """Spans of flows and agents, and what is below them, of the traces of `rows` that were not seen yet."""
    found = []
    for each in rows:
        record = each.record
        if record.trace in seen or not (record.flow or record.agent):
            continue
        seen[record.trace] = None
        if len(seen) > KNOWN_TRACES:
            seen.popitem(last=False)
        whole = await operations.get_trace(client, id=record.trace)
        spans = whole.spans if whole is not None else []
        found += [step_to_otlp(step_row(span, record)) for span in spans if span.operation not in OWN_SPANS]
    return found


@contextmanager
def _opened(output: Path) -> Iterator[BinaryIO]:
    """Raises ExternalFailure if the file cannot be written: then it is as it was."""
    if str(output) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        if output.exists() and not output.is_file():  # such as a pipe
            with output.open("wb") as file:
                yield file
        else:
            with open_file_atomically(output.resolve(), 0o600, replace=True) as file:
                yield file
    except OSError as error:
        raise ExternalFailure(f"cannot write {str(output)!r}: {error.strerror}", "use another file") from error
