"""`sizewise dataset export`: writes a data set in the format of another program; names the fields that it loses."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click
import msgspec

from sizewise.app.dataset_addition import read_lines
from sizewise.cli.dataset_files import complete_dataset, find_dataset
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import format_count, write_file, write_json
from sizewise.errors import BadRequest
from sizewise.evals.datasets.item_formats import ItemFormat, export_items, lost_fields
from sizewise.evals.runs.eval_items import read_items


@click.command()
@click.argument("name", shell_complete=complete_dataset)
@click.option("--as", "to", type=click.Choice(get_args(ItemFormat)), required=True, help="The program that reads it.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A new file.")
@local_options
def export(name: str, to: str, out: Path) -> None:
    """Write a data set for another program.

    JSON for langfuse and promptfoo (its `tests`, for the prompt `{{input}}`), JSON lines for openai-evals. Fields that
    the format has no place for are listed.

    \b
    Example: sizewise dataset export support --as langfuse --out items.json
    """
    if out.exists():
        raise BadRequest(f"there is already {str(out)!r}", "name another file")
    file, wanted = find_dataset(name), cast(ItemFormat, to)
    rows, lost = export_items(read_items(file).items, wanted), lost_fields(read_lines(file), wanted)
    if wanted == "openai-evals":
        text = b"".join(msgspec.json.encode(each) + b"\n" for each in rows)
    else:
        text = msgspec.json.format(msgspec.json.encode({"data": rows} if wanted == "langfuse" else rows)) + b"\n"
    write_file(out, text)
    if wants_json():
        write_json({"name": file.stem, "file": str(out), "items": len(rows), "lost": lost})
        return
    click.echo(f"{out}: {format_count(len(rows))} items")
    for field, count in lost.items():
        click.echo(f"not carried: `{field}` of {format_count(count)} items", err=True)
