"""Fields of environments: what is live in each, and changing it."""

from __future__ import annotations

from collections.abc import Sequence

from sizewise.app import release_changes
from sizewise.app import release_plan as plans
from sizewise.app.application import Application
from sizewise.app.edge_groups import promote_edge_groups, require_edge_groups
from sizewise.app.environment_flows import EnvironmentFlows, environment_flows
from sizewise.app.release_effects import ReleaseEffect
from sizewise.errors import BadRequest
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.money import format_dollars
from sizewise.principal import Principal
from sizewise.releases.edges.fleet import Standing
from sizewise.releases.environments.tables import LiveRelease, PlanRow, ReleaseMove
from sizewise.settings.environments import default_environment, source_of

MOVES = 20
"""Changes that an environment lists."""
PLANS = 10
"""Plans that an environment lists."""


async def environments(context: RequestContext) -> list[FieldValues]:
    app = context.get_app()
    return [await _environment(context, app, name) for name in app.settings.environments]


async def flows_by_environment(context: RequestContext) -> list[FieldValues]:
    """Of environments that the caller may not read, only the one that answers it."""
    app, principal = context.get_app(), context.principal
    may_read = principal.permissions & {"read_releases", "manage_releases"}
    own = principal.environment or default_environment(app.settings.environments)
    names = [each for each in app.settings.environments if may_read or each == own]
    return [_environment_flows(app, principal, each) for each in await environment_flows(app, principal, names)]


def _environment_flows(app: Application, principal: Principal, found: EnvironmentFlows) -> FieldValues:
    only = frozenset(principal.scope.flows) if principal.scope is not None else frozenset()
    names = [name for name in sorted({*found.versions, *found.canary_versions}) if not only or name in only]
    return {
        "environment": found.environment,
        "isDefault": found.environment == default_environment(app.settings.environments),
        "release": found.release or None,
        "canary": found.canary or None,
        "share": found.share,
        "flows": [
            {
                "name": name,
                "version": found.versions.get(name),
                "canaryVersion": found.canary_versions.get(name) if found.canary else None,
            }
            for name in names
        ],
    }


async def apply_release(
    context: RequestContext,
    plan: str | None = None,
    environment: str | None = None,
    release: str | None = None,
    breaking: bool = False,
    reason: str = "",
    now: bool = False,
    edges: Sequence[str] = (),
) -> FieldValues:
    app, principal = context.get_app(), context.principal
    if plan is not None and environment is None and release is None:
        if edges:
            planned = (await plans.find_plan(app, principal, plan)).row.environment
            await require_edge_groups(app, principal, planned, edges, now=now)
        moved = await plans.apply_plan(app, principal, plan, breaking=breaking, reason=reason, now=now)
    elif plan is None and environment is not None and release is not None:
        await require_edge_groups(app, principal, environment, edges, now=now)
        moved = await plans.apply_unplanned(
            app, principal, environment, release, breaking=breaking, reason=reason, now=now
        )
    else:
        raise BadRequest("name a `plan`, or an `environment` and a `release`", "a plan names both", param="plan")
    await promote_edge_groups(app, principal, moved.environment, edges, breaking=breaking, reason=reason)
    return await _environment(context, app, moved.environment)


async def release_plan(context: RequestContext, id: str) -> FieldValues:
    return await _plan(context, await plans.find_plan(context.get_app(), context.principal, id))


async def plan_release(context: RequestContext, to: str, **named: str) -> FieldValues:
    """`from` is a word of Python."""
    return await _plan(context, await plans.plan_release(context.get_app(), context.principal, named["from"], to))


async def approve_release(context: RequestContext, plan: str) -> FieldValues:
    return await _plan(context, await plans.approve_plan(context.get_app(), context.principal, plan))


async def gate_release(context: RequestContext, plan: str, eval: str) -> FieldValues:
    """Raises BadRequest unless both releases have a whole run of the eval."""
    return await _plan(context, await plans.gate_plan(context.get_app(), context.principal, plan, eval))


