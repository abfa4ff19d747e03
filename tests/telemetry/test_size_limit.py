"""Records, spans and contents stay within `[records] max_bytes`: the oldest go first, sums stay, the file is steady."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from sizewise.storage.database import Database, UnitOfWork, open_database, sqlite_url
from sizewise.telemetry import payload_tables, span_tables, stored_sizes, tables, usage_tables
from sizewise.telemetry.payload_tables import CONTENTS, PayloadRow, insert_payloads
from sizewise.telemetry.record_retention import RecordRetention
from sizewise.telemetry.size_limit import KEPT_SHARE, RecordsSizeLimit
from sizewise.telemetry.stored_sizes import measure, read_cut
from sizewise.telemetry.tables import RECORDS
from sizewise.telemetry.usage_rollup import keep_usage
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving, until
from tests.telemetry.test_usage_rollup import NOW, Clockwork, insert, record, short

SCHEMAS = [each.SCHEMA for each in (tables, span_tables, payload_tables, usage_tables, stored_sizes)]


def limited(database: Database, max_bytes: int) -> RecordsSizeLimit:
    async def write(work: UnitOfWork[Any]) -> Any:
        with database.write() as connection:
            return work(connection)

    records = RecordRetention(before_delete=keep_usage)
    return RecordsSizeLimit(
        database.read_transaction,
        write,
        max_bytes=max_bytes,
        delete={
            "contents": lambda goal: partial(stored_sizes.delete_contents, until=goal),
            "spans": lambda goal: partial(records.delete_until, newest=goal),
            "records": lambda goal: partial(records.delete_until, newest=goal),
        },
    )


def rows(database: Database, table: Any) -> int:
    return database.read_transaction(lambda c: c.scalar(select(func.count()).select_from(table))) or 0


def fill(database: Database, first: int, count: int, words: str = "trace" * 6) -> None:
    made = [record(NOW - 9_000 + n / 10, n, cost=7, trace=f"{n:032x}", why=words) for n in range(first, first + count)]
    insert(database, made)


@pytest.mark.long
async def test_the_oldest_contents_go_first_then_records_and_the_sums_stay(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), SCHEMAS)
    fill(database, 0, 3_000)
    with database.write() as connection:
        insert_payloads(connection, [PayloadRow(n, "t", "k", NOW + n, b"x" * 1_000) for n in range(200)])
    sizes = {each.kind: each.bytes for each in database.read_transaction(measure)}
    total = short(Clockwork(database).usage().total)
    await limited(database, 0).apply()
    await limited(database, sum(sizes.values()) + 1).apply()
    assert (rows(database, CONTENTS), rows(database, RECORDS)) == (200, 3_000)
    assert database.read_transaction(read_cut) is None
    await limited(database, sizes["records"] + sizes["contents"] // 2).apply()
    assert 0 < rows(database, CONTENTS) < 120 and rows(database, RECORDS) == 3_000
    limit = limited(database, sizes["records"] // 2)
    await limit.apply()
    assert rows(database, CONTENTS) == 0 and 1_300 < rows(database, RECORDS) < 1_500
    assert sum(each.bytes for each in limit.sizes) <= sizes["records"] // 2
    assert database.read_transaction(lambda c: c.scalar(select(func.max(RECORDS.c.id)))) is not None
    assert short(Clockwork(database).usage().total) == total and database.read_transaction(read_cut)
    database.close()


@pytest.mark.long
async def test_the_file_is_steady_at_the_limit_and_near_it(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), SCHEMAS)
    limit, sizes = 4_000_000, list[int]()
    for turn in range(8):
        fill(database, turn * 5_000, 5_000)
        await limited(database, limit).apply()
        database.checkpoint(truncate=True)
        sizes.append((tmp_path / "x.db").stat().st_size)
    stored = sum(each.bytes for each in database.read_transaction(measure))
    assert KEPT_SHARE * limit * 0.9 < stored <= limit
    assert max(sizes[4:]) <= min(sizes[4:]) * 1.05, sizes
    assert max(sizes) < 2 * limit, "with the rows that came between two looks"
    database.close()


@pytest.mark.long
def test_the_server_reports_sizes_and_doctor_that_records_are_cut(tmp_path: Path) -> None:
    words = "canary " * 40
    with serving(tmp_path, ECHO) as server:
        for _ in range(30):
            assert server.chat("echo/small", words).status == 200
        key = (tmp_path / "admin.token").read_text().strip()
        until(lambda: 'sizewise_stored_rows{kind="records"}' in server.ask("/metrics", key=key).body.decode())
        assert "max_bytes" not in sizewise("doctor", home=tmp_path).out
    with serving(tmp_path, ECHO + "[records]\nmax_bytes = 5000\n") as server:
        until(lambda: len(sizewise("records", "--json", home=tmp_path).json["records"]) < 15)
        until(lambda: "max_bytes deleted records or" in sizewise("doctor", home=tmp_path).out)
