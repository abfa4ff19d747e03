"""Fields of bias: the runs in the folder `evals/bias`, and how far groups of people differ in each; asks no model."""

from __future__ import annotations

from collections.abc import Sequence

from sizewise.errors import BadRequest
from sizewise.evals.bias.gaps import GroupGap, Metric, dimension_verdict
from sizewise.evals.bias.report import TITLES, TargetGaps, verdict_words
from sizewise.evals.bias.run_folders import BiasRun, find_bias_run, list_bias_runs
from sizewise.graphql.context import RequestContext
from sizewise.graphql.eval_fields import evals_folder
from sizewise.graphql.model_type import FieldValues

MAX_RUNS = 100


async def bias_runs(context: RequestContext, last: int = 20) -> list[FieldValues]:
    """The newest first."""
    context.charge_rows(last)
    folder, in_thread = evals_folder(context), context.app.resources.offload.in_thread
    if folder is None:
        return []
    found = await in_thread(list_bias_runs, folder)
    return [await in_thread(_run, each) for each in found[: min(last, MAX_RUNS)]]


async def bias_run(context: RequestContext, id: str) -> FieldValues | None:
    """None for an id that no run has."""
    folder, in_thread = evals_folder(context), context.app.resources.offload.in_thread
    if folder is None:
        return None
    found = await in_thread(find_bias_run, folder, id)
    return None if found is None else await in_thread(_run, found)


def _run(run: BiasRun) -> FieldValues:
    """One that cannot be compared has a finding."""
    head = {"id": run.id, "ended": round(run.ended * 1_000)}
    try:
        return {**head, "targets": [_target(each) for each in run.targets()], "finding": None}
    except BadRequest as error:
        finding = f"{error.message.replace(str(run.folder), run.folder.name)}; {error.hint}"
        return {**head, "targets": [], "finding": finding}


def _target(target: TargetGaps) -> FieldValues:
    return {
        "name": target.name,
        "answers": target.answers,
        "answeredBy": list(target.chosen),
        "small": target.small if target.chosen else None,
        "hasGap": target.has_gap,
        "sentence": target.sentence,
        "panels": [_panel(*panel) for panel in target.panels()],
    }


def _panel(metric: Metric, dimension: str, gaps: Sequence[GroupGap]) -> FieldValues:
    return {
        "metric": metric,
        "title": TITLES[metric],
        "dimension": dimension,
        "verdict": dimension_verdict(gaps),
        "groups": [_group(each) for each in gaps],
    }


def _group(each: GroupGap) -> FieldValues:
    compared = each.verdict != "reference"
    return {
        "group": each.group,
        "items": each.items,
        "texts": each.texts,
        "value": each.value,
        "verdict": each.verdict,
        "sentence": verdict_words(each),
        "gap": each.gap if compared else None,
        "low": each.low if compared else None,
        "high": each.high if compared else None,
        "detectable": each.detectable,
        "needed": each.needed,
    }
