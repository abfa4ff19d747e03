"""`sizewise eval calibrate-judge`: has a judge score answers that people labeled, and keeps how often it erred."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from sizewise.app.eval_folder import EvalFile, calibration_file
from sizewise.cli.eval_files import complete_eval, load_eval
from sizewise.cli.eval_target import EvalTargets
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import write_file, write_json
from sizewise.cli.progress import progress_bar
from sizewise.errors import BadRequest, did_you_mean
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.llm_judge import Proportion
from sizewise.evals.runs.eval_items import HINT, EvalItem
from sizewise.evals.runs.eval_spec import ScorerSpec
from sizewise.evals.runs.item_scorers import TargetAnswer, judge_prompt, parse_judgement
from sizewise.evals.runs.judge_calibration import (
    JudgeCalibration,
    JudgedLabel,
    calibrate_judge,
    notable_correlation,
)


class _Row(Struct, forbid_unknown_fields=True):
    """`label`: a word of the judge's scale, by a person who did not see its verdict."""

    input: str | list[dict[str, Any]]
    answer: str
    label: str
    expected: Any = None
    criteria: str = ""
    ref: str = ""
    score: str = ""


@click.command("calibrate-judge")
@click.argument("name", shell_complete=complete_eval)
@click.argument("score")
@click.argument("labels", type=click.Path(path_type=Path))
@server_options
def calibrate_judge_(name: str, score: str, labels: Path) -> int:
    """Measure how often a judge errs, on answers that people labeled.

    LABELS is a .jsonl file: {"input": ..., "answer": ..., "label": "yes"} a line. The result is kept beside the eval;
    with `calibrated: true` in the judge's scorer its score may gate, corrected for its errors. Exits with 1 if it may
    not.

    \b
    Example: sizewise eval calibrate-judge support resolved labels.jsonl
    """
    found = load_eval(name)
    spec = _judge(found, score)
    rows = _read(labels, spec)
    judged = asyncio.run(_verdicts(found, spec, rows))
    calibration = calibrate_judge(spec, judged)
    file = calibration_file(found, score)
    write_file(file, msgspec.json.format(msgspec.json.encode(calibration)) + b"\n")
    objection = calibration.objection(spec)
    if wants_json():
        write_json(_shown(calibration, objection, file))
    else:
        _show(calibration, objection, file, score)
    return 1 if objection else 0


def _judge(found: EvalFile, score: str) -> ScorerSpec:
    spec = found.spec.scorers.get(score)
    judges = [name for name, each in found.spec.scorers.items() if each.kind == "judge"]
    if spec is None or spec.kind != "judge":
        hint = did_you_mean(score, judges) or f"its judges: {', '.join(judges) or 'none'}"
        raise BadRequest(f"{found.name!r} has no judge {score!r}", hint)
    return spec


def _read(file: Path, spec: ScorerSpec) -> list[_Row]:
    if not file.is_file():
        raise BadRequest(f"there is no file {str(file)!r}", f"write a labeled answer a line: {HINT}")
    found, words = list[_Row](), [each.casefold() for each in spec.scale]
    for number, row in read_rows(file, _Row, HINT):
        if row.label.casefold() not in words:
            raise BadRequest(f"{str(file)!r}, line {number}: the label is {row.label!r}", f"use {', '.join(words)}")
        found.append(row)
    if not found:
        raise BadRequest(f"{str(file)!r} has no labels", f"write a labeled answer a line: {HINT}")
    return found


async def _verdicts(found: EvalFile, spec: ScorerSpec, rows: Sequence[_Row]) -> list[JudgedLabel]:
    targets, room = EvalTargets(api_client(), found.spec.target), asyncio.Semaphore(found.spec.budget.concurrency)
    judged = list[JudgedLabel]()

    async def one(row: _Row) -> JudgedLabel:
        item = EvalItem(id="", input=row.input, expected=row.expected, criteria=row.criteria)
        async with room:
            said = await targets.judge(spec.model, judge_prompt(spec, item, TargetAnswer(row.answer)), None, None)
        value = parse_judgement(spec, said.text).value
        judged.append(
            JudgedLabel(
                label=row.label.casefold() == spec.scale[-1].casefold(),
                verdict=None if value is None else value == 1.0,
                chars=len(row.answer),
            )
        )
        progress(len(judged), len(rows))
        return judged[-1]

    with progress_bar("judging", "answers") as progress:
        return list(await asyncio.gather(*map(one, rows)))


def _shown(found: JudgeCalibration, objection: str, file: Path) -> dict[str, object]:
    return {
        "file": str(file),
        "may_gate": not objection,
        "why_not": objection,
        "labels": found.labels,
        "unreadable": found.unreadable,
        "kappa": round(found.kappa, 4),
        "length_preference": round(found.length_preference, 4),
        "sensitivity": msgspec.to_builtins(found.sensitivity),
        "specificity": msgspec.to_builtins(found.specificity),
    }


def _show(found: JudgeCalibration, objection: str, file: Path, score: str) -> None:
    click.echo(f"{found.labels} labeled answers, {found.unreadable} verdicts that cannot be read")
    click.echo(f"of right answers it accepts {_share(found.sensitivity)}")
    click.echo(f"of wrong answers it rejects {_share(found.specificity)}")
    click.echo(f"agreement beyond chance (kappa) {found.kappa:.2f}")
    if found.length_preference > notable_correlation(found.labels - found.unreadable):
        click.echo(
            f"it prefers long answers: its errors in their favor grow with length ({found.length_preference:.2f})"
        )
    click.echo(f"kept in {file}")
    if objection:
        click.echo(f"it cannot gate: {objection}", err=True)
    else:
        click.echo(f"Next: add `calibrated: true` to the scorer {score!r}, and a rule to the gate")


def _share(found: Proportion) -> str:
    return f"{100 * found.share:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"
