"""Sums that a question about usage adds up: read from one roll-up, or from the records of some hours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import Connection

from sizewise.telemetry.tables import join_tags
from sizewise.telemetry.usage_sums import ADDED, HOUR_IDS, Parameters, Sums, run, split_rows, usage_rows
from sizewise.telemetry.usage_tables import END_USERS, HOURLY, Rollup

UsageKey = Literal[
    "project",
    "endpoint",
    "flow",
    "node",
    "policy",
    "model",
    "key",
    "user",
    "session",
    "release",
    "end_user",
    "tag",
    "status",
]
USAGE_KEYS: tuple[UsageKey, ...] = get_args(UsageKey)
COLUMNS: Mapping[str, str] = {"tag": "tags", "user": "key"}
"""The column of a key, where it is not of the same name."""
END_USER_KEYS = frozenset({"end_user", "project", "flow"})
"""What end users are rolled up by."""
OF_RECORDS = frozenset({"session", "release"})
"""What no roll-up has, as it is unbounded."""
HOUR_MS, DAY_HOURS = 3_600_000, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """`since`, `until`, `step`: hours since 1970, and of one row; 0: one row for all. `step` of 24 or more: whole days.

    `filters`: a value, or several, of each key. `users`: of each API key, its user's id. `limit`: keys with rows of
    their own, the dearest.
    """

    tenant: str
    since: int
    until: int
    step: int = 0
    by: tuple[UsageKey, ...] = ()
    filters: Mapping[UsageKey, str | int] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    limit: int = 100

    @property
    def keys(self) -> frozenset[str]:
        return frozenset((*self.by, *self.filters))

    @property
    def rollup(self) -> Rollup | None:
        """None: only records have what is asked."""
        if self.keys & OF_RECORDS:
            return None
        return END_USERS if "end_user" in self.keys else HOURLY


Part = tuple[int, tuple[Any, ...], int | None, Sums]
"""Start of the row in hours, values of the columns, how many series are folded in it, and sums. None: it is one series;
0: of folded ones that are counted in another part.
"""


def of_rollup(
    connection: Connection, query: UsageQuery, rollup: Rollup, where: str, range: Parameters
) -> Iterator[Part]:
    conditions, parameters = _conditions(query)
    by = ["(folded > 0)", _start(rollup.hours, query.step), *(COLUMNS.get(each, each) for each in query.by)]
    parts = ["tenant = :tenant", where]
    if "project" in query.filters:  # which folded rows have
        parts.append(conditions.pop("project"))
    if conditions:
        parts.append(f"(folded > 0 OR ({' AND '.join(conditions.values())}))")
    sql = f"""SELECT sum(folded) AS folded, {", ".join(by)}, {ADDED} FROM {rollup.table.name}
        WHERE {" AND ".join(parts)} GROUP BY {", ".join(by)}"""
    for names, sums in split_rows(run(connection, sql, {**parameters, **range}), len(by) + 1):
        yield names[2], names[3:], int(names[0]) or None, sums


def of_records(
    connection: Connection,
    query: UsageQuery,
    hours: int,
    gaps: Sequence[tuple[int, int]],
    only: str = "",
    sessions: Sequence[str] = (),
) -> Iterator[Part]:
    """`only`: more SQL of the records, as `r`. `sessions`: of these alone, if there are any."""
    if not gaps:
        return
    id = "+r.id" if sessions and connection.dialect.name == "sqlite" else "r.id"  # which else goes by time
    ranges = " OR ".join(f"{id} >= :since{number} AND {id} < :until{number}" for number in range(len(gaps)))
    times = {f"since{number}": since * HOUR_IDS for number, (since, _) in enumerate(gaps)}
    times |= {f"until{number}": until * HOUR_IDS for number, (_, until) in enumerate(gaps)}
    where = f"r.tenant = :tenant AND ({ranges}) {only}"
    if query.filters.get("session"):
        where += " AND r.session = :session"
    if sessions:
        where += " AND r.session IN :sessions"
    conditions, parameters = _conditions(query)
    by = [_start(hours, query.step), *(COLUMNS.get(each, each) for each in query.by)]
    sql = f"""SELECT {", ".join(by)}, {ADDED} FROM ({usage_rows(where, hours)}) AS usage_rows
        WHERE {" AND ".join(conditions.values()) or "1 = 1"} GROUP BY {", ".join(by)}"""
    given: Parameters = {**parameters, **times, **({"sessions": list(sessions)} if sessions else {})}
    for names, sums in split_rows(run(connection, sql, given), len(by)):
        yield names[0], names[1:], None, sums


def _start(hours: int, step: int) -> str:
    """SQL of the hour in which the row begins."""
    return f"period * {hours} / {step} * {step}" if step else "period * 0"


def _conditions(query: UsageQuery) -> tuple[dict[str, str], dict[str, int | str | list[str]]]:
    """SQL of each filter, and the parameters."""
    found: dict[str, str] = {}
    parameters: dict[str, int | str | list[str]] = {"tenant": query.tenant}
    for key, value in query.filters.items():
        parameters[key], found[key] = value, f"{key} = :{key}"
        if key == "tag":
            parameters[key] = f"%{_escaped(join_tags((str(value),)))}%"
            found[key] = "tags LIKE :tag ESCAPE '/'" if value else "tags = ''"
        if key == "user":
            parameters[key] = [each for each, user in query.users.items() if value in ("", user)]
            found[key] = "key IN :user" if value else "key NOT IN :user"
    return found, parameters


def _escaped(text: str) -> str:
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")
