"""Sums of usage are exact, whether records are counted, late, deleted or long gone; and whatever is cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Table, func, select, true

from sizewise.settings.storage import RecordsSettings
from sizewise.storage.database import Database, UnitOfWork, apply_in_bulk, open_database, sqlite_url
from sizewise.telemetry import tables, usage_tables
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.record_retention import RecordRetention
from sizewise.telemetry.tables import ATTEMPTS, RECORDS, join_tags
from sizewise.telemetry.usage_query import USAGE_KEYS, UsageKey, UsageQuery
from sizewise.telemetry.usage_report import read_usage
from sizewise.telemetry.usage_rollup import UsageRollups, delete_key_records, keep_usage
from sizewise.telemetry.usage_sums import NOTHING, Sums, add_sums, complete_hours
from sizewise.telemetry.usage_tables import COST, DAYS, END_USER_DAYS, HOURS, IN_SESSIONS, PERIODS, REQUESTS, SUMS

HOUR, DAY = 3_600, 86_400
NOW = 1_800_000_000 // DAY * DAY + 5 * HOUR + 700
MODELS = ("small", "large", "huge")


def record(at: float, number: int, **values: object) -> dict[str, object]:
    """A row of `records`, with an attempt of its own unless `only_place` is None."""
    empty = dict.fromkeys(column.name for column in RECORDS.columns if column.nullable)
    texts = {column.name: "" for column in RECORDS.columns if not column.nullable}
    numbers = dict.fromkeys(("attempts", "input", "output", "cached", "cache_write", "reasoning", "chunk"), 0)
    given = {"estimated": False, "stream": False, "total_ms": 9.0, "status": 200, "tenant": "t", "project": "p"}
    id = int(at * 1e6) << PROCESS_BITS | number % 1024
    return {**empty, **texts, **numbers, **given, "only_place": "machine", "id": id, "at": int(at * 1e3)} | values


def attempt(record: dict[str, object], number: int, model: str, cost: int | None) -> dict[str, object]:
    its = {column.name: record.get(column.name, "") for column in ATTEMPTS.columns}
    times = {"began_ms": 0.0, "first_ms": None, "ended_ms": 1.0, "score": None, "threshold": None}
    return {**its, **times, "record": record["id"], "number": number, "model": model, "cost": cost, "result": "x"}


def insert(database: Database, records: list[dict[str, Any]], attempts: Sequence[dict[str, Any]] = ()) -> None:
    with database.write() as connection:
        for table, rows in ((RECORDS, records), (ATTEMPTS, attempts)):
            if rows:
                values = [tuple(row[column.name] for column in table.columns) for row in rows]
                apply_in_bulk(connection, database.insert_statement(table), values)


def traffic(count: int, since: float, until: float, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Requests with every label, some of several attempts, some of unknown cost, some pending."""
    chance, records, attempts = Random(seed), list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(count):
        cost = chance.choice([None, 0, chance.randrange(10**12)])
        labels: dict[str, object] = {
            "project": chance.choice("pq"),
            "key": chance.choice(["k1", "k2"]),
            "model": chance.choice(MODELS),
            "policy": chance.choice(["auto", "fixed"]),
            "door": chance.choice(["chat", "shadow"]),
            "status": chance.choice([200, 200, 429, 0]),
            "flow": chance.choice([None, "f"]),
            "session": chance.choice([None, "s1", "s2", "s3", f"once {number}"]),
            "release": chance.choice([None, "r1", "r2"]),
            "end_user": chance.choice([None, "u1", "u2"]),
            "tags": chance.choice([None, join_tags(["a"]), join_tags(["a", "b"])]),
            "total_ms": chance.expovariate(1 / 500),
            "input": chance.randrange(1_000),
        }
        made = record(since + (until - since) * chance.random(), number, cost=cost, **labels)
        if chance.random() < 0.3:
            made |= {"only_place": None, "cost": None, "attempts": 2}
            attempts += [attempt(made, 1, "small", chance.randrange(10**9)), attempt(made, 2, "large", cost)]
        records.append(made if made["status"] else made | {"session": None})  # a pending record has no label
    return records, attempts


