"""Records on Postgres lie in a table a day: made ahead, dropped whole with their sums kept, and nothing is copied."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sizewise.storage.database import Database, open_database
from sizewise.storage.migrations import PartitionByDay
from sizewise.telemetry import payload_tables, span_tables, tables, usage_tables
from sizewise.telemetry.day_partitions import DAY_IDS, DAYS_AHEAD, partitions_of, prepare_days
from sizewise.telemetry.record_retention import RecordRetention
from sizewise.telemetry.stored_sizes import measure
from sizewise.telemetry.usage_rollup import keep_usage, keep_usage_between
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, serving, until
from tests.telemetry.test_usage_rollup import Clockwork, insert, ledger, record, short, total, traffic

pytestmark = pytest.mark.long

DAY = 86_400
DAILY = next(
    at for at, step in enumerate(tables.SCHEMA.steps) if any(isinstance(each, PartitionByDay) for each in step)
)
"""The step that makes a table a day."""
SCHEMAS = (tables.SCHEMA, span_tables.SCHEMA, usage_tables.SCHEMA)
WAITING = """SELECT count(*) FROM pg_locks
WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def tables_of(database: Database, table: str = "records") -> list[str]:
    found = database.read_transaction(lambda c: partitions_of(c, table))
    return [each.name.removeprefix(f"{table}_") for each in found]


def today() -> int:
    """Days since 1970, at the moment of the call: a run of all tests may go past midnight."""
    return int(time.time()) // DAY


def day(number: int) -> str:
    return time.strftime("%Y%m%d", time.gmtime(number * DAY))


def backdate(database: Database, days: int) -> None:
    """As if the partitions of the last days had been made then: the first one ends where they begin."""
    with database.write() as connection:
        for table in ("records", "attempts", "spans"):
            connection.exec_driver_sql(f"DROP TABLE {table}_before")
            for each in range(today() - days, today()):
                bounds = f"FROM ({each * DAY_IDS}) TO ({(each + 1) * DAY_IDS})"
                connection.exec_driver_sql(f"CREATE TABLE {table}_{day(each)} PARTITION OF {table} FOR VALUES {bounds}")


def prepare(database: Database) -> None:
    more = True
    while more:
        with database.write() as connection:
            more = prepare_days(connection)


def delete_all(database: Database, retention: RecordRetention) -> int:
    """Returns the number of transactions."""
    for count in range(1, 1_000):
        with database.write() as connection:
            if not retention(connection):
                return count
    raise AssertionError("it never ends")


def retention(keep_days: float, max_rows: int) -> RecordRetention:
    return RecordRetention(keep_days, max_rows, batch_rows=50, before_delete=keep_usage, before_drop=keep_usage_between)


def test_a_table_of_before_becomes_the_first_partition_with_its_rows_where_they_lay(postgres_url: str) -> None:
    now, first = time.time(), today()
    earlier = (replace(tables.SCHEMA, steps=tables.SCHEMA.steps[:DAILY]), *SCHEMAS[1:])
    rows, tried = traffic(300, now - 3 * DAY, now, 1)
    before = open_database(postgres_url, earlier)
    with before.write() as connection:
        for table, those in ((tables.RECORDS, rows), (tables.ATTEMPTS, tried)):
            old = [{name: value for name, value in row.items() if not name.startswith("energy")} for row in those]
            connection.execute(table.insert(), old)
    with before.read() as connection:
        lay = connection.exec_driver_sql("SELECT 'records'::regclass::oid").scalar_one()
    before.close()
    database = open_database(postgres_url, SCHEMAS)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT 'records_before'::regclass::oid").scalar_one() == lay
        assert connection.exec_driver_sql("SELECT count(*) FROM records").scalar_one() == 300
        assert connection.exec_driver_sql("SELECT count(*) FROM tries").scalar_one() > 300
        indexes = connection.exec_driver_sql("SELECT count(*) FROM pg_indexes WHERE tablename = 'records'").scalar_one()
    assert indexes == 6
    prepare(database)
    assert tables_of(database) == ["before", *(day(first + each) for each in range(1, DAYS_AHEAD + 1))]
    assert short(Clockwork(database).usage().total) == ledger(rows, tried)
    database.close()


def test_a_record_that_comes_while_its_day_is_made_is_kept(postgres_url: str) -> None:
    now = time.time()
    database, other = (open_database(postgres_url, SCHEMAS) for _ in range(2))
    rows, tried = traffic(1, now - 1, now, 1)
    with ThreadPoolExecutor(1) as writer:
        with database.write() as connection:
            prepare_days(connection)
            late = writer.submit(insert, other, rows, tried)
            until(lambda: connection.exec_driver_sql(WAITING).scalar_one())
        late.result(30)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM records").scalar_one() == 1
    for each in (database, other):
        each.close()


