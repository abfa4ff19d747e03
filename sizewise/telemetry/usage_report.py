"""Usage over a time, by model, key, end user and others: from roll-ups, and from records that are in none; exact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from sqlalchemy import Connection

from sizewise.telemetry.tables import join_tags, split_tags
from sizewise.telemetry.usage_sums import (
    ADDED,
    HOUR_IDS,
    NOTHING,
    Parameters,
    Sums,
    add_sums,
    by_cost,
    complete_hours,
    run,
    split_rows,
    uncounted_hours,
    usage_rows,
)
from sizewise.telemetry.usage_tables import DAILY, END_USERS, HOURLY, Rollup

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


Part = tuple[int, tuple[Any, ...], int, Sums]
"""Start of the row in hours, values of the columns, how many series are folded, and sums."""


def _read(connection: Connection, query: UsageQuery) -> Iterator[Part]:
    rollup = query.rollup
    if rollup is None:
        if query.by == ("session",) and not query.filters:
            yield from _by_session(connection, query)
        else:
            yield from _of_records(connection, query, 1, [(query.since, query.until)])
        return
    first, last = query.since // rollup.hours, -(-query.until // rollup.hours)
    where = f"""period >= :first AND period < :last AND (NOT counted OR period IN
        (SELECT period FROM usage_periods WHERE rollup = '{rollup.table.name}' AND records IS NOT NULL))"""
    yield from _of_rollup(connection, query, rollup, where, {"first": first, "last": last})
    if rollup is HOURLY:
        days = {"first": query.since // DAY_HOURS, "last": -(-query.until // DAY_HOURS)}
        yield from _of_rollup(connection, query, DAILY, "period >= :first AND period < :last", days)
    yield from _of_records(connection, query, rollup.hours, uncounted_hours(connection, rollup, first, last))


def _by_session(connection: Connection, query: UsageQuery) -> Iterator[Part]:
    """Reads the records that have one; what the others sum up to is the difference to all stored records, which are in
    roll-ups but for the hours that are not counted, or where records came later.
    """
    plain: dict[int, Sums] = {}
    for start, values, folded, sums in _of_records(
        connection, query, 1, [(query.since, query.until)], "AND r.session >= ''"
    ):
        plain[start] = add_sums(plain.get(start, NOTHING), tuple(-each for each in sums))
        yield start, values, folded, sums
    whole, gaps = replace(query, by=()), complete_hours(connection, query.since, query.until)
    counted = "period >= :first AND period < :last AND counted AND period IN :complete"
    hours: Parameters = {"first": query.since, "last": query.until, "complete": gaps.complete}
    for start, _, _, sums in (
        *_of_rollup(connection, whole, HOURLY, counted, hours),
        *_of_records(connection, whole, 1, gaps.others),
    ):
        plain[start] = add_sums(plain.get(start, NOTHING), sums)
    for start, sums in plain.items():
        if any(sums):
            yield start, ("",), 0, sums


def _of_rollup(
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
        yield names[2], names[3:], int(names[0]), sums


def _of_records(
    connection: Connection, query: UsageQuery, hours: int, gaps: Sequence[tuple[int, int]], only: str = ""
) -> Iterator[Part]:
    if not gaps:
        return
    id = "+r.id" if only and connection.dialect.name == "sqlite" else "r.id"  # which else goes by time, not by `only`
    ranges = " OR ".join(f"{id} >= :since{number} AND {id} < :until{number}" for number in range(len(gaps)))
    times = {f"since{number}": since * HOUR_IDS for number, (since, _) in enumerate(gaps)}
    times |= {f"until{number}": until * HOUR_IDS for number, (_, until) in enumerate(gaps)}
    where = f"r.tenant = :tenant AND ({ranges}) {only}"
    if query.filters.get("session"):
        where += " AND r.session = :session"
    conditions, parameters = _conditions(query)
    by = [_start(hours, query.step), *(COLUMNS.get(each, each) for each in query.by)]
    sql = f"""SELECT {", ".join(by)}, {ADDED} FROM ({usage_rows(where, hours)}) AS usage_rows
        WHERE {" AND ".join(conditions.values()) or "1 = 1"} GROUP BY {", ".join(by)}"""
    for names, sums in split_rows(run(connection, sql, {**parameters, **times}), len(by)):
        yield names[0], names[1:], 0, sums


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


class _Collected:
    def __init__(self, query: UsageQuery) -> None:
        self._query = query
        self._rows: dict[tuple[str, ...], dict[int, Sums]] = defaultdict(dict)
        self._others: dict[int, Sums] = {}
        self._total, self._folded, self._count = NOTHING, NOTHING, 0
        self._keeps_folded = query.keys <= {"project"}

    def add(self, bucket: int, values: tuple[Any, ...], folded: int, sums: Sums) -> None:
        if folded and not self._keeps_folded:
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
