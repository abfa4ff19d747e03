"""`sizewise eval label`: draws answers of runs at random for people to label, without what the judge said."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
import msgspec

from sizewise.app.eval_folder import find_run
from sizewise.cli.eval_files import complete_eval, load_eval
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import format_count, write_file, write_json
from sizewise.errors import BadRequest
from sizewise.evals.runs.answer_labels import draw_answers


@click.command()
@click.argument("name", shell_complete=complete_eval)
@click.argument("score")
@click.argument("runs", nargs=-1, required=True)
@click.option("-n", "--items", "count", default=200, type=click.IntRange(2, 100_000), help="Items to draw. [200]")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A new file of labels."
)
@click.option("--seed", type=int, help="Draw the same answers again.")
@local_options
def label(name: str, score: str, runs: tuple[str, ...], count: int, out: Path, seed: int | None) -> None:
    """Draw answers of runs for people to label.

    Of each drawn item, one answer of each run, in random order and without its run or the judge's verdict. Replace each
    `null` with a word of the judge's scale; then `eval gate --labels FILE` corrects the judge by them.

    \b
    Example: sizewise eval label support resolved 20261128-0215 20261128-0231 --out labels.jsonl
    """
    found = load_eval(name)
    spec = found.spec.scorers.get(score)
    if spec is None or spec.kind != "judge":
        judges = [each for each, its in found.spec.scorers.items() if its.kind == "judge"]
        raise BadRequest(f"{found.name!r} has no judge {score!r}", f"its judges: {', '.join(judges) or 'none'}")
    if out.exists():
        raise BadRequest(f"there is already {str(out)!r}", "name another file: it may hold labels")
    used = secrets.randbelow(2**31) if seed is None else seed
    rows = draw_answers([find_run(found, each) for each in runs], found.dataset().items, score, count, used)
    if not rows:
        raise BadRequest("the runs have no item of the data in common", "run the eval again")
    write_file(out, b"".join(msgspec.json.encode(each) + b"\n" for each in rows))
    items = len(rows) // len(runs)
    if wants_json():
        write_json({"file": str(out), "items": items, "answers": len(rows), "scale": list(spec.scale), "seed": used})
        return
    click.echo(
        f"{out}: {format_count(len(rows))} answers to {format_count(items)} items, to label {' or '.join(spec.scale)}"
    )
