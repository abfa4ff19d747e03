"""Fields of canaries: their evidence, pausing and resuming them, and a stream of their changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from functools import partial

import msgspec

from sizewise.app.release_changes import place_of
from sizewise.app.shadow_flows import left_out
from sizewise.auth.api_keys import audit_event
from sizewise.errors import SizewiseError
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.releases.canary.canary_reports import CanaryReport, read_report
from sizewise.releases.canary.canary_store import set_paused
from sizewise.releases.canary.canary_view import (
    MetricView,
    evidence_line,
    forecast_days,
    limits,
    metric_views,
    sentence,
)
from sizewise.releases.canary.tables import SHADOW, Canary, CanaryTick
from sizewise.settings.canary import at_step

Place = tuple[str, str, str]
POLL_S = 1.0
"""Between two looks for a change."""


async def canary(context: RequestContext, environment: str, last: int = 60) -> FieldValues | None:
    """Raises BadRequest for an unknown environment."""
    context.charge_rows(last)
    return await _read(context, place_of(context.get_app(), context.principal, environment), last)


async def pause_release(context: RequestContext, environment: str) -> FieldValues:
    """Raises BadRequest unless a canary runs there."""
    return await _set_paused(context, environment, True)


async def resume_release(context: RequestContext, environment: str) -> FieldValues:
    """Raises BadRequest unless a canary is paused there."""
    return await _set_paused(context, environment, False)


async def canary_changed(context: RequestContext, environment: str) -> AsyncGenerator[FieldValues, None]:
    """The canary now, and each time that it has changed."""
    return _changes(context, place_of(context.get_app(), context.principal, environment))


async def _changes(context: RequestContext, place: Place) -> AsyncGenerator[FieldValues, None]:
    before: FieldValues | None = None
    is_first = True
    while True:
        now = await _read(context, place, 1)
        if is_first or now != before:
            yield {"canaryChanged": now}
        before, is_first = now, False
        await asyncio.sleep(POLL_S)


async def _set_paused(context: RequestContext, environment: str, paused: bool) -> FieldValues:
    place = place_of(context.get_app(), context.principal, environment)
    action = "release.pause" if paused else "release.resume"
    event = audit_event(context.principal, place[0], action, f"environment:{place[1]}/{place[2]}")
    await context.services.storage.writer.run_transaction(lambda c: set_paused(c, place, paused, event) and None)
    changed = await _read(context, place, 1)
    assert changed is not None  # `set_paused` has found it
    return changed


async def _read(context: RequestContext, place: Place, ticks: int) -> FieldValues | None:
    now = time.time_ns() // 1_000_000
    read = partial(read_report, place=place, ticks=max(1, ticks), now=now)
    found = await context.services.storage.database.read_in_thread(read)
    return None if found is None else _report(found, now, await _left_out(context, found.canary))


async def _left_out(context: RequestContext, canary: Canary) -> list[str]:
    environments = context.get_app().environments
    if environments is None or canary.state != SHADOW:
        return []
    try:
        return await left_out(environments, canary.place, canary.release)
    except SizewiseError:  # it cannot be built any more, which the environment's `problem` says
        return []


def _report(report: CanaryReport, now: int, unshadowed: list[str]) -> FieldValues:
    canary, progress, guards = report.canary, report.canary.progress, report.canary.progress.guards
    settings, share = canary.settings, report.share
    ticked = report.live.ticked if report.live is not None else 0
    cause = guards.rollback()
    return {
        "environment": canary.environment,
        "release": canary.release,
        "stable": canary.stable,
        "state": canary.state,
        "paused": canary.paused,
        "step": canary.step + 1,
        "steps": list(settings.steps),
        "share": share,
        "started": canary.started,
        "ended": canary.ended,
        "reason": canary.reason,
        "sentence": sentence(report, (now - ticked) / 1_000),
        "evidenceSentence": evidence_line(canary),
        "limits": [*limits(canary, share, now), *unshadowed],
        "units": {
            "canary": progress.canary_units,
            "stable": progress.stable_units,
            "step": progress.step_units,
            "needed": int(at_step(settings.units, canary.step)),
        },
        "pairs": {"seen": progress.pairs, "needed": settings.shadow_pairs},
        "evidence": {"value": cause.value, "needed": canary.needed, "metric": cause.metric, "clock": cause.clock},
        "certification": {
            "value": guards.certification(),
            "needed": canary.needed,
            "metric": guards.least_certified(),
            "forecastDays": forecast_days(canary, share, now),
        },
        "metrics": [_metric(each) for each in metric_views(guards, settings.false_rollback)],
        "failures": [{"trace": each.trace, "at": each.entered} for each in report.failures],
        "ticks": [_tick(each) for each in report.ticks],
        "lastTick": ticked or None,
        "servers": [
            {"name": each.server, "at": each.at, "confirmed": _confirms(each.serves, canary.environment, report)}
            for each in report.servers
        ],
    }


def _confirms(serves: str, environment: str, report: CanaryReport) -> bool:
    """Whether a server splits requests as the environment says."""
    known: dict[str, list[str | None]] = msgspec.json.decode(serves)
    live = report.live
    return live is not None and known.get(f"{live.tenant}/{live.project}/{environment}") == [live.release, live.canary]


def _metric(view: MetricView) -> FieldValues:
    return {name: getattr(view, name) for name in MetricView.__struct_fields__}


def _tick(tick: CanaryTick) -> FieldValues:
    return {
        "at": tick.at,
        "share": tick.share,
        "canaryUnits": tick.canary_units,
        "stableUnits": tick.stable_units,
        "pairs": tick.pairs,
        "evidence": tick.evidence,
        "certified": tick.certified,
        "metrics": [_metric(each) for each in msgspec.json.decode(tick.metrics, type=list[MetricView])],
    }
