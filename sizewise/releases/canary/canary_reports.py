"""Canary report: a canary with its ticks, failures and servers, read in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection

from sizewise.releases.canary import tables
from sizewise.releases.canary.tables import Canary, CanaryServer, CanaryTick, FailedUnit
from sizewise.releases.canary.unit_queries import failed_units
from sizewise.releases.environments.tables import LiveRelease, ReleaseMove, find_live, list_moves

MAX_FAILURES = 10


class CanaryReport(Struct, frozen=True):
    """`live`: None: the environment has no release any more. `moved`: the last change of the environment."""

    canary: Canary
    live: LiveRelease | None
    moved: ReleaseMove | None
    ticks: Sequence[CanaryTick]
    failures: Sequence[FailedUnit]
    servers: Sequence[CanaryServer]

    @property
    def share(self) -> float:
        """0 where it has ended."""
        live = self.live
        return live.share if live is not None and live.canary == self.canary.release else 0.0


def read_report(connection: Connection, place: tuple[str, str, str], ticks: int, now: int) -> CanaryReport | None:
    """Of the newest canary of an environment; None: it has had none. `now`: unix ms."""
    canary, live = tables.find_canary(connection, place), find_live(connection, place)
    if canary is None:
        return None
    return CanaryReport(
        canary=tables.as_it_is(connection, canary, live, now),
        live=live,
        moved=next(iter(list_moves(connection, place, 1)), None),
        ticks=tables.list_ticks(connection, canary.number, ticks),
        failures=failed_units(connection, canary.number, MAX_FAILURES),
        servers=tables.live_servers(connection, now),
    )
