"""`sizewise eval compare`: compares two runs of an eval item by item; asks no model and needs no server."""

from __future__ import annotations

import click

from sizewise.app.eval_folder import find_run
from sizewise.cli.eval_files import complete_eval, load_eval
from sizewise.cli.eval_report import comparison_json, show_comparison
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.evals.runs.comparison import compare_runs


@click.command()
@click.argument("name", shell_complete=complete_eval)
@click.argument("base")
@click.argument("head")
@click.option(
    "--margin",
    default=0.03,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Scores are equal if they differ by less for certain. [0.03]",
)
@local_options
def compare(name: str, base: str, head: str, margin: float) -> None:
    """Compare two runs item by item, with intervals.

    BASE and HEAD are names of runs, beginnings of names, or files. Differences are paired; their intervals respect the
    clusters of the data. Each score is better, worse, equal within the margin, or it cannot be told: then it says how
    many items would.

    \b
    Example: sizewise eval compare support 20261128-0215 20261128-0231
    """
    found = load_eval(name)
    result = compare_runs(find_run(found, base), find_run(found, head))
    if wants_json():
        write_json(comparison_json(result, margin))
    else:
        show_comparison(result, margin)
