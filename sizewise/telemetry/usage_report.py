"""Usage over a time, by model, key, end user and others: from roll-ups, and from records that are in none; exact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from sizewise.telemetry.tables import split_tags
from sizewise.telemetry.usage_query import DAY_HOURS, HOUR_MS, Part, UsageQuery, of_records, of_rollup
from sizewise.telemetry.usage_ranking import by_session
from sizewise.telemetry.usage_sums import NOTHING, Sums, add_sums, by_cost, uncounted_hours
from sizewise.telemetry.usage_tables import DAILY, HOURLY


@dataclass(frozen=True, slots=True)
class UsageRow:
    """`key`: values of `UsageQuery.by`; None: all series without a row of their own. `at`: unix ms."""

    key: tuple[str, ...] | None
    at: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class UsageReport:
    """`total` counts each request once: one with two tags is in the rows of both. `folded`: of series without a row of
    their own, which a filter cannot tell apart and `total` then leaves out; `folded_series`: how many, about.
    """

    rows: list[UsageRow]
    total: Sums
    folded: Sums
    folded_series: int


def read_usage(connection: Connection, query: UsageQuery) -> UsageReport:
    """Of one snapshot of the database."""
    collected = _Collected(query)
    for bucket, values, folded, sums in _read(connection, query):
        collected.add(bucket, values, folded, sums)
    return collected.report()


def read_usages(connection: Connection, queries: Sequence[UsageQuery]) -> list[UsageReport]:
    """Of one snapshot of the database."""
    return [read_usage(connection, each) for each in queries]


def _read(connection: Connection, query: UsageQuery) -> Iterator[Part]:
    rollup = query.rollup
    if rollup is None:
        if query.by == ("session",) and query.filters.keys() <= {"project"}:
            yield from by_session(connection, query)
        else:
            yield from of_records(connection, query, 1, [(query.since, query.until)])
        return
    first, last = query.since // rollup.hours, -(-query.until // rollup.hours)
    where = f"""period >= :first AND period < :last AND (NOT counted OR period IN
        (SELECT period FROM usage_periods WHERE rollup = '{rollup.table.name}' AND records IS NOT NULL))"""
    yield from of_rollup(connection, query, rollup, where, {"first": first, "last": last})
    if rollup is HOURLY:
        days = {"first": query.since // DAY_HOURS, "last": -(-query.until // DAY_HOURS)}
        yield from of_rollup(connection, query, DAILY, "period >= :first AND period < :last", days)
    yield from of_records(connection, query, rollup.hours, uncounted_hours(connection, rollup, first, last))


class _Collected:
    def __init__(self, query: UsageQuery) -> None:
        self._query = query
        self._rows: dict[tuple[str, ...], dict[int, Sums]] = defaultdict(dict)
        self._others: dict[int, Sums] = {}
        self._total, self._folded, self._count = NOTHING, NOTHING, 0
        self._keeps_folded = query.keys <= {"project"}

    def add(self, bucket: int, values: tuple[Any, ...], folded: int | None, sums: Sums) -> None:
        if folded is not None and not self._keeps_folded:
            self._fold(bucket, folded, sums)
            if self._query.filters.keys() <= {"project"}:
                self._total = add_sums(self._total, sums)
            return
        self._total = add_sums(self._total, sums)
        for key in self._keys(values):
            self._rows[key][bucket] = add_sums(self._rows[key].get(bucket, NOTHING), sums)

    def report(self) -> UsageReport:
        query = self._query
        totals = {key: _total(rows.values()) for key, rows in self._rows.items()}
        ranked = [names for names, _ in by_cost(totals)]
        for key in ranked[query.limit :]:
            for bucket, sums in self._rows[key].items():
                self._fold(bucket, 0, sums)
            self._count += 1
        rows = [
            UsageRow(key, bucket * HOUR_MS, sums)
            for key in ranked[: query.limit]
            for bucket, sums in sorted(self._rows[key].items())
        ]
        rows += [UsageRow(None, bucket * HOUR_MS, sums) for bucket, sums in sorted(self._others.items())]
        return UsageReport(rows, self._total, self._folded, self._count)

    def _fold(self, bucket: int, folded: int, sums: Sums) -> None:
        self._others[bucket] = add_sums(self._others.get(bucket, NOTHING), sums)
        self._folded = add_sums(self._folded, sums)
        self._count += folded

    def _keys(self, values: tuple[Any, ...]) -> list[tuple[str, ...]]:
        """A request with several tags has a row for each."""
        found: list[tuple[str, ...]] = [()]
        for name, value in zip(self._query.by, values, strict=True):
            if name == "tag":
                each = split_tags(value) or [""]
                wanted = self._query.filters.get("tag")
                options = [tag for tag in each if wanted in (None, tag)]
            else:
                options = [self._query.users.get(value, "") if name == "user" else str(value)]
            found = [(*key, option) for key in found for option in options]
        return found


def _total(rows: Iterable[Sums]) -> Sums:
    total = NOTHING
    for sums in rows:
        total = add_sums(total, sums)
    return total
