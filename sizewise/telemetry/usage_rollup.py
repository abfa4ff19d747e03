"""Usage roll-ups: counts records by hour and day, keeps the sums of those that are deleted, and deletes old sums.

Each step is one transaction, so a crash leaves nothing half counted; and all of them may be repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby

from sqlalchemy import Connection, Table, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.settings.storage import RecordsSettings
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.telemetry.policy_usage import count_policy_hours, delete_old_policy_hours, store_policy_hours
from sizewise.telemetry.tables import RECORDS, delete_records, records_of_key
from sizewise.telemetry.usage_sums import (
    HOUR_IDS,
    NOTHING,
    BoundedSeries,
    Names,
    Sums,
    add_sums,
    by_cost,
    split_rows,
    usage_series,
)
from sizewise.telemetry.usage_tables import (
    COUNTED,
    DAILY,
    DAYS,
    END_USER_DAYS,
    HOURLY,
    HOURS,
    PERIODS,
    POLICY_HOURLY,
    SUMS,
    TENANT,
    Rollup,
)

INTERVAL_S = 60.0
SETTLE_S = 60.0
"""After a period's end until it is counted."""
RECHECKED = 3
"""Newest periods in which late records are looked for each time; and one older period in turn."""
MAX_PERIODS = 26_400
"""Hours, or days, back to which records are counted: three years. Older ones are read one by one."""
HOUR_S, DAY_S = 3_600, 86_400
PERIOD = 2
"""Position of the period in the names of a series."""
BATCH_ROWS = 2_000
IN_RANGE = "r.id >= :first AND r.id < :until"
CHUNK = 24
"""Periods that are counted together."""


