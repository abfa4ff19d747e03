"""`sizewise eval list`: the evals of the folder with their runs; needs no server."""

from __future__ import annotations

import click

from sizewise.app.eval_folder import run_files
from sizewise.cli.eval_files import complete_eval, eval_names, evals_folder, load_eval
from sizewise.cli.eval_report import measured, show_run
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.errors import BadRequest
from sizewise.evals.runs.run_file import read_run


@click.command("list")
@click.argument("name", required=False, shell_complete=complete_eval)
@local_options
def list_(name: str | None) -> None:
    """List the evals of the folder with their runs.

    \b
    Example: sizewise eval list support
    """
    if name is not None:
        _list_runs(name)
        return
    rows = [_row(each) for each in eval_names()]
    if wants_json():
        heads = ("name", "target", "items", "runs", "error")
        write_json({"evals": [dict(zip(heads, row, strict=True)) for row in rows]})
        return
    if not rows:
        click.echo(f"There is no eval in {evals_folder()}. Create one: sizewise eval new NAME")
        return
    shown = [(name, target, str(items), str(runs), error) for name, target, items, runs, error in rows]
    write_table(("EVAL", "TARGET", "ITEMS", "RUNS", ""), shown, right="ITEMS RUNS")


def _row(name: str) -> tuple[str, str, int, int, str]:
    try:
        found = load_eval(name)
        return name, found.spec.target.name, len(found.dataset().items), len(run_files(found)), ""
    except BadRequest as error:
        return name, "", 0, 0, error.message


def _list_runs(name: str) -> None:
    found = load_eval(name)
    runs = [read_run(file) for file in run_files(found)]
    if wants_json():
        write_json({"eval": found.name, "runs": [measured(each) for each in runs]})
        return
    if not runs:
        click.echo(f"{found.name} has no run. Start one: sizewise eval run {found.name}")
    for run in runs:
        show_run(run)
