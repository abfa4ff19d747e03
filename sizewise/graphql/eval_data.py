"""Fields of the data sets of evals and their scorers, with the calibration of judges; inputs need `read_contents`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from sizewise.app.dataset_addition import DatasetAddition, add_items
from sizewise.app.eval_folder import EvalFile, calibration_file, dataset_files
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, PathNotFound
from sizewise.evals.llm_judge import Proportion
from sizewise.evals.runs.eval_items import EvalDataset, EvalItem, read_items
from sizewise.evals.runs.eval_spec import ScorerSpec
from sizewise.evals.runs.judge_calibration import judge_digest, read_calibration
from sizewise.graphql.context import RequestContext
from sizewise.graphql.eval_fields import evals_folder, page_fields, suite_file
from sizewise.graphql.model_type import FieldValues

DatasetFormat = Literal["jsonl", "csv"]


async def datasets(context: RequestContext) -> list[FieldValues]:
    folder = evals_folder(context)
    if folder is None:
        return []
    return await asyncio.to_thread(lambda: [_dataset(context, each) for each in dataset_files(folder).values()])


async def dataset(context: RequestContext, name: str, version: str = "") -> FieldValues | None:
    """Raises BadRequest if it is another version now."""
    folder = evals_folder(context)
    files = {} if folder is None else await asyncio.to_thread(dataset_files, folder)
    if name not in files:
        return None
    found = await asyncio.to_thread(_dataset, context, files[name])
    if not str(found["sha"]).startswith(version.lower()):
        now = str(found["sha"])[:12] or "none that can be read"
        raise BadRequest(f"{name!r} is not the version {version[:64]!r} now: it is {now}", "git has earlier versions")
    return found


async def import_dataset(
    context: RequestContext,
    name: str,
    text: str,
    format: DatasetFormat = "jsonl",
    dry_run: bool = False,
) -> FieldValues:
    """Raises BadRequest, with the line, and ExternalFailure for a folder that cannot be written."""
    folder = evals_folder(context)
    if folder is None:
        raise PathNotFound("your project has no folder of evals", "evals lie beside sizewise.toml")
    found = await asyncio.to_thread(_import, folder, name, text, format, dry_run)
    if not dry_run:
        principal = context.principal
        await context.services.audit_log.append(
            audit_event(principal, principal.tenant, "dataset.import", f"dataset:{name}")
        )
    return {"name": name, "added": found.added, "known": found.known, "count": found.items, "sha": found.digest or None}


def _import(folder: Path, name: str, text: str, format: DatasetFormat, dry_run: bool) -> DatasetAddition:
    """Errors name the text, and no path of the server."""
    with TemporaryDirectory() as place:
        file = Path(place) / f"text.{format}"
        file.write_text(text, "utf-8", newline="")
        try:
            return add_items(folder, name, file, dry_run=dry_run)
        except BadRequest as error:
            shown = error.message.replace(str(file), file.name).replace(str(folder), "evals")
            raise BadRequest(shown, error.hint, param="text") from error


async def scorers(context: RequestContext, suite: str) -> list[FieldValues]:
    """Raises BadRequest."""
    found = await suite_file(context, suite)
    return await asyncio.to_thread(lambda: [_scorer(found, name, each) for name, each in found.spec.scorers.items()])


def _dataset(context: RequestContext, file: Path) -> FieldValues:
    try:
        data, error = read_items(file), None
    except BadRequest as wrong:
        data, error = EvalDataset((), ""), wrong.message.replace(str(file.parent), "evals")
    weights = [each.weight for each in data.items]

    def items(info: object, last: int = 100, before: str | None = None) -> FieldValues:
        context.charge_rows(last)
        return page_fields(data.items, last, before, lambda each: _item(context, file.stem, each))

    return {
        "name": file.stem,
        "count": len(data.items),
        "sha": data.digest,
        "clusters": data.clusters if data.items else 0,
        "isWeighted": len(set(weights)) > 1,
        "effectiveItems": data.effective_items if data.items else 0.0,
        "error": error,
        "items": items,
    }


def _item(context: RequestContext, dataset: str, item: EvalItem) -> FieldValues:
    async def input(info: object) -> object:
        context.require("read_contents")
        principal = context.principal
        await context.services.audit_log.append(
            audit_event(principal, principal.tenant, "read_contents", f"dataset:{dataset}")
        )
        return item.input

    named = ("id", "digest", "cluster", "tags", "weight")
    return {**{name: getattr(item, name) for name in named}, "input": input}


def _scorer(found: EvalFile, name: str, spec: ScorerSpec) -> FieldValues:
    shown = {"name": name, "kind": spec.kind, "version": found.spec.scoring_digest[:12], "judge": None}
    if spec.kind != "judge":
        return shown
    calibration = read_calibration(calibration_file(found, name))
    model = {"model": spec.model, "version": judge_digest(spec)}
    if calibration is None:
        return {**shown, "judge": {**model, "labels": 0, "mayGate": False, "voidBecause": "it is not calibrated"}}
    objection = calibration.objection(spec)
    judge = {
        **model,
        "labels": calibration.labels,
        "unreadable": calibration.unreadable,
        "kappa": calibration.kappa,
        "length": calibration.length_preference,
        "sensitivity": _proportion(calibration.sensitivity),
        "specificity": _proportion(calibration.specificity),
        "mayGate": not objection,
        "voidBecause": objection or None,
    }
    return {**shown, "judge": judge}


def _proportion(found: Proportion) -> FieldValues:
    return {"value": found.share, "low": found.low, "high": found.high}
