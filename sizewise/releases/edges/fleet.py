"""The fleet: each edge against the release that is live in its environment, those that need somebody first; moves none.

The edges of an environment are a group: they get what is live there.
"""

from __future__ import annotations

import asyncio
import time
from enum import IntEnum
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select, tuple_

from sizewise.auth.tables import KEYS
from sizewise.errors import BadRequest
from sizewise.releases.environments.environment_store import Place
from sizewise.releases.environments.tables import LIVE
from sizewise.storage.database import TransactionRunner
from sizewise.telemetry.edges.tables import EDGES

SILENT_MS = 120_000
"""Nothing was heard of it for longer than its pauses between two reports explain."""


class Standing(IntEnum):
    """Of an edge, in the order in which they are listed.

    failing: it says why it refused what is live, or took it back. lagging: it answers with something else, and has not
    said why. silent: it answers with what is live, and was not heard of. revoked: its key is not valid.
    """

    failing = 0
    lagging = 1
    silent = 2
    current = 3
    revoked = 4


class FleetEdge(Struct, frozen=True):
    """An edge as of its last report at `seen` (unix ms). `records`: how many it brought. `wanted`: what is live in its
    environment since `changed` (unix ms); None: what is published.
    """

    name: str
    kind: str
    project: str
    key: str
    release: str
    build: str
    version: str
    seen: int
    records: int
    waiting: int
    lost: int
    note: str
    environment: str
    wanted: str | None
    changed: int | None
    standing: Standing


REPORTED = FleetEdge.__struct_fields__[:12]


class EdgeFilter(Struct, frozen=True):
    """`project`: empty for all. `words`: a part of the name."""

    tenant: str
    project: str = ""
    environment: str = ""
    standing: Standing | None = None
    words: str = ""


class EdgePage(Struct, frozen=True):
    """`before`: where the next page goes on; None: there are no more."""

    rows: list[FleetEdge]
    before: str | None


class EdgeFleet:
    """`default`: the environment of keys that name none, of each call."""

    def __init__(self, read: TransactionRunner) -> None:
        self._read = read

    async def page(self, criteria: EdgeFilter, default: str, limit: int, before: str | None = None) -> EdgePage:
        """Raises BadRequest for a `before` that no page had, StorageError."""
        after = None if before is None else _read_position(before)
        return await asyncio.to_thread(self._read, lambda c: _page(c, criteria, _Query(default), limit, after))

    async def counts(self, place: Place, default: str) -> dict[Standing, int]:
        """Of the edges of an environment; those with none are left out."""
        return await asyncio.to_thread(self._read, lambda c: _counts(c, place, _Query(default)))


class _Query:
    """Edges, joined with what is live in their environments and with their keys."""

    def __init__(self, default: str) -> None:
        now = time.time_ns() // 1_000_000
        its = EDGES.c
        self.environment = case((its.environment == "", default), else_=its.environment)
        is_about_live = or_(its.offered == "", and_(its.offered == LIVE.c.release, its.offered_since == LIVE.c.changed))
        is_other = or_(LIVE.c.release.is_(None), its.release != LIVE.c.release)
        gone = or_(KEYS.c.revoked.is_not(None), and_(KEYS.c.expires.is_not(None), KEYS.c.expires <= now))
        self.standing = case(
            (gone, Standing.revoked.value),
            (and_(its.note != "", is_about_live, is_other), Standing.failing.value),
            (and_(LIVE.c.release.is_not(None), its.release != LIVE.c.release), Standing.lagging.value),
            (its.seen < now - SILENT_MS, Standing.silent.value),
            else_=Standing.current.value,
        )

    def select(self, *columns: Any) -> Select[Any]:
        its, live = EDGES.c, LIVE.c
        same = and_(live.tenant == its.tenant, live.project == its.project, live.environment == self.environment)
        joined = EDGES.outerjoin(LIVE, same).outerjoin(KEYS, KEYS.c.id == its.key)
        return select(*columns).select_from(joined)

    def matches(self, criteria: EdgeFilter) -> ColumnElement[bool]:
        found = [EDGES.c.tenant == criteria.tenant]
        if criteria.project:
            found.append(EDGES.c.project == criteria.project)
        if criteria.environment:
            found.append(self.environment == criteria.environment)
        if criteria.standing is not None:
            found.append(self.standing == criteria.standing.value)
        if criteria.words:
            found.append(func.lower(EDGES.c.name).contains(criteria.words.lower(), autoescape=True))
        return and_(*found)


def _page(
    connection: Connection, criteria: EdgeFilter, query: _Query, limit: int, after: tuple[int, str] | None
) -> EdgePage:
    shown = [EDGES.c[name] for name in REPORTED]
    found = query.select(query.standing, query.environment, LIVE.c.release, LIVE.c.changed, *shown)
    found = found.where(query.matches(criteria)).order_by(query.standing, EDGES.c.name).limit(limit + 1)
    if after is not None:
        found = found.where(tuple_(query.standing, EDGES.c.name) > tuple_(*after))
    rows = [_edge(*row) for row in connection.execute(found)]
    more = len(rows) > limit
    return EdgePage(rows[:limit], f"{rows[limit - 1].standing.value} {rows[limit - 1].name}" if more else None)


def _edge(standing: int, environment: str, wanted: str | None, changed: int | None, *reported: Any) -> FleetEdge:
    its = dict(zip(REPORTED, reported, strict=True))
    return FleetEdge(standing=Standing(standing), environment=environment, wanted=wanted, changed=changed, **its)


def _counts(connection: Connection, place: Place, query: _Query) -> dict[Standing, int]:
    tenant, project, environment = place
    numbered = query.select(query.standing.label("standing"))
    numbered = numbered.where(query.matches(EdgeFilter(tenant, project, environment)))
    each = numbered.subquery().c.standing
    return {Standing(rank): count for rank, count in connection.execute(select(each, func.count()).group_by(each))}


def _read_position(text: str) -> tuple[int, str]:
    rank, _, name = text.partition(" ")
    if not name or not rank.isdecimal() or len(rank) > 1:
        raise BadRequest(
            f"`before` is {text[:50]!r}, which no page had", "leave it out for the first page", param="before"
        )
    return int(rank), name
