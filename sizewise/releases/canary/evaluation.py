"""Evaluation of a canary: records since the last look become units in order of entry, and units become evidence.

It is one transaction, so it goes on exactly where it was after a crash.

A unit is observed twice: its first request once every request that arrived before it has ended (30 s at most), and the
mean over its first 10 minutes. Order of entry keeps the bets fair: in the order of their ends, the units of a slow
canary would come last.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from sqlalchemy import Connection

from sizewise.releases.canary import tables, unit_queries
from sizewise.releases.canary.guards import (
    COST_QUANTILE,
    SLOW_QUANTILE,
    Clock,
    Losses,
    Metric,
    observe_pair,
    observe_unit,
    quantile,
)
from sizewise.releases.canary.sample_ratio import count_unit
from sizewise.releases.canary.tables import (
    ENTERED,
    FIRST_KNOWN,
    NOT_COUNTED,
    WHOLE_KNOWN,
    Canary,
    CanaryProgress,
    ShareChange,
)
from sizewise.releases.canary.unit_queries import CanaryUnit, UnitRecord, first_id, time_of

SETTLE_MS = 1_000
"""Age from which records are read: rows of all processes are durable by then, in the order of their ids."""
OPEN_MS = 30_000
"""A first request that is open for longer is not waited for."""
SESSION_MS = 600_000
CHANGE_MS = 2_000
"""Units that enter so soon after a change of the share are not counted: servers learn of it one after the other."""
MIN_BASELINE, MAX_BASELINE = 100, 1_000
"""Requests of stable that its quantiles are of."""
BATCH = 2_000
"""Records, and units of each clock, of one look."""
MAX_LOOKS = 8


def observe_new(connection: Connection, canary: Canary, now: int) -> Canary:
    """With all that is known at `now` (unix ms), up to BATCH of each."""
    canary = _with_thresholds(connection, canary, now)
    canary = _with_pairs(connection, canary, now)
    if canary.state == tables.SHADOW:
        return _with_progress(canary, read_until=first_id(now - SETTLE_MS) - 1)
    known_until = now - SETTLE_MS
    records = unit_queries.next_records(connection, canary, first_id(known_until) - 1, BATCH)
    is_behind = len(records) == BATCH
    read_until = records[-1].id if is_behind else first_id(known_until) - 1
    _enter(connection, canary, records)
    if is_behind:
        known_until = min(known_until, time_of(read_until) - OPEN_MS)
    canary, horizon = _horizon(connection, _with_progress(canary, read_until=read_until), known_until, now)
    canary = _settle(connection, canary, "first", horizon)
    return _settle(connection, canary, "session", min(horizon, known_until - SESSION_MS))


def _with_progress(canary: Canary, **changes: object) -> Canary:
    return replace(canary, progress=replace(canary.progress, **changes))


def _with_thresholds(connection: Connection, canary: Canary, now: int) -> Canary:
    """Quantiles of stable before what is observed, so that they cannot depend on it; kept once known."""
    if canary.progress.thresholds_at:
        return canary
    found = unit_queries.baseline(connection, canary, first_id(now - SETTLE_MS) - 1, MAX_BASELINE)
    if len(found) < MIN_BASELINE:
        return canary
    costs = [float(cost) for _, cost in found if cost is not None]
    slow_ms = quantile([each for each, _ in found], SLOW_QUANTILE) or 0.0
    cost_cap = round(quantile(costs, COST_QUANTILE) or 0)
    if not cost_cap:  # stable costs nothing: there is no ratio
        canary = _with_progress(canary, guards=canary.progress.guards.without("cost"))
    return _with_progress(canary, slow_ms=slow_ms, cost_cap=cost_cap, thresholds_at=now)


# ---- pairs


def _with_pairs(connection: Connection, canary: Canary, now: int) -> Canary:
    for pair in tables.next_pairs(connection, canary, first_id(now - SETTLE_MS) - 1, BATCH):
        progress = canary.progress
        if progress.guards.rollback().value >= canary.needed:
            break
        guards = observe_pair(
            progress.guards,
            _pair_losses(progress, pair.stable_error, pair.stable_ms, pair.stable_cost),
            _pair_losses(progress, pair.canary_error, pair.canary_ms, pair.canary_cost),
            pair.worse,
        )
        canary = _with_progress(canary, guards=guards, pairs=progress.pairs + 1, pairs_until=pair.number)
    return canary


def _pair_losses(progress: CanaryProgress, error: float, ms: float, cost: int | None) -> Losses:
    losses: dict[Metric, float] = {"error": error}
    if progress.thresholds_at:
        losses["slow"] = float(ms > progress.slow_ms)
        if cost is not None and progress.cost_cap:
            losses["cost"] = min(1.0, cost / progress.cost_cap)
    return losses


# ---- units


def _enter(connection: Connection, canary: Canary, records: Sequence[UnitRecord]) -> None:
    """Adds records to their units. New units of sessions that began before the canary, or unsplit, are not counted."""
    if not records:
        return
    known = unit_queries.load_units(connection, canary.number, (each.unit for each in records))
    began = canary.progress.shares[0].at
    before = unit_queries.sessions_not_split(
        connection, canary, (each.session for each in records if each.unit not in known), began
    )
    new: dict[str, CanaryUnit] = {}
    changed: dict[str, CanaryUnit] = {}
    for record in records:
        unit = known.get(record.unit) or new.get(record.unit)
        if unit is None:
            unit = new[record.unit] = _unit_of(canary, record, is_old=record.session in before)
        elif record.unit in known:
            changed[record.unit] = unit
        _add(canary.progress, unit, record)
    unit_queries.save_units(connection, canary, list(new.values()), list(changed.values()))


def _unit_of(canary: Canary, record: UnitRecord, *, is_old: bool) -> CanaryUnit:
    share = _share_at(canary.progress.shares, record.at)
    return CanaryUnit(
        unit=record.unit,
        entered=record.at,
        stage=NOT_COUNTED if is_old or share is None else ENTERED,
        arm=record.arm,
        share=share or 0.0,
        trace=record.trace,
        first_error=record.error,
        first_ms=record.total_ms,
        first_cost=record.cost,
    )


def _share_at(shares: Sequence[ShareChange], at: int) -> float | None:
    """None before the first, and soon after a change."""
    found = next((each for each in reversed(shares) if each.at <= at), None)
    return None if found is None or at < found.at + CHANGE_MS else found.share


def _add(progress: CanaryProgress, unit: CanaryUnit, record: UnitRecord) -> None:
    if record.arm != unit.arm or unit.stage == WHOLE_KNOWN or record.at > unit.entered + SESSION_MS:
        return
    if unit.stage == ENTERED and record.at < unit.entered:
        unit.entered, unit.trace = record.at, record.trace
        unit.first_error, unit.first_ms, unit.first_cost = record.error, record.total_ms, record.cost
    unit.requests += 1
    unit.errors += record.error
    unit.slow += record.total_ms > progress.slow_ms
    if record.cost is not None and progress.cost_cap:
        unit.priced += 1
        unit.cost += min(1.0, record.cost / progress.cost_cap)


def _horizon(connection: Connection, canary: Canary, known_until: int, now: int) -> tuple[Canary, int]:
    """Unix ms: every request that arrived before has ended and was read, or is open for OPEN_MS. With the look of now.

    A look tells which requests had ended by then, so it holds once all that ended by then is read.
    """
    servers = tables.live_servers(connection, now)
    looks = canary.progress.looks
    if servers:
        look = min(min(each.at for each in servers), now), min(each.open_since for each in servers)
        looks = (*looks, look)[-MAX_LOOKS:]
        seen = [since for at, since in looks if at <= known_until]
        horizon = max([*seen, known_until - OPEN_MS])
    else:
        horizon = known_until
    return _with_progress(canary, looks=looks), min(horizon, known_until)


def _settle(connection: Connection, canary: Canary, clock: Clock, horizon: int) -> Canary:
    """Observes the units that entered before `horizon` (unix ms), in order of entry."""
    is_first = clock == "first"
    stage = ENTERED if is_first else FIRST_KNOWN
    units = unit_queries.units_at_stage(connection, canary.number, stage, horizon, BATCH)
    progress = canary.progress
    guards, ratio = progress.guards, progress.ratio
    canaries = 0
    for place, unit in enumerate(units):
        if guards.rollback().value >= canary.needed:  # found already: as if it were looked at after each unit
            units = units[:place]
            break
        is_canary = unit.arm == "canary"
        canaries += is_canary
        losses = _first_losses(progress, unit) if is_first else _session_losses(progress, unit)
        guards = observe_unit(guards, clock, losses, is_canary=is_canary, share=unit.share)
        if is_first:
            ratio = count_unit(ratio, is_canary=is_canary, share=unit.share)
    unit_queries.set_stage(connection, canary.number, units, FIRST_KNOWN if is_first else WHOLE_KNOWN)
    progress = replace(progress, guards=guards, ratio=ratio)
    if is_first:
        progress = replace(
            progress,
            canary_units=progress.canary_units + canaries,
            step_units=progress.step_units + canaries,
            stable_units=progress.stable_units + len(units) - canaries,
        )
    return replace(canary, progress=progress)


def _first_losses(progress: CanaryProgress, unit: CanaryUnit) -> Losses:
    losses: dict[Metric, float] = {"error": unit.first_error}
    if _has_thresholds(progress, unit):
        losses["slow"] = float(unit.first_ms > progress.slow_ms)
        if unit.first_cost is not None and progress.cost_cap:
            losses["cost"] = min(1.0, unit.first_cost / progress.cost_cap)
    return losses


def _session_losses(progress: CanaryProgress, unit: CanaryUnit) -> Losses:
    losses: dict[Metric, float] = {"error": unit.errors / unit.requests}
    if _has_thresholds(progress, unit):
        losses["slow"] = unit.slow / unit.requests
        if unit.priced:
            losses["cost"] = unit.cost / unit.priced
    return losses


def _has_thresholds(progress: CanaryProgress, unit: CanaryUnit) -> bool:
    return 0 < progress.thresholds_at <= unit.entered
