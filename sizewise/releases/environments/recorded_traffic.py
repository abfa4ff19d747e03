"""Recorded traffic of an environment: how many tokens each policy, model and prompt took lately; knows no price."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, func, or_, select

from sizewise.telemetry.tables import RECORDS

MAX_RECORDS = 200_000
"""The newest ones that are read."""


class TrafficSum(Struct, frozen=True):
    """Requests that were answered alike. `prompt`: ID@VERSION, or empty; tokens as in `Price.cost`."""

    policy: str
    model: str
    prompt: str
    requests: int
    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int


def read_traffic(connection: Connection, place: tuple[str, str, str], is_default: bool, since: int) -> list[TrafficSum]:
    """Of answered chats. `is_default`: records from before there were environments count too. `since`: unix ms."""
    its = RECORDS.c
    here = its.environment == place[2]
    mine = (its.tenant == place[0]) & (its.project == place[1]) & (its.at >= since) & (its.status < 400)
    mine &= or_(here, its.environment.is_(None)) if is_default else here
    newest = select(RECORDS).where(mine).order_by(its.id.desc()).limit(MAX_RECORDS).subquery().c
    keys = newest.policy, newest.model, func.coalesce(newest.prompt, "").label("prompt")
    tokens = ("input", "output", "cached", "cache_write", "reasoning")
    sums = (func.count(), *(func.sum(newest[name]) for name in tokens))
    rows = connection.execute(select(*keys, *sums).group_by(*keys))
    return [TrafficSum(*row[:3], *map(int, row[3:])) for row in rows if row.model]
