"""`sizewise dataset add`: adds the items of a file to a data set, each once; overwrites none."""

from __future__ import annotations

from pathlib import Path

import click

from sizewise.app.dataset_addition import add_items
from sizewise.cli.dataset_files import complete_dataset
from sizewise.cli.eval_files import evals_folder
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import format_count, write_json


@click.command()
@click.argument("name", shell_complete=complete_dataset)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file, and show what would be added.")
@local_options
def add(name: str, file: Path, dry_run: bool) -> None:
    """Add items of a file to a data set.

    FILE is .jsonl, .csv, or .parquet with the extra `parquet`. Items that the data set has already are left out; one
    with the same id and other content is an error. A data set that does not exist is created.

    \b
    Example: sizewise dataset add support new-cases.jsonl
    """
    found = add_items(evals_folder(), name, file, dry_run=dry_run)
    added, known = found.added, found.known
    if wants_json():
        told = {"added": added, "known": known, "items": found.items, "dry_run": dry_run}
        write_json({"name": name, "file": str(found.file), **told})
        return
    said = "would be added" if dry_run else "added"
    click.echo(
        f"{format_count(added)} items {said} to {name}, {format_count(known)} are known; "
        f"{format_count(found.items)} in all"
    )