def keep_usage(connection: Connection, ids: Sequence[int]) -> None:
    """Adds the usage of these records to the roll-ups. The caller deletes the records in the same transaction."""
    alive = select(RECORDS.c.id).where(RECORDS.c.id.in_(ids)).with_for_update()  # two servers may delete the same
    gone = list(connection.scalars(alive))
    if not gone:
        return
    for rollup in COUNTED:
        periods = sorted({id // (HOUR_IDS * rollup.hours) for id in gone})
        _begin_move(connection, rollup, periods)
        if rollup.kept:
            _merge(connection, rollup, periods, usage_series(connection, rollup, "r.id IN :ids", {"ids": gone}))


def keep_usage_between(connection: Connection, first: int, until: int) -> None:
    """As `keep_usage`, for all records with `first` <= id < `until`: whole days."""
    for rollup in COUNTED:
        size = HOUR_IDS * rollup.hours
        for period in list(_used_periods(connection, rollup, first // size, -(-until // size))):
            _begin_move(connection, rollup, [period])
            ids = {"first": period * size, "until": (period + 1) * size}
            if rollup.kept:
                _merge(connection, rollup, [period], usage_series(connection, rollup, IN_RANGE, ids))


def delete_key_records(connection: Connection, tenant: str, key: str) -> int:
    """Deletes some records of an API key (by id), and keeps their sums. Returns their number; 0: there were none."""
    ids = records_of_key(connection, tenant, key)
    keep_usage(connection, ids)
    delete_records(connection, ids)
    return len(ids)


def _begin_move(connection: Connection, rollup: Rollup, periods: Sequence[int]) -> None:
    """Locks the periods, and drops what is counted of them."""
    its = PERIODS.c
    mine = (its.rollup == rollup.table.name) & its.period.in_(periods)
    known = set(connection.scalars(select(its.period).where(mine).order_by(its.period).with_for_update()))
    connection.execute(update(PERIODS).where(mine).values(records=None, moves=its.moves + 1))
    for period in periods:
        if period not in known:
            row = {"tenant": TENANT, "rollup": rollup.table.name, "period": period, "records": None, "moves": 1}
            connection.execute(insert(PERIODS).values(row))
    connection.execute(delete(rollup.table).where(rollup.table.c.period.in_(periods), rollup.table.c.counted))


def _merge(
    connection: Connection, rollup: Rollup, periods: Sequence[int], series: Iterable[tuple[Names, Sums]]
) -> None:
    """Adds sums to those of deleted records."""
    mine = rollup.table.c.period.in_(periods) & ~rollup.table.c.counted
    merged: dict[Names, Sums] = {}
    for names, sums in chain(_stored(connection, rollup, mine), series):
        merged[names] = add_sums(merged.get(names, NOTHING), sums)
    bounded = BoundedSeries(rollup)
    for names, sums in by_cost(merged):
        bounded.add(names, sums)
    connection.execute(delete(rollup.table).where(mine))
    _insert(connection, rollup, bounded.series, counted=False)


def _stored(connection: Connection, rollup: Rollup, where: ColumnElement[bool]) -> list[tuple[Names, Sums]]:
    columns = [rollup.table.c[name] for name in (*rollup.names, *SUMS)]
    return list(split_rows(connection.execute(select(*columns).where(where)), len(rollup.names)))


def _insert(connection: Connection, rollup: Rollup, series: Mapping[Names, Sums], *, counted: bool) -> None:
    columns = (*rollup.names, *SUMS)
    rows = [{**dict(zip(columns, (*names, *sums), strict=True)), "counted": counted} for names, sums in series.items()]
    for at in range(0, len(rows), BATCH_ROWS):
        connection.execute(insert(rollup.table), rows[at : at + BATCH_ROWS])


@dataclass(frozen=True, slots=True)
class CountedPeriods:
    """The usage of the records of some periods as one snapshot. `records`: how many; `moves`: of PERIODS, then."""

    rollup: Rollup
    records: Mapping[int, int]
    moves: Mapping[int, int]
    series: BoundedSeries


def due_periods(connection: Connection, rollup: Rollup, now: float, turn: int) -> tuple[list[int], list[int]]:
    """Ended periods that have to be counted, and new ones without records. The first have new records, or late ones, as
    far as it looks: in the newest and in one more, by `turn`.
    """
    first = connection.scalar(select(func.min(RECORDS.c.id)))
    if first is None:
        return [], []
    end = int((now - SETTLE_S) // (HOUR_S * rollup.hours))
    start = max(first // (HOUR_IDS * rollup.hours), end - MAX_PERIODS)
    its = PERIODS.c
    mine = (its.rollup == rollup.table.name) & (its.period >= start) & its.records.is_not(None)
    known = {row.period: row.records for row in connection.execute(select(its.period, its.records).where(mine))}
    old = sorted(known)[:-RECHECKED]
    looked = sorted(known)[-RECHECKED:] + ([old[turn % len(old)]] if old else [])
    late = {each for each in looked if _count(connection, rollup, each) > known[each]}
    new = [each for each in range(start, end) if each not in known]
    used = set(_used_periods(connection, rollup, new[0], new[-1] + 1)) if new else set[int]()
    return [each for each in new if each in used] + sorted(late), [each for each in new if each not in used]


def _used_periods(connection: Connection, rollup: Rollup, start: int, end: int) -> Iterator[int]:
    """Those with records."""
    size = HOUR_IDS * rollup.hours
    while start < end:
        id = connection.scalar(select(func.min(RECORDS.c.id)).where(RECORDS.c.id >= start * size))
        if id is None or id // size >= end:
            return
        yield id // size
        start = id // size + 1


def store_empty(connection: Connection, rollup: Rollup, periods: Sequence[int]) -> None:
    """Periods without records count as counted: so what is not is few ranges. A late record is found as any."""
    its, name = PERIODS.c, rollup.table.name
    known = set(connection.scalars(select(its.period).where(its.rollup == name, its.period >= min(periods))))
    rows = [{"tenant": TENANT, "rollup": name, "period": each, "records": 0, "moves": 0} for each in periods]
    rows = [row for row in rows if row["period"] not in known]
    if rows:
        connection.execute(insert(PERIODS), rows)


def count_periods(connection: Connection, rollup: Rollup, periods: Sequence[int]) -> CountedPeriods:
    size, series = HOUR_IDS * rollup.hours, BoundedSeries(rollup)
    range = {"first": min(periods) * size, "until": (max(periods) + 1) * size}
    for names, sums in usage_series(connection, rollup, IN_RANGE, range):
        if names[PERIOD] in periods:
            series.add(names, sums)
    its, mine = PERIODS.c, _these_periods(rollup, periods)
    moves = {row.period: row.moves for row in connection.execute(select(its.period, its.moves).where(mine))}
    return CountedPeriods(rollup, {each: _count(connection, rollup, each) for each in periods}, moves, series)


def store_periods(connection: Connection, counted: CountedPeriods) -> None:
    """Not those of which records were deleted since: they have to be counted again."""
    rollup, its = counted.rollup, PERIODS.c
    mine = _these_periods(rollup, list(counted.records))
    locked = select(its.period, its.moves).where(mine).order_by(its.period).with_for_update()
    moves = {row.period: row.moves for row in connection.execute(locked)}
    valid = [each for each in counted.records if moves.get(each, 0) == counted.moves.get(each, 0)]
    for period in valid:
        records = {"records": counted.records[period]}
        if period in moves:
            connection.execute(update(PERIODS).where(_these_periods(rollup, [period])).values(records))
        else:
            row = {"tenant": TENANT, "rollup": rollup.table.name, "period": period, "moves": 0}
            connection.execute(insert(PERIODS).values(row | records))
    connection.execute(delete(rollup.table).where(rollup.table.c.period.in_(valid), rollup.table.c.counted))
    _insert(connection, rollup, {k: v for k, v in counted.series.series.items() if k[PERIOD] in valid}, counted=True)


def close_periods(connection: Connection, rollup: Rollup) -> None:
    """What was counted of periods without records is kept: an older Sizewise deletes records without keeping sums."""
    first = connection.scalar(select(func.min(RECORDS.c.id)))
    period = int(time.time() // (HOUR_S * rollup.hours)) if first is None else first // (HOUR_IDS * rollup.hours)
    its, known = rollup.table.c, PERIODS.c
    counted = _stored(connection, rollup, (its.period < period) & its.counted)
    if counted:
        connection.execute(delete(rollup.table).where(its.period < period, its.counted))
    if counted and rollup.kept:
        _merge(connection, rollup, sorted({names[PERIOD] for names, _ in counted}), counted)
    connection.execute(delete(PERIODS).where(known.rollup == rollup.table.name, known.period < period))


def hours_to_days(connection: Connection, before_day: int) -> bool:
    """Moves the hours of the oldest day before `before_day` into the sums of the day; False if there is none."""
    its = HOURS.c
    oldest = connection.scalar(select(func.min(its.period)).where(its.period < before_day * DAILY.hours, ~its.counted))
    if oldest is None:
        return False
    day = oldest // DAILY.hours
    mine = (its.period >= day * DAILY.hours) & (its.period < (day + 1) * DAILY.hours) & ~its.counted
    moved = [((*names[:PERIOD], day, *names[PERIOD + 1 :]), sums) for names, sums in _stored(connection, HOURLY, mine)]
    connection.execute(delete(HOURS).where(mine))
    _merge(connection, DAILY, [day], moved)
    return True


def delete_old_usage(connection: Connection, table: Table, before_day: int) -> None:
    """Of a table whose periods are days."""
    connection.execute(delete(table).where(table.c.period < before_day, ~table.c.counted))


def _count(connection: Connection, rollup: Rollup, period: int) -> int:
    id, size = RECORDS.c.id, HOUR_IDS * rollup.hours
    mine = (id >= period * size) & (id < (period + 1) * size)
    return connection.scalar(select(func.count()).select_from(RECORDS).where(mine)) or 0


def _these_periods(rollup: Rollup, periods: Sequence[int]) -> ColumnElement[bool]:
    return (PERIODS.c.rollup == rollup.table.name) & PERIODS.c.period.in_(periods)


def _chunks(periods: Sequence[int]) -> list[list[int]]:
    """Those of a day, or of some days, together."""
    return [list(chunk) for _, chunk in groupby(sorted(periods), lambda each: each // CHUNK)]


class UsageRollups:
    """One per database. `write`: a transaction of the leader."""

    def __init__(
        self,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        settings: RecordsSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._read = read
        self._write = write
        self._settings = settings
        self._clock = clock
        self._turn = 0

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("usage roll-ups", INTERVAL_S, self.roll_up, at_once=True, leader_only=True)]

    async def roll_up(self) -> None:
        """Counts what has ended, and deletes what is too old. Raises StorageError."""
        self._turn += 1
        for rollup in COUNTED:
            for periods in await self._due(rollup):
                counted = await asyncio.to_thread(self._read, partial(count_periods, rollup=rollup, periods=periods))
                await self._write(partial(store_periods, counted=counted))
            await self._write(partial(close_periods, rollup=rollup))
        for hours in await self._due(POLICY_HOURLY):
            answers = await asyncio.to_thread(self._read, partial(count_policy_hours, hours=hours))
            await self._write(partial(store_policy_hours, counted=answers))
        today = int(self._clock() // DAY_S)
        while await self._write(partial(hours_to_days, before_day=today - self._settings.hourly_usage_days)):
            pass
        for table, days in (
            (DAYS, self._settings.daily_usage_days),
            (END_USER_DAYS, self._settings.end_user_usage_days),
        ):
            await self._write(partial(delete_old_usage, table=table, before_day=today - days))
        before = (today - self._settings.daily_usage_days) * DAILY.hours
        await self._write(partial(delete_old_policy_hours, before=before))

    async def _due(self, rollup: Rollup) -> list[list[int]]:
        """The periods to count, some together."""
        due = partial(due_periods, rollup=rollup, now=self._clock(), turn=self._turn)
        used, empty = await asyncio.to_thread(self._read, due)
        if empty:
            await self._write(partial(store_empty, rollup=rollup, periods=empty))
        return _chunks(used)
