"""Fields of adapters: models that a tuning made, with their base, size and gate, and their deletion; trains none."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sizewise.auth.api_keys import audit_event
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.catalog import user_models
from sizewise.errors import Conflict, PathNotFound
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.tuning.run_store import RunStore, TuningRun
from sizewise.tuning.run_words import sentence

MOST = 200


async def adapters(context: RequestContext) -> list[FieldValues]:
    """Of this machine, the newest first: they belong to the server. Raises Forbidden."""
    if not _is_owner(context, "read_models"):
        return []
    found = (await asyncio.to_thread(_promoted, context.app.settings.home))[:MOST]
    context.charge_rows(len(found))
    return [
        {
            "name": run.model,
            "run": run.name,
            "base": run.base,
            "bytes": size,
            "sentence": sentence(run),
            "question": run.decision or None,
            "withdrawn": run.withdrawn,
            "created": round(run.created * 1_000),
        }
        for run, size in found
    ]


async def delete_adapter(context: RequestContext, name: str) -> str:
    """With its run, as `sizewise tune delete`. Raises PathNotFound, Forbidden, Conflict, ConfigError."""
    app, home = context.app, context.app.settings.home
    promoted = await asyncio.to_thread(_promoted, home) if _is_owner(context, "run_tuning") else []
    run = next((each for each, _ in promoted if each.model == name), None)
    if run is None:
        raise PathNotFound(f"there is no adapter {name[:100]!r}", "adapters lists them")
    plans = app.aliases.policy_plans.items()
    if named := [policy for policy, plan in plans if name in [card.name for card in plan.cards]]:
        raise Conflict(f"the policy {named[0]!r} names {name}", "take it out of the settings first")
    await user_models.remove_model(name, home)
    await asyncio.to_thread(RunStore(home).delete, run.name)
    event = audit_event(context.principal, context.principal.tenant, "delete_adapter", f"model:{name}")
    await context.services.audit_log.append(event)
    await context.reload()
    return name


def _promoted(home: Path) -> list[tuple[TuningRun, int]]:
    """Runs whose adapter is a model, with its size in bytes."""
    store = RunStore(home)
    promoted = [run for run in store.list() if run.model]
    return [(run, _size(store.folder(run.name) / "adapter.gguf")) for run in promoted]


def _size(file: Path) -> int:
    """0 for a file that is gone."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _is_owner(context: RequestContext, action: str) -> bool:
    context.require_all_projects(action)
    return context.principal.tenant == DEFAULT_TENANT
