"""`sizewise dataset add`: adds the items of a file to a data set, each once; overwrites none."""

from __future__ import annotations

from pathlib import Path

import click

from sizewise.cli.dataset_files import complete_dataset, named_dataset, read_lines, write_lines
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import format_count, write_json
from sizewise.errors import BadRequest
from sizewise.evals.runs.eval_items import read_items


@click.command()
@click.argument("name", shell_complete=complete_dataset)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file, and show what would be added.")
@local_options
def add(name: str, file: Path, dry_run: bool) -> None:
    """Add items of a file to a data set.

    FILE is .jsonl, or .parquet with the extra `parquet`. Items that the data set has already are left out; one with the
    same id and other content is an error. A data set that does not exist is created.

    \b
    Example: sizewise dataset add support new-cases.jsonl
    """
    into, new = named_dataset(name), read_items(file)
    known = read_items(into).items if into.exists() else ()
    lines = read_lines(into) if into.exists() else []
    have = {each.id: each.digest for each in known}
    added = list[int]()
    for place, item in enumerate(new.items):
        if item.id not in have:
            added.append(place)
        elif have[item.id] != item.digest:
            raise BadRequest(f"{into.stem!r} has another item {item.id!r}", "give the new one another id")
    if added and not dry_run:
        rows = read_lines(file)
        write_lines(into, [*lines, *(rows[place] for place in added)])
    whole = len(known) + len(added)
    if wants_json():
        told = {"added": len(added), "known": len(new.items) - len(added), "items": whole, "dry_run": dry_run}
        write_json({"name": into.stem, "file": str(into), **told})
        return
    said = "would be added" if dry_run else "added"
    click.echo(
        f"{format_count(len(added))} items {said} to {into.stem}, "
        f"{format_count(len(new.items) - len(added))} are known; {format_count(whole)} in all"
    )
