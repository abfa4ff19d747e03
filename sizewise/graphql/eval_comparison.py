"""Fields of comparisons of two runs, and of what a run will cost and can show; computes no statistics itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sizewise.app.eval_folder import EvalFile, find_run, run_files
from sizewise.evals.runs.comparison import ItemScores, RunComparison, summarize
from sizewise.evals.runs.comparison import compare_runs as compared_runs
from sizewise.evals.runs.eval_spec import MEASURES
from sizewise.evals.runs.item_changes import ItemChange, count_changes, item_changes
from sizewise.evals.runs.run_file import EvalRun
from sizewise.graphql.context import RequestContext
from sizewise.graphql.eval_fields import (
    find_suite_run,
    interval_fields,
    items_to_decide,
    page_fields,
    score_summary,
    suite_file,
    verdict_fields,
)
from sizewise.graphql.model_type import FieldValues
from sizewise.money import format_dollars

MARGIN = 0.03
"""Points of 0..1 by which a score may fall, where no rule says another."""


async def compare_runs(context: RequestContext, base: str, head: str) -> FieldValues:
    """Raises BadRequest if the two cannot be compared."""
    found, before = await find_suite_run(context, base)
    _, after = await find_suite_run(context, head)
    return await asyncio.to_thread(_comparison, found, before, after)


async def eval_plan(context: RequestContext, suite: str) -> FieldValues:
    """Raises BadRequest."""
    found = await suite_file(context, suite)
    return await asyncio.to_thread(_plan, found)


def _comparison(found: EvalFile, base: EvalRun, head: EvalRun) -> FieldValues:
    compared = compared_runs(base, head)
    margins = {each.score: each.not_worse_by for each in found.spec.gate if each.not_worse_by is not None}
    score = next(iter(margins), None) or next(
        (each for each, kind in head.head.scorers.items() if kind not in MEASURES), ""
    )
    changes = item_changes(base, head, score)
    verdict = verdict_fields(found, head, base)
    more = max(0, items_to_decide(found, base, head) - compared.items)
    return {
        **verdict,
        "base": f"{found.name}/{base.name}",
        "head": f"{found.name}/{head.name}",
        "score": score,
        "itemsToDecide": more or None,
        "costToDecideUsd": _cost_of(head, more),
        "pairs": compared.items,
        "clusters": max((each.difference.clusters for each in compared.changes.values() if each.difference), default=0),
        "repeats": head.head.repeat,
        "onlyInBase": sum(each.change == "onlyInBase" for each in changes),
        "onlyInHead": sum(each.change == "onlyInHead" for each in changes),
        "differences": _differences(compared, margins),
        "counts": count_changes(changes),
        "items": _changed(changes),
    }


def _cost_of(run: EvalRun, items: int) -> str | None:
    """Of so many more items, by the mean of the run; None: unknown, or none are needed."""
    costs = [each.cost for each in run.answered.values()]
    if not items or not costs or None in costs:
        return None
    return format_dollars(
        sum(each or 0 for each in costs) * items // len({each.digest for each in run.answered.values()})
    )


def _differences(found: RunComparison, margins: Mapping[str, float | None]) -> list[FieldValues]:
    return [
        {
            "name": name,
            "kind": its.kind,
            "base": score_summary(name, its.kind, its.base),
            "head": score_summary(name, its.kind, its.head),
            **interval_fields(its.difference),
            "allowed": margins.get(name),
            "corrected": its.p,
        }
        for name, its in found.changes.items()
    ]


def _changed(changes: Sequence[ItemChange]) -> Callable[..., FieldValues]:
    def page(
        info: object, change: str | None = None, tag: str | None = None, last: int = 100, before: str | None = None
    ) -> FieldValues:
        rows = [
            each
            for each in changes
            if (change is None or each.change == change or (change == "flaky" and each.flaky))
            and (tag is None or tag in each.tags)
        ]
        names = ("item", "digest", "tags", "change", "flaky", "base", "head")
        return page_fields(rows, last, before, lambda each: {name: getattr(each, name) for name in names})

    return page


def _plan(found: EvalFile) -> FieldValues:
    """From the newest whole run of the target; without one, costs and what can be detected are unknown."""
    data, most = found.dataset(), found.spec.budget.pico_dollars
    last: EvalRun | None = None
    for file in run_files(found):
        run = find_run(found, str(file))
        if run.is_whole and run.head.target == found.spec.target.name:
            last = run
            break
    answers = len(data.items) * found.spec.repeat
    costs = [] if last is None else [each.cost for each in last.answered.values()]
    seconds = [] if last is None else [each.seconds for each in last.answered.values() if each.seconds]
    known = costs and None not in costs
    mean = sum(each or 0 for each in costs) // len(costs) if costs else 0
    return {
        "suite": found.name,
        "items": len(data.items),
        "clusters": data.clusters,
        "repeats": found.spec.repeat,
        "answers": answers,
        "costUsd": format_dollars(mean * answers) if known else None,
        "capUsd": None if most is None else format_dollars(most),
        "minutes": sum(seconds) / len(seconds) * answers / 60 / found.spec.budget.concurrency if seconds else None,
        "basedOn": None if last is None else f"{found.name}/{last.name}",
        "detects": [] if last is None else _detectable(last, len(data.items)),
    }


def _detectable(run: EvalRun, items: int) -> list[FieldValues]:
    """The smallest fall that so many items show, by the spread of the run's own scores: a pair varies less."""
    scores, found = ItemScores(run), list[FieldValues]()
    for name, kind in run.head.scorers.items():
        interval = summarize(scores, name, kind).interval
        if kind in MEASURES or interval is None or not interval.spread:
            continue
        needed = interval.items_needed(MARGIN) or 0
        found.append({"name": name, "fall": MARGIN * (needed / items) ** 0.5})
    return found
