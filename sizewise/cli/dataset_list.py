"""`sizewise dataset list`: the data sets of the folder, their size and hash, and the evals that use them."""

from __future__ import annotations

import click

from sizewise.cli.dataset_files import dataset_names, evals_of, find_dataset
from sizewise.cli.eval_files import evals_folder
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.errors import BadRequest
from sizewise.evals.runs.eval_items import read_items

SHORT = 12
"""Digits of a hash in the list; an eval's `data` can pin it by as few: `support.jsonl@5d0e12abf3c0`."""


@click.command("list")
@local_options
def list_() -> None:
    """List the data sets with their evals.

    \b
    Example: sizewise dataset list
    """
    used = evals_of()
    rows = [_row(each, used.get(find_dataset(each).resolve(), [])) for each in dataset_names()]
    if wants_json():
        heads = ("name", "items", "clusters", "sha256", "evals", "error")
        write_json({"datasets": [dict(zip(heads, row, strict=True)) for row in rows]})
        return
    if not rows:
        click.echo(f"There is no data set in {evals_folder()}. Create one: sizewise dataset add NAME FILE")
        return
    shown = [
        (name, str(items), str(clusters), sha[:SHORT], ", ".join(evals), error)
        for name, items, clusters, sha, evals, error in rows
    ]
    write_table(("DATA SET", "ITEMS", "CLUSTERS", "SHA-256", "EVALS", ""), shown, right="ITEMS CLUSTERS")


def _row(name: str, evals: list[str]) -> tuple[str, int, int, str, list[str], str]:
    try:
        found = read_items(find_dataset(name))
        return name, len(found.items), found.clusters, found.digest, evals, ""
    except BadRequest as error:
        return name, 0, 0, "", evals, error.message
