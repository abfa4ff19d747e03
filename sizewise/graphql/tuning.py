"""Fields of tuning runs: what was measured before and after, and starting and cancelling a training; no example."""

from __future__ import annotations

import asyncio

from sizewise.app.tuning_jobs import TuningJobs
from sizewise.auth.api_keys import audit_event
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.errors import PathNotFound
from sizewise.evals.llm_judge import wilson_interval
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.tuning.run_store import Equality, Measured, RunStore, TuningRun
from sizewise.tuning.run_words import BASELINES, sentence

MOST = 200


async def tuning_runs(context: RequestContext) -> list[FieldValues]:
    """The newest first. Raises Forbidden."""
    if not _is_owner(context, "read_models"):
        return []
    found = (await asyncio.to_thread(_store(context).list))[:MOST]
    context.charge_rows(len(found))
    return [_values(context, each) for each in found]


async def tuning_run(context: RequestContext, id: str) -> FieldValues | None:
    """Raises Forbidden, BadRequest for what is no name."""
    if not _is_owner(context, "read_models"):
        return None
    found = await asyncio.to_thread(_store(context).find, id)
    return None if found is None else _values(context, found)


async def start_tuning(context: RequestContext, id: str) -> FieldValues:
    """Raises Forbidden, PathNotFound, Conflict, Busy, ExternalFailure."""
    return await _changed(context, id, "start")


async def cancel_tuning(context: RequestContext, id: str) -> FieldValues:
    """Raises Forbidden, PathNotFound, Conflict."""
    return await _changed(context, id, "cancel")


async def _changed(context: RequestContext, id: str, action: str) -> FieldValues:
    if not _is_owner(context, "run_tuning"):
        raise PathNotFound(f"there is no tuning run {id[:100]!r}", "tuningRuns lists them")
    jobs = _jobs(context)
    await (jobs.start(id) if action == "start" else jobs.cancel(id))
    event = audit_event(context.principal, context.principal.tenant, f"tuning.{action}", f"tuning:{id}")
    await context.services.audit_log.append(event)
    return _values(context, await asyncio.to_thread(_store(context).require, id))


def _is_owner(context: RequestContext, action: str) -> bool:
    """Whether runs of this machine are the caller's: they belong to the server. Raises Forbidden."""
    context.require_all_projects(action)
    return context.principal.tenant == DEFAULT_TENANT


def _store(context: RequestContext) -> RunStore:
    return RunStore(context.app.settings.home)


def _jobs(context: RequestContext) -> TuningJobs:
    found = context.app.resources.tuning_jobs
    assert found is not None  # a server has them
    return found


def _values(context: RequestContext, run: TuningRun) -> FieldValues:
    jobs, its, cost = _jobs(context), run.estimate, run.cost
    equality, memory, triggers = run.equality, run.memory, run.triggers
    return {
        "id": run.name,
        "base": run.base,
        "state": "refused" if run.refused else run.state,
        "sentence": sentence(run),
        "isRunning": jobs.is_running(run),
        "failure": jobs.failure(run.name) or None,
        "setup": jobs.setup_command() or None,
        "done": run.step,
        "total": its.steps,
        "created": round(run.created * 1_000),
        "preset": run.preset,
        "examples": run.train_count,
        "heldOut": run.test_count,
        "answers": run.answers,
        "suspects": run.suspects,
        "withdrawn": run.withdrawn,
        "question": run.decision or None,
        "model": run.model or None,
        "baselines": [_share(BASELINES[name], found) for name, found in run.baselines.items() if name in BASELINES],
        "tuned": None if run.tuned is None else _share("tuned", run.tuned),
        "estimate": {"cpuSeconds": its.cpu_seconds, "bytes": its.bytes, "seconds": None},
        "measured": None if cost is None else _cost(cost.cpu_seconds, cost.bytes, cost.seconds),
        "equality": None if equality is None else _equality(equality),
        "memory": None if memory is None else {"asked": memory.planted, "found": memory.revealed},
        "triggers": None if triggers is None else {"asked": triggers.asked, "found": triggers.turned},
    }


def _share(name: str, found: Measured) -> FieldValues:
    right = sum(found.right)
    interval = wilson_interval(right, len(found.right))
    return {
        "name": name,
        "asked": len(found.right),
        "value": found.share,
        "low": interval.low,
        "high": interval.high,
    }


def _cost(cpu_seconds: float, size: int, seconds: float) -> FieldValues:
    return {"cpuSeconds": cpu_seconds, "bytes": size or None, "seconds": seconds}


def _equality(found: Equality) -> FieldValues:
    return {"asked": found.asked, "found": found.equal, "logprobDifference": found.logprob_difference}
