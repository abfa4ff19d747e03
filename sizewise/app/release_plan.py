"""Plans of releases: what would change in an environment, what breaks callers, and what is missing; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from sizewise.app import release_changes
from sizewise.app.application import Application
from sizewise.app.release_application import MissingRequirement, missing_requirements
from sizewise.app.release_effects import ReleaseEffect, ReleasePair, measure_effects
from sizewise.app.release_gates import ReleaseGate, gates_of, judge_gate, require_gates
from sizewise.errors import BadRequest, Conflict
from sizewise.principal import Principal
from sizewise.releases.environments.tables import LiveRelease, PlanRow
from sizewise.releases.manifest import PartKind, Release, changed_parts, changed_values
from sizewise.releases.part_meaning import breaking_changes, meaning


class PlannedChange(Struct, frozen=True):
    """`sign`: + added, ~ changed, - removed. `details`: by node and option. `breaking`: what callers can do no more."""

    sign: str
    kind: PartKind
    name: str
    details: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()


class ReleasePlan(Struct, frozen=True):
    """`needed`: approvals. `stale`: what is live has changed since it was made."""

    row: PlanRow
    changes: tuple[PlannedChange, ...]
    missing: tuple[MissingRequirement, ...]
    gates: tuple[ReleaseGate, ...]
    approvals: tuple[str, ...]
    needed: int
    stale: bool

    @property
    def breaking(self) -> list[str]:
        return [f"{each.kind}/{each.name}: {why}" for each in self.changes for why in each.breaking]

    @property
    def sentence(self) -> str:
        row, count = self.row, len(self.changes)
        if row.base == row.release:
            return f"{row.release[:12]} is live in {row.environment} already"
        what = "nothing that answers changes" if not count else f"{count} change{'s' if count > 1 else ''}"
        parts = [f"{row.release[:12]} in {row.environment}: {what}"]
        if self.breaking:
            parts.append(f"{len(self.breaking)} of them break{'s' if len(self.breaking) == 1 else ''} callers")
        if self.missing:
            parts.append(f"{len(self.missing)} missing there")
        if self.gates:
            parts.append(f"{sum(each.passes for each in self.gates)} of {len(self.gates)} evals passed")
        if len(self.approvals) < self.needed:
            parts.append(f"{len(self.approvals)} of {self.needed} approvals")
        return ", ".join(parts)


async def plan_release(app: Application, principal: Principal, source: str, environment: str) -> ReleasePlan:
    """`source`: an environment, or the hash of a saved release. Raises BadRequest, PathNotFound, ConfigError,
    StorageError, EncryptionKeyUnavailable.
    """
    place, services = release_changes.place_of(app, principal, environment), app.resources.services
    named = source if source in app.settings.environments else ""
    if named:
        hash = await release_changes.live_hash(app, principal, named)
    else:
        hash = (await services.releases.find(principal.tenant, principal.project, source)).hash
    await release_changes.require_source(app, place, hash)
    live = await services.environments.find(place)
    base = "" if live is None else live.release
    row = await services.release_plans.create(principal, place, source=named, release=hash, base=base)
    return await describe_plan(app, row)


async def find_plan(app: Application, principal: Principal, id: str) -> ReleasePlan:
    """Raises PathNotFound, BadRequest."""
    release_changes.serving(app)
    return await describe_plan(app, await _row(app, principal, id))


async def approve_plan(app: Application, principal: Principal, id: str) -> ReleasePlan:
    """Raises Forbidden, Conflict, PathNotFound."""
    plan = await find_plan(app, principal, id)
    if plan.stale:
        raise _stale(plan)
    await app.resources.services.release_plans.approve(principal, plan.row)
    return await describe_plan(app, plan.row)


async def gate_plan(app: Application, principal: Principal, id: str, eval: str) -> ReleasePlan:
    """Judges an eval that the plan needs, on the runs of both releases. Raises Conflict, BadRequest, PathNotFound."""
    plan = await find_plan(app, principal, id)
    if plan.stale:
        raise _stale(plan)
    await judge_gate(app, principal, plan.row, eval)
    return await describe_plan(app, plan.row)


async def apply_plan(
    app: Application, principal: Principal, id: str, *, breaking: bool = False, reason: str = "", now: bool = False
) -> LiveRelease:
    """Raises what `apply_release` raises, and Conflict for a plan that is stale, applied or not approved."""
    plan = await find_plan(app, principal, id)
    if plan.row.applied is not None:
        raise Conflict(f"{id} was applied already", "make a new plan: sizewise release plan FROM TO")
    if plan.stale:
        raise _stale(plan)
    if len(plan.approvals) < plan.needed:
        raise Conflict(
            f"{id} has {len(plan.approvals)} of {plan.needed} approvals",
            f"another person approves it: release approve {id}",
        )
    require_unbroken(plan.changes, allowed=breaking)
    require_gates(plan.row.environment, plan.gates, id)
    action = "promote" if plan.row.source else "apply"
    moved = await release_changes.apply_release(
        app, principal, plan.row.environment, plan.row.release, action=action, reason=reason or id, now=now
    )
    await app.resources.services.release_plans.mark_applied(plan.row)
    return moved


async def apply_unplanned(
    app: Application,
    principal: Principal,
    environment: str,
    hash: str,
    *,
    breaking: bool = False,
    action: str = "apply",
    reason: str = "",
    now: bool = False,
) -> LiveRelease:
    """Raises what `apply_release` raises."""
    place, services = release_changes.place_of(app, principal, environment), app.resources.services
    if app.settings.environments[environment].approve:
        raise BadRequest(
            f"{environment!r} needs approvals, so a release is planned first",
            f"plan it: sizewise release plan {hash[:12]} {environment}",
        )
    live = await services.environments.find(place)
    stored = await services.releases.find(principal.tenant, principal.project, hash)
    if live is not None:
        release = await services.releases.load(principal.tenant, principal.project, stored.hash)
        base = await services.releases.load(principal.tenant, principal.project, live.release)
        require_unbroken(await _compared(app, base, release), allowed=breaking)
    gates = await gates_of(app, place, stored.hash, "" if live is None else live.release)
    require_gates(environment, gates, stored.hash)
    return await release_changes.apply_release(
        app, principal, environment, stored.hash, action=action, reason=reason, now=now
    )


async def promote(
    app: Application, principal: Principal, environment: str, *, breaking: bool = False, reason: str = ""
) -> LiveRelease:
    """What is live in the environment's source becomes live in it; while a canary runs, the canary does, as it was
    approved when it began. Raises what `apply_release` raises.
    """
    place = release_changes.place_of(app, principal, environment)
    live = await app.resources.services.environments.find(place)
    if live is not None and live.canary is not None:
        return await release_changes.apply_release(
            app, principal, environment, live.canary, action="promote", reason=reason
        )
    hash = await release_changes.promoted_hash(app, principal, environment)
    return await apply_unplanned(app, principal, environment, hash, breaking=breaking, action="promote", reason=reason)


def require_unbroken(changes: tuple[PlannedChange, ...], *, allowed: bool) -> None:
    """Raises BadRequest for changes that break callers, unless they are `allowed`."""
    found = [f"{each.kind}/{each.name}: {why}" for each in changes for why in each.breaking]
    if found and not allowed:
        shown = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
        raise BadRequest(f"the release breaks callers: {shown}", "if they are ready for it: --breaking")


async def describe_plan(app: Application, row: PlanRow) -> ReleasePlan:
    place, services = (row.tenant, row.project, row.environment), app.resources.services
    release = await services.releases.load(row.tenant, row.project, row.release)
    built = await release_changes.serving(app).application(row.tenant, row.project, row.release)
    live = await services.environments.find(place)
    now = "" if live is None else live.release
    return ReleasePlan(
        row=row,
        changes=await changes_between(app, row, release),
        missing=tuple(await missing_requirements(app, built, release.manifest.requires, row.tenant, row.project)),
        gates=await gates_of(app, place, row.release, row.base),
        approvals=tuple(await services.release_plans.approvals(row)),
        needed=app.settings.environments[row.environment].approve,
        stale=row.applied is None and (now != row.base or (live is not None and live.canary is not None)),
    )


async def plan_effects(app: Application, row: PlanRow) -> list[ReleaseEffect]:
    """None where nothing was live, or the same is. Raises as `describe_plan`."""
    if row.base in ("", row.release):
        return []
    serving, releases = release_changes.serving(app), app.resources.services.releases
    pair = ReleasePair(
        await serving.application(row.tenant, row.project, row.base),
        await serving.application(row.tenant, row.project, row.release),
        await releases.load(row.tenant, row.project, row.base),
        await releases.load(row.tenant, row.project, row.release),
    )
    return await measure_effects(app, (row.tenant, row.project, row.environment), pair)


async def changes_between(app: Application, row: PlanRow, release: Release) -> tuple[PlannedChange, ...]:
    if not row.base:
        return tuple(PlannedChange("+", kind, name) for kind, name, _ in release.manifest.each())
    return await _compared(app, await app.resources.services.releases.load(row.tenant, row.project, row.base), release)


async def _compared(app: Application, base: Release, release: Release) -> tuple[PlannedChange, ...]:
    return await app.resources.offload.in_thread(lambda: tuple(_changes(base, release)))


def _changes(base: Release, release: Release) -> Iterator[PlannedChange]:
    before, after = _contents(base), _contents(release)
    for each in changed_parts(base.manifest, release.manifest):
        key = each.kind, each.name
        old, new = before.get(key), after.get(key)
        broken = () if old is None else tuple(breaking_changes(each.kind, each.name, old, new))
        details: tuple[str, ...] = ()
        if old is not None and new is not None:
            details = tuple(changed_values(meaning(*key, old), meaning(*key, new)))
        yield PlannedChange(each.sign, each.kind, each.name, details=details, breaking=broken)


def _contents(release: Release) -> Mapping[tuple[PartKind, str], bytes]:
    return {(each.kind, each.name): each.content for each in release.parts}


async def _row(app: Application, principal: Principal, id: str) -> PlanRow:
    return await app.resources.services.release_plans.find(principal.tenant, principal.project, id)


def _stale(plan: ReleasePlan) -> Conflict:
    return Conflict(
        f"{plan.row.id} is stale: {plan.row.environment} has changed since it was made",
        f"make a new plan: sizewise release plan {plan.row.source or plan.row.release[:12]} {plan.row.environment}",
    )
