"""`sizewise dataset from-records`: samples stored requests of the server as items, each with its probability."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from sizewise.app.dataset_addition import Line
from sizewise.cli.dataset_files import new_dataset, write_lines
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_count, write_json, write_table
from sizewise.cli.record_frame import STRATA, RecordFrame, read_contents, read_frame, stratify
from sizewise.errors import BadRequest
from sizewise.evals.datasets.stratified_sample import SampledUnit, adjust_for_missing, allocate_sample, draw_sample

HINT = "contents are stored if [records] has `contents = true`, for `contents_retention_days`"


@click.command("from-records")
@click.argument("name")
@click.option("-n", "--items", "count", default=200, type=click.IntRange(2, 100_000), help="Items to draw. [200]")
@click.option("--days", default=7.0, type=click.FloatRange(0.0, 3_650, min_open=True), help="Days back. [7]")
@click.option("--by", default="result,cost", metavar="WHAT,...", help=f"Strata: {', '.join(STRATA)}. [result,cost]")
@click.option(
    "--oversample",
    "factors",
    multiple=True,
    metavar="WORD=FACTOR",
    help="Draw about that many times as much of strata with this word, such as failed=5; repeatable.",
)
@click.option("-m", "--model", help="Only requests answered by this model.")
@click.option("--tag", help="Only requests with this tag.")
@click.option("--limit", default=100_000, type=click.IntRange(1, 1_000_000), help="The newest requests alone. [100000]")
@click.option("--seed", type=int, help="Draw the same sample again.")
@click.option("--unmasked", is_flag=True, help="Keep personal data and secrets in the inputs.")
@click.option("--with-answers", is_flag=True, help="Take the recorded answer as what is expected.")
@click.option("--dry-run", is_flag=True, help="Show the strata and what would be drawn; read no contents.")
@server_options
def from_records(
    name: str,
    count: int,
    days: float,
    by: str,
    factors: tuple[str, ...],
    model: str | None,
    tag: str | None,
    limit: int,
    seed: int | None,
    unmasked: bool,
    with_answers: bool,
    dry_run: bool,
) -> None:
    """Sample items from stored requests, with their probabilities.

    Reads chat requests whose contents are kept; that needs read_contents, and each is in the audit log. Small strata
    are oversampled. Each item has the probability with which it was drawn, so that weighted means of a run are those of
    the whole traffic, within their intervals.

    \b
    Example: sizewise dataset from-records traffic --items 300 --oversample failed=3
    """
    file, client = new_dataset(name), api_client()
    parts = [each.strip() for each in by.split(",") if each.strip()]
    if not parts or not set(parts) <= set(STRATA):
        raise BadRequest(f"--by is {by!r}", f"use some of {', '.join(STRATA)}")
    since = int((time.time() - days * 86_400) * 1_000)
    frame = stratify(asyncio.run(read_frame(client, since=since, model=model, tag=tag, limit=limit)), parts)
    if not frame.records:
        raise BadRequest("there is no chat request to sample", "use more --days, or another filter: sizewise records")
    drawn = allocate_sample(frame.sizes, min(count, len(frame.records)), _factors(frame, factors))
    used = secrets.randbelow(2**31) if seed is None else seed
    sample = draw_sample(frame.strata, drawn, used)
    if dry_run:
        _show(name, None, frame, drawn, Counter(), used, is_masked=not unmasked, answers=with_answers)
        return
    found, problems = asyncio.run(read_contents(client, frame, sample, is_masked=not unmasked, answers=with_answers))
    if not found:
        raise BadRequest(f"none of {len(sample)} requests has contents that can be used: {_reasons(problems)}", HINT)
    read = adjust_for_missing([unit for unit, _ in found], frame.sizes)
    write_lines(file, [_line(unit, line) for unit, (_, line) in zip(read, found, strict=True)])
    counts = Counter(each.stratum for each in read)
    _show(name, file, frame, counts, problems, used, is_masked=not unmasked, answers=with_answers)


def _factors(frame: RecordFrame, given: Sequence[str]) -> dict[str, float]:
    """By stratum: the product of those of its words."""
    found = dict.fromkeys(frame.sizes, 1.0)
    for text in given:
        word, _, said = text.rpartition("=")
        try:
            factor = float(said)
        except ValueError:
            factor = 0.0
        if not word or not 0 < factor <= 1e6:
            raise BadRequest(f"--oversample is {text!r}", "use WORD=FACTOR, such as failed=5")
        its = [stratum for stratum in found if word in stratum.split(" ")]
        if not its:
            raise BadRequest(f"no stratum has the word {word!r}", f"there are: {', '.join(sorted(found))}")
        for stratum in its:
            found[stratum] *= factor
    return found


def _line(unit: SampledUnit, line: Line) -> Line:
    return {**line, "probability": unit.probability, "stratum": unit.stratum}


def _reasons(problems: Counter[str]) -> str:
    return ", ".join(f"{why} ({number})" for why, number in problems.most_common())


def _show(
    name: str,
    file: Path | None,
    frame: RecordFrame,
    drawn: Counter[str] | dict[str, int],
    problems: Counter[str],
    seed: int,
    *,
    is_masked: bool,
    answers: bool,
) -> None:
    lacking = [stratum for stratum in frame.sizes if not drawn.get(stratum)]
    if wants_json():
        strata = [
            {"stratum": each, "requests": size, "items": drawn.get(each, 0)} for each, size in frame.sizes.items()
        ]
        told = {"requests": len(frame.records), "items": sum(drawn.values()), "strata": strata}
        more = {"unusable": dict(problems), "not_covered": lacking, "seed": seed, "is_cut": frame.is_cut}
        more |= {"masked": is_masked, "with_answers": answers}
        write_json({"name": name, "file": None if file is None else str(file), **told, **more})
        return
    rows = [
        (each, f"{size:,}", str(drawn.get(each, 0)), f"{drawn.get(each, 0) / size:.4f}")
        for each, size in sorted(frame.sizes.items())
    ]
    write_table(("STRATUM", "REQUESTS", "ITEMS", "PROBABILITY"), rows, right="REQUESTS ITEMS PROBABILITY")
    click.echo(
        f"{format_count(sum(drawn.values()))} items of {format_count(len(frame.records))} requests, --seed {seed}"
    )
    if frame.is_cut:
        click.echo("there are more requests: the newest were sampled (--limit)", err=True)
    if problems:
        click.echo(f"not used, the rest of their strata stands for them: {_reasons(problems)}", err=True)
    if lacking:
        click.echo(f"nothing stands for these strata, which means leave out: {', '.join(lacking)}", err=True)
    inputs = "masked inputs" if is_masked else "inputs as they were sent"
    click.echo(f"with {inputs}, {'and the recorded answers as what is expected' if answers else 'without answers'}")
    if file is None:
        click.echo("Nothing was read or written (--dry-run).")
    else:
        click.echo(f"{file}: it holds prompts of your users, readable by you alone; decide before you commit it")
        click.echo(f"Next: an eval with `data: {file.name}`: sizewise eval new NAME")
