"""`sizewise dataset show`: what a data set holds: clusters, tags, strata with their weights, and its first items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from sizewise.app.dataset_addition import Line, read_lines
from sizewise.cli.dataset_files import complete_dataset, find_dataset
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import format_count, write_json, write_pairs, write_table
from sizewise.evals.runs.eval_items import EvalDataset, EvalItem, read_items

SHOWN_CHARS = 70


@click.command()
@click.argument("name", shell_complete=complete_dataset)
@click.option("-n", "--items", "count", default=5, type=click.IntRange(0, 10_000), help="Items to show. [5]")
@local_options
def show(name: str, count: int) -> None:
    """Show clusters, tags, weights and the first items.

    \b
    Example: sizewise dataset show support --items 10
    """
    file = find_dataset(name)
    data, lines = read_items(file), read_lines(file)
    tags = Counter(tag for each in data.items for tag in each.tags)
    strata = _strata(data.items, lines)
    if wants_json():
        write_json(
            {
                "name": file.stem,
                "file": str(file),
                "sha256": data.digest,
                "items": len(data.items),
                "clusters": data.clusters,
                "effective_items": round(data.effective_items, 3),
                "tags": dict(tags),
                "strata": [dict(zip(("stratum", "items", "stands_for"), each, strict=True)) for each in strata],
                "first": lines[:count],
            }
        )
        return
    write_pairs(
        [
            ("file", str(file)),
            ("sha-256", data.digest),
            ("items", f"{format_count(len(data.items))} in {format_count(data.clusters)} clusters"),
            *_weights(data),
            *([("tags", ", ".join(f"{name} ({number})" for name, number in tags.most_common(20)))] if tags else []),
        ]
    )
    if strata:
        rows = [(stratum, str(items), f"{whole:,.0f}") for stratum, items, whole in strata]
        write_table(("STRATUM", "ITEMS", "STANDS FOR"), rows, right="ITEMS STANDS FOR")
    rows = [
        (each.id, _short(each.question()), _short("" if each.expected is None else str(each.expected)))
        for each in data.items[:count]
    ]
    if rows:
        click.echo()
        write_table(("ITEM", "INPUT", "EXPECTED"), rows)


def _weights(data: EvalDataset) -> list[tuple[str, str]]:
    whole = sum(each.weight for each in data.items)
    if {each.weight for each in data.items} == {1.0}:
        return []
    return [("weights", f"stand for {whole:,.0f}; as precise as {data.effective_items:,.0f} items of one weight")]


def _strata(items: Sequence[EvalItem], lines: Sequence[Line]) -> list[tuple[str, int, float]]:
    """Each with its items, and how many of the traffic they stand for."""
    found = dict[str, list[float]]()
    for item, line in zip(items, lines, strict=True):
        if line.get("stratum"):
            found.setdefault(line["stratum"], []).append(item.weight)
    return [(name, len(its), round(sum(its), 6)) for name, its in sorted(found.items())]


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= SHOWN_CHARS else plain[: SHOWN_CHARS - 1] + "…"
