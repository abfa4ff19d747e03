"""Parts that fields of evals share: finding a suite or run, verdicts, intervals and pages; resolves no field."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sizewise.app.eval_folder import EvalFile, eval_names_in, find_eval, load_calibrations, run_files
from sizewise.errors import BadRequest, PathNotFound
from sizewise.evals.runs.comparison import ScoreSummary
from sizewise.evals.runs.gate import GateResult, check_gate
from sizewise.evals.runs.paired_statistics import ConfidenceInterval
from sizewise.evals.runs.run_file import EvalRun, read_run
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues

T = TypeVar("T")


def evals_folder(context: RequestContext) -> Path | None:
    return context.app.resources.eval_jobs.folder(context.principal)


async def suite_file(context: RequestContext, name: str) -> EvalFile:
    folder = evals_folder(context)
    if folder is None:
        raise PathNotFound(f"there is no eval {name[:100]!r} in your project", "evals lie beside sizewise.toml")
    if name not in await asyncio.to_thread(eval_names_in, folder):
        raise PathNotFound(f"there is no eval {name[:100]!r}", "evalSuites lists them")
    return await asyncio.to_thread(find_eval, folder, name)


async def find_suite_run(context: RequestContext, id: str) -> tuple[EvalFile, EvalRun]:
    suite, _, name = id.partition("/")
    found = await suite_file(context, suite)
    file = next((each for each in run_files(found) if each.stem == name), None)
    if file is None:
        raise PathNotFound(f"there is no run {id[:100]!r}", "evalRuns(suite) lists them: SUITE/RUN")
    return found, await read_run_file(context, found, file)


async def read_run_file(context: RequestContext, found: EvalFile, file: Path) -> EvalRun:
    """Complete if its job has ended. Raises BadRequest."""
    jobs, id = context.app.resources.eval_jobs, f"{found.name}/{file.stem}"
    return await read_settled(lambda: jobs.is_running(id), lambda: asyncio.to_thread(read_run, file))


async def read_settled(is_running: Callable[[], bool], read: Callable[[], Awaitable[T]]) -> T:
    """What `read` gives; of a job that ended meanwhile it is read again, so that its state and its answers belong
    together: a run would be `done` with some answers missing."""
    was_running = is_running()
    found = await read()
    return await read() if was_running and not is_running() else found


def verdict_fields(found: EvalFile, head: EvalRun, base: EvalRun | None) -> FieldValues:
    """The sentence is the one of `eval gate`, and of a pull request's comment."""
    try:
        result = _gate(found, head, base)
    except BadRequest as error:
        return {"verdict": None, "sentence": f"not judged: {error.message}; {error.hint}", "rules": []}
    return {"verdict": result.verdict, "sentence": result.sentence, "rules": _rules(result)}


def items_to_decide(found: EvalFile, base: EvalRun, head: EvalRun) -> int:
    """About how many items would decide the rules that are unclear; 0: none are, or it cannot be said."""
    try:
        return max((each.needed or 0 for each in _gate(found, head, base).rules), default=0)
    except BadRequest:
        return 0


def _gate(found: EvalFile, head: EvalRun, base: EvalRun | None) -> GateResult:
    """Raises BadRequest."""
    return check_gate(found.spec, head, base, load_calibrations(found), data=found.dataset().digest)


def _rules(result: GateResult) -> list[FieldValues]:
    return [
        {
            "score": each.score,
            "rule": each.rule,
            "verdict": each.verdict,
            "why": each.why,
            "itemsToDecide": each.needed,
        }
        for each in result.rules
    ]


def score_summary(name: str, kind: str, its: ScoreSummary) -> FieldValues:
    n = 0 if its.interval is None else its.interval.items
    return {"name": name, "kind": kind, **interval_fields(its.interval), "n": n, "missing": its.missing}


def interval_fields(found: ConfidenceInterval | None) -> FieldValues:
    if found is None:
        return {"value": None, "low": None, "high": None, "method": None}
    low, high = (None if abs(each) == float("inf") else each for each in (found.low, found.high))
    return {"value": found.estimate, "low": low, "high": high, "method": found.method}


def page_fields(rows: Sequence[T], last: int, before: str | None, shown: Callable[[T], FieldValues]) -> FieldValues:
    """In order. `before`: the place from which the next page goes on."""
    if before is not None and not (before.isdecimal() and len(before) < 10):
        raise BadRequest(f"no page goes on at {before[:50]!r}", "pass `before` of the last page", param="before")
    start = int(before or 0)
    end = start + max(1, last)
    return {"rows": [shown(each) for each in rows[start:end]], "before": str(end) if end < len(rows) else None}
