"""Usage as sums over records and their attempts, and the arithmetic of such sums; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, select, text

from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.tables import PENDING_STATUS, RECORDS
from sizewise.telemetry.usage_tables import (
    COST,
    HOURLY,
    LATENCIES,
    LATENCY_BUCKETS,
    PERIODS,
    REQUESTS,
    SUMS,
    TOKENS,
    Rollup,
)

HOUR_IDS = 3_600_000_000 << PROCESS_BITS
"""Ids of records in an hour: they are in the order of time."""
ERROR_STATUS = 400
MAX_RANGES = 100
"""Of hours in one query: SQLite takes no condition of a thousand."""
Sums = tuple[int, ...]
"""In the order of SUMS."""
Names = tuple[Any, ...]
"""Values of `Rollup.names`."""
Rows = Iterable[Sequence[Any]]
Parameters = Mapping[str, int | str | list[int] | list[str]]
NOTHING: tuple[int, ...] = (0,) * len(SUMS)


def add_sums(one: Sums, other: Sums) -> Sums:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def usage_rows(where: str, hours: int) -> str:
    """SQL of one row for each request, with its model, and one for each attempt that is stored apart, with its own: so
    that a request counts once and costs count where they arose. `where`: of records, as `r`. `hours`: length of a
    period.

    As text, since SQLAlchemy takes longer to build it than a database to add up a thousand rows.
    """
    labels = f"""r.tenant, r.project, r.door AS endpoint, coalesce(r.flow, '') AS flow, coalesce(r.node, '') AS node,
        r.policy, r.key, coalesce(r.tags, '') AS tags, r.status, coalesce(r.end_user, '') AS end_user,
        coalesce(r.session, '') AS session, coalesce(r.release, '') AS release, r.id / {HOUR_IDS * hours} AS period"""
    request = {
        "requests": "1",
        "errors": f"CASE WHEN r.status >= {ERROR_STATUS} THEN 1 ELSE 0 END",
        "degraded": "CASE WHEN r.degraded <> '' THEN 1 ELSE 0 END",
        "unpriced": "CASE WHEN r.cost IS NULL THEN 1 ELSE 0 END",
        "attempts": f"CASE WHEN {ALONE} THEN 1 ELSE 0 END",
        "estimated": f"CASE WHEN {ALONE} AND r.estimated THEN 1 ELSE 0 END",
        **{name: f"CASE WHEN {ALONE} THEN r.{name} ELSE 0 END" for name in TOKENS},
        "cost": f"CASE WHEN {ALONE} THEN coalesce(r.cost, 0) ELSE 0 END",
        **{name: f"CASE WHEN {_in_bucket(number)} THEN 1 ELSE 0 END" for number, name in enumerate(LATENCIES)},
    }
    attempt = {
        **dict.fromkeys(SUMS, "0"),
        "attempts": "1",
        "estimated": "CASE WHEN a.estimated THEN 1 ELSE 0 END",
        **{name: f"a.{name}" for name in TOKENS},
        "cost": "coalesce(a.cost, 0)",
    }
    ended = f"({where}) AND r.status <> {PENDING_STATUS}"
    return f"""SELECT {labels}, r.model AS model, {_named(request)} FROM records r WHERE {ended}
        UNION ALL SELECT {labels}, a.model AS model, {_named(attempt)}
        FROM records r JOIN attempts a ON a.record = r.id WHERE {ended}"""


ALONE = "r.only_place IS NOT NULL"
"""Its one attempt is stored in the record."""
ADDED = ", ".join(f"sum({name}) AS {name}" for name in SUMS)


def usage_series(
    connection: Connection, rollup: Rollup, where: str, parameters: Parameters
) -> Iterator[tuple[Names, Sums]]:
    """The series of records, dearest first. `where`: SQL of records, as `r`."""
    where = f"({where}) AND {rollup.only}" if rollup.only else where
    by = ", ".join(name for name in rollup.names if name != "folded")
    names = ", ".join("0 AS folded" if name == "folded" else name for name in rollup.names)
    query = f"""SELECT {names}, {ADDED} FROM ({usage_rows(where, rollup.hours)}) AS usage_rows
        GROUP BY {by} ORDER BY sum(cost) DESC, sum(requests) DESC"""
    yield from split_rows(run(connection, query, parameters), len(rollup.names))


def uncounted_hours(connection: Connection, rollup: Rollup, first: int, last: int) -> list[tuple[int, int]]:
    """The periods from `first` until `last` that are not counted, as ranges of hours, from the oldest record on."""
    oldest = connection.scalar(select(func.min(RECORDS.c.id)))
    if oldest is None:
        return []
    its, start = PERIODS.c, max(first, oldest // (HOUR_IDS * rollup.hours))
    counted = (its.rollup == rollup.table.name) & its.records.is_not(None)
    known = connection.scalars(select(its.period).where(counted, its.period >= start, its.period < last))
    gaps: list[tuple[int, int]] = []
    for period in [*sorted(known), last]:
        if period > start:
            gaps.append((start * rollup.hours, period * rollup.hours))
        start = period + 1
    return gaps


@dataclass(frozen=True, slots=True)
class CompleteHours:
    """`complete`: hours whose roll-ups have each record that is stored now. `others`: ranges of all other hours."""

    complete: list[int]
    others: list[tuple[int, int]]


def complete_hours(connection: Connection, since: int, until: int, rollup: Rollup) -> CompleteHours:
    """Of the hours in which records are stored: complete in HOURLY and in `rollup`, whose periods are hours too.

    Records are counted in the index by organization: in SQLite the table itself is many times as long.
    """
    oldest, newest = (connection.scalar(select(each(RECORDS.c.id))) for each in (func.min, func.max))
    if oldest is None or newest is None:
        return CompleteHours([], [])
    found = run(
        connection,
        f"""WITH RECURSIVE tenants (name) AS (SELECT min(tenant) FROM records UNION ALL
                SELECT (SELECT min(tenant) FROM records WHERE tenant > name) FROM tenants WHERE name IS NOT NULL)
            SELECT hours.period FROM usage_periods AS hours JOIN usage_periods AS others
            ON others.rollup = '{rollup.table.name}' AND others.period = hours.period AND others.records = hours.records
            WHERE hours.rollup = '{HOURLY.table.name}' AND hours.period >= :since AND hours.period < :until
            AND hours.records = (SELECT sum((SELECT count(*) FROM records WHERE tenant = name
                AND id >= hours.period * {HOUR_IDS} AND id < (hours.period + 1) * {HOUR_IDS})) FROM tenants)
            ORDER BY hours.period""",
        {"since": since, "until": until},
    )
    complete, others = [int(row[0]) for row in found], list[tuple[int, int]]()
    start, end = max(since, oldest // HOUR_IDS), min(until, newest // HOUR_IDS + 1)
    for period in [*complete, end]:
        if start < min(period, end):
            others.append((start, min(period, end)))
        start = max(start, period + 1)
    if len(others) > MAX_RANGES:
        return CompleteHours([], [(since, until)])
    return CompleteHours(complete, others)


def run(connection: Connection, query: str, parameters: Parameters) -> Rows:
    """A list is expanded, for IN."""
    several = [name for name, value in parameters.items() if isinstance(value, list)]
    lists: list[BindParameter[Any]] = [bindparam(name, expanding=True) for name in several]
    statement = text(query).bindparams(*lists).execution_options(yield_per=1_000)
    return connection.execute(statement, parameters)


def _named(values: Mapping[str, str]) -> str:
    return ", ".join(f"{values[name]} AS {name}" for name in SUMS)


def _in_bucket(number: int) -> str:
    least, most = f"r.total_ms >= {2 ** (number + 2)}", f"r.total_ms < {2 ** (number + 3)}"
    if number == 0:
        return most
    return least if number == LATENCY_BUCKETS - 1 else f"{least} AND {most}"


def split_rows(rows: Rows, names: int) -> Iterator[tuple[Names, Sums]]:
    """Sums are decimals on Postgres."""
    for row in rows:
        yield tuple(row[:names]), tuple(map(int, row[names:]))


@dataclass
class BoundedSeries:
    """The sums of a roll-up's series: of each period and project at most `max_series` by name, the others in one."""

    rollup: Rollup
    series: dict[Names, Sums] = field(default_factory=dict)
    _named: dict[Names, int] = field(default_factory=dict)  # how many, by organization, project and period
    _folded: dict[Names, Names] = field(default_factory=dict)  # the row of the others, by the same

    def add(self, names: Names, sums: Sums) -> None:
        """The dearest first."""
        where, folded = names[:3], names[3]
        if folded or (names not in self.series and self._named.get(where, 0) >= self.rollup.max_series):
            self._fold(names, sums)
            return
        if names not in self.series:
            self._named[where] = self._named.get(where, 0) + 1
        self.series[names] = add_sums(self.series.get(names, NOTHING), sums)

    def _fold(self, names: Names, sums: Sums) -> None:
        where, count = names[:3], names[3] or 1
        before = self._folded.get(where)
        if before is not None:
            count, sums = count + before[3], add_sums(sums, self.series.pop(before))
        blank = tuple(0 if name == "status" else "" for name in self.rollup.series)
        self._folded[where] = (*where, count, *blank)
        self.series[self._folded[where]] = sums


def about_percentile(sums: Sums, share: float) -> float | None:
    """Milliseconds below which `share` (0..1) of the requests took; None without requests. Interpolated in a bucket,
    so within a factor of two.
    """
    counts = sums[-LATENCY_BUCKETS:]
    total = sum(counts)
    if not total:
        return None
    wanted, seen = share * total, 0
    for number, count in enumerate(counts):
        if count and seen + count >= wanted:
            least = 0 if number == 0 else 2 ** (number + 2)
            return float(least + (2 ** (number + 3) - least) * (wanted - seen) / count)
        seen += count
    return float(2 ** (LATENCY_BUCKETS + 2))


def by_cost(series: Mapping[Names, Sums]) -> list[tuple[Names, Sums]]:
    """Dearest first."""
    return sorted(series.items(), key=lambda each: (-each[1][COST], -each[1][REQUESTS]))
