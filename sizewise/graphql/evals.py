"""Fields of evals: suites and runs of the folder, and starting and cancelling runs on this server.

Ids, tags, scores and costs need `read_evals`; inputs and answers `read_contents`. Computes no statistics itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from sizewise.app.eval_folder import EvalFile, eval_names_in, find_eval, find_run, run_files
from sizewise.app.eval_jobs import EvalAnswers, JobStatus
from sizewise.app.release_gates import answers_of_release
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, PathNotFound
from sizewise.evals.runs.comparison import ItemScores, summarize
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.run_file import EvalRun, ItemResult
from sizewise.graphql.context import RequestContext
from sizewise.graphql.eval_fields import (
    evals_folder,
    find_suite_run,
    page_fields,
    read_run_file,
    score_summary,
    suite_file,
    verdict_fields,
)
from sizewise.graphql.model_type import FieldValues
from sizewise.money import format_dollars

MAX_RUNS = 200


async def eval_suites(context: RequestContext) -> list[FieldValues]:
    folder = evals_folder(context)
    if folder is None:
        return []
    return await asyncio.to_thread(lambda: [_suite(context, folder, each) for each in eval_names_in(folder)])


async def eval_suite(context: RequestContext, name: str) -> FieldValues | None:
    folder = evals_folder(context)
    if folder is None or name not in await asyncio.to_thread(eval_names_in, folder):
        return None
    return await asyncio.to_thread(_suite, context, folder, name)


async def eval_runs(context: RequestContext, suite: str, last: int = 20) -> list[FieldValues]:
    """The newest first. Raises BadRequest."""
    context.charge_rows(last)
    found = await suite_file(context, suite)
    files = run_files(found)[: min(last, MAX_RUNS)]
    return [_run(context, found, await read_run_file(context, found, file)) for file in files]


async def eval_run(context: RequestContext, id: str) -> FieldValues:
    """Raises BadRequest for an id that no run has."""
    found, run = await find_suite_run(context, id)
    return _run(context, found, run)


async def start_eval(
    context: RequestContext, suite: str, target: str | None = None, new: bool = False, release: str | None = None
) -> FieldValues:
    """Raises BadRequest, Busy, Forbidden for a caller who may not ask, ExternalFailure for a folder without writes."""
    found = await suite_file(context, suite)
    context.require("ask")
    jobs, get_app = context.app.resources.eval_jobs, context.get_app
    answers = EvalAnswers(lambda: get_app().handler, get_app().resources.prompts, get_app().cards)
    if release is not None:
        answers = await answers_of_release(get_app(), context.principal, release)
    id = await jobs.start(context.principal, suite, target or "", answers, is_new=new)
    event = audit_event(context.principal, context.principal.tenant, "eval.start", f"eval:{suite}")
    await context.services.audit_log.append(event)
    status = jobs.status(id) or JobStatus("done")
    return {"id": id, "suite": found.name, **job_fields(status)}


async def cancel_eval(context: RequestContext, id: str) -> FieldValues:
    """Raises PathNotFound for a run that does not run."""
    jobs, suite = context.app.resources.eval_jobs, id.partition("/")[0]
    if jobs.folder(context.principal) is None or not await jobs.cancel(id):
        raise PathNotFound(f"the run {id[:100]!r} does not run here", "evalRuns(suite) lists the runs")
    status = jobs.status(id) or JobStatus(state="cancelled")
    return {"id": id, "suite": suite, **job_fields(status)}


def _suite(context: RequestContext, folder: Path, name: str) -> FieldValues:
    """A suite whose file has mistakes has them as a finding."""
    try:
        found = find_eval(folder, name)
        data = found.dataset()
    except BadRequest as error:
        finding = f"{error.message.replace(str(folder), 'evals')}; {error.hint}"
        return {"name": name, "file": f"evals/{name}.yaml", "findings": [finding], "gate": [], "runs": 0}

    async def last_run(info: object) -> FieldValues | None:
        newest = await asyncio.to_thread(lambda: next((find_run(found, str(each)) for each in run_files(found)), None))
        return None if newest is None else _run(context, found, newest)

    return {
        "name": name,
        "file": f"evals/{found.path.name}",
        "findings": [],
        "target": found.spec.target.name,
        "dataset": found.data_file.stem,
        "items": len(data.items),
        "repeat": found.spec.repeat,
        "scorers": list(found.spec.scorers),
        "gate": [each.score or each.latency or "every" for each in found.spec.gate],
        "runs": len(run_files(found)),
        "lastRun": last_run,
        "budgetUsd": _dollars(found.spec.budget.pico_dollars),
    }


def _run(context: RequestContext, found: EvalFile, run: EvalRun) -> FieldValues:
    id = f"{found.name}/{run.name}"
    costs = [each.cost for each in run.results]
    items = _Items(context, found, run)
    return {
        "id": id,
        "suite": found.name,
        "target": run.head.target,
        "started": run.head.started,
        "prompt": run.head.prompt or None,
        "release": run.head.release or None,
        "repeat": run.head.repeat,
        **job_fields(run_status(context, found, run)),
        "costUsd": None if None in costs else format_dollars(sum(each or 0 for each in costs)),
        **verdict_fields(found, run, None),
        "scores": _scores(run),
        "items": items.page,
    }


def _scores(run: EvalRun) -> list[FieldValues]:
    scores = ItemScores(run)
    return [score_summary(name, kind, summarize(scores, name, kind)) for name, kind in run.head.scorers.items()]


class _Items:
    """The results of a run, page by page. Words take `read_contents`, and are in the audit log."""

    def __init__(self, context: RequestContext, found: EvalFile, run: EvalRun) -> None:
        self._context, self._found, self._run = context, found, run
        self._inputs: Mapping[str, EvalItem] | None = None

    async def page(
        self,
        info: object,
        tag: str | None = None,
        failed: bool | None = None,
        digest: str | None = None,
        last: int = 100,
        before: str | None = None,
    ) -> FieldValues:
        self._context.charge_rows(last)
        rows = [
            each
            for each in {(its.digest, its.repeat): its for its in self._run.results}.values()
            if (tag is None or tag in each.tags)
            and (failed is None or bool(each.error) is failed)
            and (digest is None or each.digest == digest)
        ]
        return page_fields(rows, last, before, self._row)

    def _row(self, result: ItemResult) -> FieldValues:
        return {
            "item": result.item,
            "digest": result.digest,
            "repeat": result.repeat,
            "cluster": result.cluster,
            "tags": result.tags,
            "weight": result.weight,
            "scores": [{"name": name, "value": each.value, "why": each.why} for name, each in result.scores.items()],
            "seconds": result.seconds,
            "costUsd": None if result.cost is None else format_dollars(result.cost),
            "error": result.error,
            "output": self._words(lambda: result.output),
            "input": self._words(lambda: self._input(result.digest)),
        }

    def _words(self, read: Callable[[], object]) -> Callable[[object], object]:
        async def resolve(info: object) -> object:
            self._context.require("read_contents")
            services, principal = self._context.services, self._context.principal
            await services.audit_log.append(
                audit_event(principal, principal.tenant, "read_contents", f"eval:{self._found.name}/{self._run.name}")
            )
            return await asyncio.to_thread(read)

        return resolve

    def _input(self, digest: str) -> object:
        """None if the item is not in the data any more."""
        if self._inputs is None:
            self._inputs = {each.digest: each for each in self._found.dataset().items}
        return self._inputs[digest].input if digest in self._inputs else None


def run_status(context: RequestContext, found: EvalFile, run: EvalRun) -> JobStatus:
    stored = JobStatus(
        state="done" if run.is_whole else "interrupted",
        total=run.head.planned,
        done=len(run.answered),
        failed=len({each.digest for each in run.results if each.error}),
        cost=sum(each.cost or 0 for each in run.results),
    )
    return _merged(context.app.resources.eval_jobs.status(f"{found.name}/{run.name}"), stored)


def _merged(status: JobStatus | None, stored: JobStatus) -> JobStatus:
    """What this process knows of a run, and of one that has ended what its file has."""
    if status is None or status.state == "running":
        return status or stored
    return replace(stored, state=stored.state if stored.state == "done" else status.state, error=status.error)


def _dollars(pico: int | None) -> str | None:
    return None if pico is None else format_dollars(pico)


def job_fields(status: JobStatus) -> FieldValues:
    return {
        "state": status.state,
        "total": status.total,
        "done": status.done,
        "failed": status.failed,
        "error": status.error or None,
        "spentUsd": format_dollars(status.cost),
    }
