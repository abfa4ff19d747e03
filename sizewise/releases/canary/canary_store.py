"""Canary store: starts, pauses and ends canaries, each with the move of its environment in one transaction."""

from __future__ import annotations

import time
from dataclasses import replace as replace_settings

from msgspec.structs import replace
from sqlalchemy import Connection

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.errors import BadRequest
from sizewise.releases.canary import tables, unit_queries
from sizewise.releases.canary.decision import CanaryDecision
from sizewise.releases.canary.guards import GuardMargins, initial_state
from sizewise.releases.canary.tables import (
    OPEN_STATES,
    RUNNING,
    SHADOW,
    Canary,
    CanaryProgress,
    ShareChange,
    as_it_is,
)
from sizewise.releases.environments.tables import LiveRelease, find_live, move
from sizewise.settings.canary import OFF, CanaryMargins, CanarySettings

KEPT_FAILURES = 10
"""Failed units that are kept of a canary that has ended."""
SERVER = "sizewise"
"""Who moves an environment by evidence."""


def start_canary(
    connection: Connection,
    before: LiveRelease,
    release: str,
    settings: CanarySettings,
    event: AuditEvent,
    *,
    by: str = SERVER,
    reason: str = "",
    now: int = 0,
) -> bool:
    """False, and nothing is written, if the environment has moved since `before` was read. A canary that runs there is
    stopped. `now`: unix ms; 0: the present.
    """
    now = now or time.time_ns() // 1_000_000
    shadow = settings.shadow_pairs > 0
    share = 0.0 if shadow else settings.steps[0]
    after = replace(before, canary=release, share=share, ticked=now, changed=now, by=by)
    if not move(connection, before, after, "canary", reason, event):
        return False
    for other in tables.open_canaries(connection):
        if other.place == before.place:
            tables.save_canary(connection, _ended(connection, other, "stopped", "another release came", now))
    guards = initial_state(margins_of(settings.margins), shadow=shadow, judged=bool(settings.judge))
    tables.insert_canary(
        connection,
        Canary(
            number=0,
            tenant=before.tenant,
            project=before.project,
            environment=before.environment,
            release=release,
            stable=before.release,
            state=SHADOW if shadow else RUNNING,
            paused=False,
            step=0,
            step_since=now,
            started=now,
            ended=None,
            reason="",
            settings=replace_settings(settings),
            progress=CanaryProgress(
                guards,
                read_until=unit_queries.first_id(now),
                pairs_until=unit_queries.first_id(now),
                shares=() if shadow else (ShareChange(now, share),),
            ),
        ),
    )
    return True


def margins_of(settings: CanaryMargins) -> GuardMargins:
    found = {name: getattr(settings, name) for name in GuardMargins.__struct_fields__}
    return GuardMargins(**{name: None if margin >= OFF else margin for name, margin in found.items()})


def carry_out(connection: Connection, canary: Canary, live: LiveRelease, decision: CanaryDecision, now: int) -> Canary:
    """The canary after `decision`, which is not stored yet. `live` is read in the same transaction; `now`: unix ms."""
    if decision.action == "next_step":
        step = 0 if canary.state == SHADOW else canary.step + 1
        share = canary.settings.steps[step]
        _move(connection, live, replace(live, share=share, ticked=now, changed=now, by=SERVER), "step", decision.reason)
        progress = replace(
            canary.progress,
            step_units=0,
            shares=(*canary.progress.shares, ShareChange(now, share)),
            read_until=unit_queries.first_id(now) if canary.state == SHADOW else canary.progress.read_until,
        )
        return replace(canary, state=RUNNING, step=step, step_since=now, progress=progress)
    if decision.action == "promote":
        after = replace(live, release=canary.release, previous=live.release, canary=None, share=0.0)
        _move(connection, live, replace(after, changed=now, by=SERVER), "promote", decision.reason)
        return _ended(connection, canary, "promoted", decision.reason, now)
    if decision.action == "roll_back":
        after = replace(live, canary=None, share=0.0, changed=now, by=SERVER)
        _move(connection, live, after, "rollback", decision.reason)
        return _ended(connection, canary, "rolled_back", decision.reason, now)
    return canary


def _move(connection: Connection, before: LiveRelease, after: LiveRelease, action: str, reason: str) -> None:
    shown = {"release": after.release, "canary": after.canary or "", "share": after.share}
    event = AuditEvent(
        tenant=before.tenant,
        who=SERVER,
        action=f"release.{action}",
        thing=f"environment:{before.project}/{before.environment}",
        before={"release": before.release, "canary": before.canary or "", "share": before.share},
        after=shown | {"reason": reason},
    )
    moved = move(connection, before, after, action, reason, event)
    assert moved, "its row was read in this transaction"


def end_if_gone(connection: Connection, canary: Canary, live: LiveRelease | None, now: int) -> Canary:
    """A canary that is no longer in its environment has been ended by a person."""
    left = as_it_is(connection, canary, live, now)
    return left if left is canary else _ended(connection, canary, left.state, left.reason, now)


def _ended(connection: Connection, canary: Canary, state: str, reason: str, now: int) -> Canary:
    failed = unit_queries.failed_units(connection, canary.number, KEPT_FAILURES)
    unit_queries.forget_units(connection, canary.number, [each.trace for each in failed])
    return replace(canary, state=state, reason=reason, ended=now)


def set_paused(connection: Connection, place: tuple[str, str, str], paused: bool, event: AuditEvent) -> Canary:
    """Raises BadRequest if no canary runs there, or it is paused or not already."""
    canary, live = tables.find_canary(connection, place), find_live(connection, place)
    if canary is None or canary.state not in OPEN_STATES or live is None or live.canary != canary.release:
        raise BadRequest(f"no canary runs in {place[2]!r}", f"sizewise release status {place[2]}")
    if canary.paused == paused:
        said = "is paused already" if paused else "is not paused"
        raise BadRequest(f"the canary in {place[2]!r} {said}", f"sizewise release status {place[2]}")
    changed = replace(canary, paused=paused)
    tables.save_canary(connection, changed)
    audit.append_event(connection, event)
    return changed
