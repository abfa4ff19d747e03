"""Canary evaluator: each second, on the one server that leads, observes every canary and carries out what it decides.

Each look is one fenced transaction: evidence, decision and the move of the environment are written together or not at
all. A server that is killed loses nothing, and one that was paused while another took over writes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

import msgspec
from sqlalchemy import Connection

from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.releases.canary import tables
from sizewise.releases.canary.canary_store import carry_out, end_if_gone
from sizewise.releases.canary.canary_view import metric_views
from sizewise.releases.canary.decision import CanaryDecision, decide
from sizewise.releases.canary.evaluation import observe_new
from sizewise.releases.canary.tables import OPEN_STATES, Canary, CanaryTick
from sizewise.releases.environments.tables import find_live, tick
from sizewise.storage.database import AsyncTransactionRunner
from sizewise.storage.leader_lease import StaleLeader

log = logging.getLogger("sizewise.releases")

TICK_S = 1.0
MINUTE_MS = 60_000


class CanaryEvaluator:
    """One per server; outlives a reload."""

    def __init__(
        self, read: AsyncTransactionRunner, write: AsyncTransactionRunner, clock: Callable[[], float] = time.time
    ) -> None:
        """`write`: a transaction of the leader. `clock`: unix seconds."""
        self._read = read
        self._write = write
        self._clock = clock

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("canary", TICK_S, self.tick, at_once=True, leader_only=True)]

    async def tick(self) -> None:
        """Raises StorageError."""
        try:
            for canary in await self._read(tables.open_canaries):
                now = round(self._clock() * 1_000)
                decision = await self._write(partial(evaluate, place=canary.place, number=canary.number, now=now))
                if decision is not None and decision.action != "wait":
                    log.warning("canary %s in %s: %s", canary.release[:12], canary.environment, decision.action)
        except StaleLeader:
            return


def evaluate(connection: Connection, place: tuple[str, str, str], number: int, now: int) -> CanaryDecision | None:
    """One look at the newest canary of a place; None if it has ended. `now`: unix ms."""
    canary, live = tables.find_canary(connection, place), find_live(connection, place)
    if canary is None or canary.number != number or canary.state not in OPEN_STATES:
        return None
    left = end_if_gone(connection, canary, live, now)
    if left.state not in OPEN_STATES or live is None:
        tables.save_canary(connection, left)
        return None
    seen = observe_new(connection, canary, now)
    decision = decide(seen, now)
    tables.save_tick(connection, seen, _tick(seen, live.share, now))
    if decision.action == "wait":
        tick(connection, live, now)
        seen = msgspec.structs.replace(seen, reason=decision.reason)
    else:
        seen = carry_out(connection, seen, live, decision, now)
    tables.save_canary(connection, seen)
    return decision


def _tick(canary: Canary, share: float, now: int) -> CanaryTick:
    progress = canary.progress
    return CanaryTick(
        at=now - now % MINUTE_MS,
        share=share,
        canary_units=progress.canary_units,
        stable_units=progress.stable_units,
        pairs=progress.pairs,
        evidence=progress.guards.rollback().value,
        certified=progress.guards.certification(),
        metrics=msgspec.json.encode(list(metric_views(progress.guards, canary.settings.false_rollback))).decode(),
    )