def test_days_are_dropped_and_their_sums_stay_those_of_the_ledger(postgres_url: str) -> None:
    now, first = time.time(), today()
    database = open_database(postgres_url, SCHEMAS)
    backdate(database, 12)
    prepare(database)
    prepare(database)
    assert tables_of(database) == [day(each) for each in range(first - 12, first + DAYS_AHEAD + 1)]
    rows, tried = traffic(600, now - 11.5 * DAY, now - 3_600, 1)
    insert(database, rows, tried)
    right = ledger(rows, tried)
    work = Clockwork(database)
    work.now = now
    work.count()
    assert short(work.usage().total) == right
    transactions = delete_all(database, retention(5, 0))
    assert tables_of(database) == [day(each) for each in range(first - 5, first + DAYS_AHEAD + 1)]
    assert tables_of(database, "attempts") == tables_of(database)
    assert transactions < 20, "days are dropped whole; only that of the limit loses rows"
    with database.read() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM records").scalar_one()
        old = (first - 5) * DAY_IDS
        assert connection.exec_driver_sql(f"SELECT count(*) FROM attempts WHERE record < {old}").scalar_one() == 0
    assert 0 < left < 600
    for key in ("model", "status", "key", "policy"):
        assert short(total(work.usage(key).rows)) == right, key
    work.count()
    assert short(work.usage().total) == right
    delete_all(database, retention(0, 100))
    work.count()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM records").scalar_one() == 100
    assert short(total(work.usage("model").rows)) == right, "beyond a number of rows too"
    database.close()


def test_the_days_of_one_table_are_made_in_a_transaction(postgres_url: str) -> None:
    database, made = open_database(postgres_url, SCHEMAS), list[list[int]]()
    for _ in range(4):
        with database.write() as connection:
            more = prepare_days(connection)
        made.append([len(tables_of(database, each)) for each in ("records", "attempts", "spans")])
    whole = 1 + 1 + DAYS_AHEAD  # what was before, today, and the next days
    assert made == [[whole, 1, 1], [whole, whole, 1], [whole, whole, whole], [whole, whole, whole]] and more is False
    database.close()


def test_a_look_at_the_sizes_does_not_wait_for_what_waits_for_it(postgres_url: str) -> None:
    database = open_database(postgres_url, [*SCHEMAS, payload_tables.SCHEMA])
    with ThreadPoolExecutor(1) as reader, database.write() as connection:
        connection.exec_driver_sql("LOCK TABLE records_before")
        found = reader.submit(database.read_transaction, measure)
        until(lambda: connection.exec_driver_sql(WAITING).scalar_one())
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql("LOCK TABLE attempts_before, spans_before")
        connection.rollback()
        assert [each.rows for each in found.result(30)] == [0, 0, 0]
    database.close()


def test_rows_of_a_day_without_a_table_wait_in_the_default_one_and_move(postgres_url: str) -> None:
    first = today()
    database = open_database(postgres_url, SCHEMAS)
    far = (first + 3) * DAY
    insert(database, [record(far + number, number, model="small", cost=1) for number in range(20)])  # a clock ahead
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM records_default").scalar_one() == 20
    prepare(database)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM records_default").scalar_one() == 0
        assert connection.exec_driver_sql(f"SELECT count(*) FROM records_{day(first + 3)}").scalar_one() == 20
    database.close()


def test_a_server_makes_its_days_and_finds_what_it_wrote(postgres_url: str, tmp_path: Path) -> None:
    first = today()
    config = ECHO + '[database]\nurl = "env:DATABASE"\n'
    with serving(tmp_path / "home", config, DATABASE=postgres_url) as server:
        body = {"model": "echo/small", "messages": [{"role": "user", "content": "hi"}]}
        trace = server.ask("/v1/chat/completions", body).headers["x-sizewise-trace"]
        query = "query($t: String) { records(filter: {trace: $t}) { rows { trace attempts { model } } } }"
        (row,) = graphql(server, query, t=trace).data["records"]["rows"]
        assert row == {"trace": trace, "attempts": [{"model": "echo/small"}]}
        database = open_database(postgres_url, SCHEMAS)
        last = day(first + DAYS_AHEAD)
        until(lambda: last in tables_of(database) and last in tables_of(database, "spans"))
        database.close()