async def promote_release(
    context: RequestContext, environment: str, breaking: bool = False, reason: str = "", edges: Sequence[str] = ()
) -> FieldValues:
    app, principal = context.get_app(), context.principal
    await require_edge_groups(app, principal, environment, edges)
    await plans.promote(app, principal, environment, breaking=breaking, reason=reason)
    await promote_edge_groups(app, principal, environment, edges, breaking=breaking, reason=reason)
    return await _environment(context, app, environment)


async def rollback_release(context: RequestContext, environment: str, to: str = "", reason: str = "") -> FieldValues:
    app = context.get_app()
    await release_changes.rollback_release(app, context.principal, environment, to, reason)
    return await _environment(context, app, environment)


async def _environment(context: RequestContext, app: Application, name: str) -> FieldValues:
    place, store = release_changes.place_of(app, context.principal, name), context.services.environments
    live, moves, known = await store.find(place), await store.history(place, MOVES), app.settings.environments
    base = "" if live is None else live.release

    async def open_plans(info: object) -> list[FieldValues]:
        found = await context.services.release_plans.list_open(place, PLANS)
        return [_open_plan(each) for each in found if each.base == base]

    async def edge_counts(info: object) -> FieldValues:
        counts = await context.services.edge_fleet.counts(place, default_environment(known))
        return {"total": sum(counts.values()), **{each.name: counts.get(each, 0) for each in Standing}}

    return {
        "name": name,
        "isDefault": name == default_environment(known),
        "source": source_of(known, name),
        "approve": known[name].approve,
        "live": None if live is None else _live(live, await store.since(live)),
        "problem": release_changes.serving(app).state(place).problem,
        "moves": [_move(each) for each in moves],
        "plans": open_plans,
        "edges": edge_counts,
    }


async def _plan(context: RequestContext, plan: plans.ReleasePlan) -> FieldValues:
    row, may_read = plan.row, {"manage_flows", "read_contents"} & context.principal.permissions
    return {
        "id": row.id,
        "sentence": plan.sentence,
        "environment": row.environment,
        "source": row.source,
        "release": row.release,
        "base": row.base,
        "created": row.created,
        "createdBy": row.by,
        "applied": row.applied,
        "stale": plan.stale,
        "changes": [
            {
                "sign": each.sign,
                "kind": each.kind,
                "name": each.name,
                "details": list(each.details) if may_read else [],
                "breaking": list(each.breaking),
            }
            for each in plan.changes
        ],
        "missing": [{"kind": each.kind, "name": each.name, "hint": each.hint} for each in plan.missing],
        "effects": [_effect(each) for each in await plans.plan_effects(context.get_app(), row)],
        "gates": [
            {"eval": each.eval, "verdict": each.verdict or None, "sentence": each.sentence, "at": each.at}
            for each in plan.gates
        ],
        "approvals": list(plan.approvals),
        "needed": plan.needed,
    }


def _effect(effect: ReleaseEffect) -> FieldValues:
    return {
        "kind": effect.kind,
        "name": effect.name,
        "sentence": effect.sentence,
        "measured": effect.measured,
        "requests": effect.requests,
        "costUsdBefore": _dollars(effect.cost_before),
        "costUsdAfter": _dollars(effect.cost_after),
        "qualityBefore": effect.quality_before,
        "qualityAfter": effect.quality_after,
        "qualityMargin": effect.quality_margin,
    }


def _dollars(cost: int | None) -> str | None:
    return None if cost is None else format_dollars(cost)


def _open_plan(row: PlanRow) -> FieldValues:
    names = ("id", "release", "source", "created")
    return {**{name: getattr(row, name) for name in names}, "createdBy": row.by}


def _live(live: LiveRelease, since: int) -> FieldValues:
    return {
        "since": since,
        "release": live.release,
        "previous": live.previous,
        "canary": live.canary,
        "share": live.share,
        "changed": live.changed,
        "changedBy": live.by,
    }


def _move(move: ReleaseMove) -> FieldValues:
    return {
        "release": move.release,
        "before": move.before,
        "at": move.at,
        "by": move.by,
        "action": move.action,
        "reason": move.reason,
    }
