"""`sizewise dataset split`: splits a data set into parts that share no cluster; changes no item."""

from __future__ import annotations

import click

from sizewise.app.dataset_addition import read_lines
from sizewise.cli.dataset_files import complete_dataset, find_dataset, new_dataset, write_lines
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.errors import BadRequest
from sizewise.evals.datasets.cluster_split import split_by_cluster
from sizewise.evals.runs.eval_items import read_items


@click.command()
@click.argument("name", shell_complete=complete_dataset)
@click.option(
    "--part",
    "parts",
    multiple=True,
    metavar="PART=SHARE",
    help="A part and its share, such as test=0.8; repeatable. [dev=0.2 test=0.8]",
)
@click.option("--seed", default="", help="Another word splits otherwise.")
@click.option("--dry-run", is_flag=True, help="Show the parts, and write nothing.")
@local_options
def split(name: str, parts: tuple[str, ...], seed: str, dry_run: bool) -> None:
    """Split a data set by cluster, such as dev and test.

    Writes NAME.PART.jsonl for each part. Items of a cluster stay together. A hash of the cluster decides, so an item
    that is added later moves no other one.

    \b
    Example: sizewise dataset split support --part dev=0.2 --part test=0.8
    """
    file = find_dataset(name)
    shares = dict(map(_share, parts or ("dev=0.2", "test=0.8")))
    if len(shares) < max(2, len(parts)):
        raise BadRequest("a split has two or more different parts", "such as --part dev=0.2 --part test=0.8")
    items, lines = read_items(file).items, read_lines(file)
    places = split_by_cluster(items, shares, seed)
    files = {part: new_dataset(f"{file.stem}.{part}") for part in shares}
    found = {part: [line for line, place in zip(lines, places, strict=True) if place == part] for part in shares}
    empty = [part for part, its in found.items() if not its]
    if empty:
        raise BadRequest(f"the part {empty[0]!r} would be empty", "use more items, larger shares, or another --seed")
    if not dry_run:
        for part, its in found.items():
            write_lines(files[part], its)
    clusters = {
        part: len({item.cluster for item, at in zip(items, places, strict=True) if at == part}) for part in shares
    }
    if wants_json():
        shown = [
            {"part": part, "file": str(files[part]), "items": len(its), "clusters": clusters[part]}
            for part, its in found.items()
        ]
        write_json({"name": file.stem, "dry_run": dry_run, "parts": shown})
        return
    rows = [(part, str(len(its)), str(clusters[part]), str(files[part])) for part, its in found.items()]
    write_table(("PART", "ITEMS", "CLUSTERS", "FILE"), rows, right="ITEMS CLUSTERS")
    if dry_run:
        click.echo("Nothing was written (--dry-run).")


def _share(text: str) -> tuple[str, float]:
    name, _, said = text.partition("=")
    try:
        share = float(said)
    except ValueError:
        share = 0.0
    if not name or not 0 < share < float("inf"):
        raise BadRequest(f"--part is {text!r}", "use PART=SHARE, such as dev=0.2")
    return name, share