@contextmanager
def opened(path: Path, url: str = "") -> Iterator[Database]:
    database = open_database(url or sqlite_url(str(path / "x.db")), [tables.SCHEMA, usage_tables.SCHEMA])
    try:
        yield database
    finally:
        database.close()


class Killed(Exception):
    """In place of a kill -9: nothing more of the work is done."""


class Clockwork:
    """The roll-ups of a database at a time that the test sets. `crash`: raises after a transaction's work."""

    def __init__(self, database: Database, settings: RecordsSettings | None = None) -> None:
        self.database = database
        self.now: float = NOW
        self.crash: Callable[[], bool] = bool
        settings = settings or RecordsSettings()
        self._rollups = UsageRollups(database.read_transaction, self.write, settings, lambda: self.now)

    def count(self) -> None:
        asyncio.run(self._rollups.roll_up())

    def stored(self, table: Table) -> int:
        """Rows that are no copies."""
        where = ~table.c.counted if "counted" in table.c else true()
        query = select(func.count()).select_from(table).where(where)
        return self.database.read_transaction(lambda c: c.scalar(query)) or 0

    async def write(self, work: UnitOfWork[Any]) -> Any:
        with self.database.write() as connection:
            done = work(connection)
            if self.crash():
                raise Killed
        return done

    def usage(self, *by: Any, hours: float = 24 * 400, **more: Any) -> Any:
        until = int(self.now // HOUR) + 1
        query = UsageQuery(tenant="t", since=int(until - hours), until=until, by=by, **({"limit": 10_000} | more))
        return self.database.read_transaction(lambda c: read_usage(c, query))


def ledger(records: list[dict[str, Any]], attempts: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Requests, pico-dollars and input tokens."""
    ended = {row["id"]: row for row in records if row["status"]}
    alone = [row for row in ended.values() if row["only_place"]]
    paid = alone + [row for row in attempts if row["record"] in ended]
    return len(ended), sum(row["cost"] or 0 for row in paid), sum(row["input"] for row in paid)


def short(sums: Sums) -> tuple[int, int, int]:
    return sums[REQUESTS], sums[COST], sums[SUMS.index("input")]


def total(rows: list[Any]) -> Sums:
    return tuple(map(sum, zip(NOTHING, *(row.sums for row in rows), strict=True)))


def shrink(database: Database, max_rows: int) -> None:
    retention = RecordRetention(0, max_rows, 40, before_delete=keep_usage)
    with database.write() as connection:
        while retention(connection):
            pass


@pytest.mark.long
def test_sums_stay_those_of_the_ledger_through_counting_late_rows_deletion_and_days(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        sums_stay_exact(database)


@pytest.mark.long
def test_sums_stay_those_of_the_ledger_in_postgres_too(tmp_path: Path, postgres_url: str) -> None:
    with opened(tmp_path, postgres_url) as database:
        sums_stay_exact(database)
        tags = Clockwork(database).usage("tag", "key", filters={"tag": "a", "user": "ann"}, users={"k1": "ann"})
        assert {row.key for row in tags.rows} <= {("a", "k1"), None}


def check_sessions(work: Clockwork) -> None:
    """From roll-ups and the records of sessions, also by the hour, as from all records; and the dearest of them."""
    for step, filters in ((0, {}), (1, {}), (0, {"project": "p"})):
        asked: dict[str, Any] = {"step": step, "filters": filters}
        from_records: dict[tuple[str, int], Sums] = {}
        for row in work.usage("session", "release", **asked).rows:
            assert row.key is not None
            its = row.key[0], row.at
            from_records[its] = add_sums(from_records.get(its, NOTHING), row.sums)
        found = work.usage("session", **asked)
        assert {(*(row.key or ()), row.at): row.sums for row in found.rows} == from_records
        assert found.total == total(found.rows)
        names = {row.key for row in found.rows}
        for few in (1, 2, 3, 7):
            dearest = work.usage("session", limit=few, **asked)
            shown = {row.key for row in dearest.rows} - {None}
            assert len(shown) == few and dearest.folded_series == len(names) - few
            assert [row for row in dearest.rows if row.key] == [row for row in found.rows if row.key in shown]
            assert dearest.total == found.total == total(dearest.rows)
            if not step:
                ranks = [(row.sums[COST], row.sums[REQUESTS]) for row in found.rows]
                assert [(row.sums[COST], row.sums[REQUESTS]) for row in dearest.rows[:few]] == ranks[:few]


def sums_stay_exact(database: Database) -> None:
    work = Clockwork(database)
    rows, tried = traffic(200, NOW - 2 * DAY, NOW, 1)
    insert(database, rows, tried)
    right = ledger(rows, tried)

    def check(*more: UsageKey) -> None:
        assert short(work.usage().total) == right
        for key in ("model", "status", "policy", "user", *more):
            assert short(total(work.usage(key).rows)) == right, key
        check_sessions(work)

    check("end_user", "session", "release")
    work.count()
    check("end_user", "session", "release")
    assert work.stored(PERIODS) > 48
    late = traffic(60, NOW - 3 * HOUR, NOW - HOUR, 2)
    insert(database, *late)
    check_sessions(work)
    work.count()
    rows, tried = rows + late[0], tried + late[1]
    right = ledger(rows, tried)
    check()
    shrink(database, 90)
    check("end_user")
    work.count()
    check("end_user")
    work.now += 91 * DAY
    work.count()
    check()
    assert work.stored(DAYS) > 0 and work.stored(HOURS) < 24


def test_hours_are_complete_by_the_records_of_all_organizations_counted_in_their_index(tmp_path: Path) -> None:
    hour = int(NOW // HOUR) - 2
    with opened(tmp_path) as database:
        work = Clockwork(database)
        made = [record(hour * HOUR + number, number, tenant=name) for number, name in enumerate("aabccc")]
        insert(database, made[:-1])
        work.count()
        with database.read() as connection:
            asked: list[str] = []
            connection.connection.driver_connection.set_trace_callback(asked.append)  # type: ignore[union-attr]  # sqlite3's own
            assert complete_hours(connection, hour, hour + 1, IN_SESSIONS).complete == [hour]
            plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[-1]}"))
        assert plan.count("records USING COVERING INDEX records_tenant (tenant") == 2 and "SCAN records" not in plan
        insert(database, made[-1:])
        with database.read() as connection:
            assert complete_hours(connection, hour, hour + 1, IN_SESSIONS).others == [(hour, hour + 1)]


@pytest.mark.long
def test_beyond_the_most_series_the_cheapest_are_one_row_and_the_sum_is_exact(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        rows = [record(NOW - 2 * HOUR + n / 1e3, n, key=f"k{n}", cost=n, model="m") for n in range(300)]
        insert(database, rows)
        work = Clockwork(database)
        work.count()
        found = work.usage("key", limit=1_000)
        assert len(found.rows) == 201 and found.rows[0].key == ("k299",) and found.rows[-1].key is None
        assert found.folded_series == 100 and found.folded[COST] == sum(range(100))
        assert found.total[COST] == total(found.rows)[COST] == sum(range(300))
        assert work.usage("project").rows[0].sums == found.total
        few = work.usage("key", limit=10)
        assert len(few.rows) == 11 and total(few.rows) == found.total and few.folded_series == 290
        shrink(database, 100)
        assert work.usage().total == found.total and total(work.usage("key").rows) == found.total
        model = work.usage(filters={"model": "m"})
        assert model.total[COST] + model.folded[COST] == sum(range(300))


@pytest.mark.long
@pytest.mark.parametrize("crash_at", range(12))
def test_a_crash_in_any_transaction_counts_nothing_twice(tmp_path: Path, crash_at: int) -> None:
    with opened(tmp_path) as database:
        work = Clockwork(database)
        rows, tried = traffic(120, NOW - 5 * HOUR, NOW - 2 * HOUR, 4)
        insert(database, rows, tried)
        done = iter(range(1_000))
        work.crash = lambda: next(done) == crash_at
        with suppress(Killed):
            work.count()
        assert short(work.usage().total) == ledger(rows, tried)
        work.crash = bool
        work.count()
        shrink(database, 60)
        work.now += 91 * DAY
        done = iter(range(1_000))
        work.crash = lambda: next(done) == crash_at
        with suppress(Killed):
            work.count()
        assert short(work.usage().total) == ledger(rows, tried)
        work.crash = bool
        work.count()
        assert short(work.usage().total) == ledger(rows, tried)


@pytest.mark.long
async def test_records_deleted_while_they_are_counted_are_not_counted_twice(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        work = Clockwork(database)
        rows, tried = traffic(120, NOW - 4 * HOUR, NOW - 3 * HOUR, 5)
        insert(database, rows, tried)
        write, deleted = work.write, list[bool]()

        async def late(transaction: UnitOfWork[Any]) -> Any:
            if not deleted:
                deleted.append(True)
                shrink(database, 50)
            return await write(transaction)

        rollups = UsageRollups(database.read_transaction, late, RecordsSettings(), lambda: work.now)
        await rollups.roll_up()
        assert short(work.usage().total) == ledger(rows, tried)
        await rollups.roll_up()
        assert short(work.usage().total) == ledger(rows, tried)


@pytest.mark.long
def test_what_an_older_sizewise_deleted_without_keeping_is_kept_as_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        work = Clockwork(database)
        rows, tried = traffic(100, NOW - 2 * DAY, NOW - DAY, 6)
        insert(database, [*rows, record(NOW, 1, cost=5)], tried)
        work.count()
        before = work.usage().total
        with database.write() as connection:
            tables.delete_records(connection, [row["id"] for row in rows])
        work.count()
        assert work.usage().total == before


@pytest.mark.long
def test_old_sums_are_deleted_and_an_erased_key_has_no_name_in_them(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        work = Clockwork(database, replace(RecordsSettings(), end_user_usage_days=5, daily_usage_days=200))
        rows, tried = traffic(50, NOW - 2 * DAY, NOW - DAY, 7)
        insert(database, rows, tried)
        with database.write() as connection:
            while delete_key_records(connection, "t", "k1"):
                pass
            usage_tables.forget_key(connection, "t", "k1")
        assert short(work.usage().total) == ledger(rows, tried)
        assert {row.key for row in work.usage("key").rows} == {("",), ("k2",)}
        shrink(database, 1)
        work.now += 10 * DAY
        work.count()
        assert work.stored(END_USER_DAYS) == 0
        work.now += 300 * DAY
        work.count()
        assert work.stored(DAYS) == work.stored(HOURS) == 0


@pytest.mark.long
@pytest.mark.parametrize("at", [60.0, NOW + 400 * DAY], ids=["1970", "next year"])
def test_a_clock_that_was_wrong_for_a_moment_stops_nothing(tmp_path: Path, at: float) -> None:
    with opened(tmp_path) as database:
        work = Clockwork(database)
        insert(database, [record(at, 1, cost=3), record(NOW - 2 * HOUR, 2, cost=4)])
        work.count()
        assert work.usage().total[COST] == 4
        work.now = max(at + HOUR, NOW)
        assert work.usage(hours=24 * 365 * 70).total[COST] == 7


@pytest.mark.long
def test_each_key_can_be_asked_for(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        work = Clockwork(database)
        tags = join_tags(["a", "b"])
        labels = {
            "session": "s",
            "release": "r1",
            "flow": "f",
            "node": "n",
            "tags": tags,
            "policy": "auto",
            "door": "chat",
        }
        rows = [
            record(NOW - 2 * HOUR, 1, cost=3, key="k1", model="m", **labels),
            record(NOW - 2 * HOUR, 2, cost=4, key="k2", model="l"),
        ]
        insert(database, rows)
        work.count()
        wanted = {"key": "k1", "model": "m", "user": "ann", "tag": "a", "endpoint": "chat"} | {
            key: labels[key] for key in ("session", "release", "flow", "node", "policy")
        }
        for key, value in wanted.items():
            users = {"k1": "ann"}
            found = work.usage(key, users=users, filters={key: value})
            assert [(row.key, row.sums[COST]) for row in found.rows] == [((value,), 3)], key
            assert work.usage(key, users=users).total[COST] == 7
        assert {row.key for row in work.usage("tag").rows} == {("a",), ("b",), ("",)}
        assert set(wanted) | {"end_user", "status", "project"} == set(USAGE_KEYS)
        steps = work.usage("model", step=1).rows
        assert [(row.at, row.sums[COST]) for row in steps] == [
            ((NOW - 2 * HOUR) // HOUR * HOUR * 1_000, n) for n in (4, 3)
        ]
