"""`sizewise eval gate`: checks a run against the rules of its eval; asks no model and needs no server."""

from __future__ import annotations

from pathlib import Path

import click

from sizewise.app.eval_folder import find_run, load_calibrations, run_files
from sizewise.cli.eval_files import complete_eval, load_eval
from sizewise.cli.eval_report import gate_json, gate_junit, gate_markdown, show_gate
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_file, write_json
from sizewise.errors import BadRequest
from sizewise.evals.runs.answer_labels import read_labels
from sizewise.evals.runs.comparison import compare_runs
from sizewise.evals.runs.gate import check_gate
from sizewise.evals.runs.run_file import read_run


@click.command()
@click.argument("name", shell_complete=complete_eval)
@click.option("--head", metavar="RUN", help="The run to check. [the newest]")
@click.option("--base", metavar="RUN", help="The run that it is compared with.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a pull-request comment.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="People's labels: `eval label`.")
@local_options
def gate(
    name: str,
    head: str | None,
    base: str | None,
    markdown: Path | None,
    junit: Path | None,
    labels: Path | None,
) -> int:
    """Check a run against the eval's rules.

    The verdict is pass, fail, or unclear: then too few items were answered to tell, or some are missing. Exits with 1
    unless it is pass.

    \b
    Example: sizewise eval gate support --base 20261128-0215 --markdown comment.md
    """
    found = load_eval(name)
    if head is None:
        files = run_files(found)
        if not files:
            raise BadRequest(f"{found.name!r} has no run", f"sizewise eval run {found.name}")
        run = read_run(files[0])
    else:
        run = find_run(found, head)
    before = None if base is None else find_run(found, base)
    told = {} if labels is None else read_labels(labels, found.spec)
    judges = load_calibrations(found, told)
    result = check_gate(found.spec, run, before, judges, data=found.dataset().digest, labels=told)
    compared = None if before is None else compare_runs(before, run)
    if markdown is not None:
        write_file(markdown, gate_markdown(found.name, result, compared))
    if junit is not None:
        write_file(junit, gate_junit(found.name, result, run))
    if wants_json():
        write_json({"eval": found.name, "head": run.name, "base": base, **gate_json(result)})
    else:
        show_gate(result)
    return 0 if result.verdict == "pass" else 1
