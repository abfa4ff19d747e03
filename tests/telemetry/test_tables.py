"""Where things lie does not show: a database written before, an only attempt, a trace of long ago."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from sizewise.app.services import open_services
from sizewise.handler import AttemptFinished, ModelSelected, TextDelta, discard_events
from sizewise.messages import Usage
from sizewise.storage.database import open_database, sqlite_url
from sizewise.storage.migrations import Migrations
from sizewise.telemetry import recorder as telemetry
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.policy_usage import PolicyUsage, policy_usage
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.record_queries import RecordFilter, newest_records, records_of_trace
from sizewise.telemetry.recorder import NO_LABELS, RecordingMiddleware
from sizewise.telemetry.tables import SCHEMA
from sizewise.telemetry.usage_tables import SCHEMA as USAGE
from tests.telemetry.test_recorder import LARGE, SMALL, ask, booked, saying

NOW = 1_800_000_000_000  # unix ms
CHOSEN = ModelSelected("there/large", "because", 1)


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(home / "sizewise.db")
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_a_database_written_before_reads_as_it_did(tmp_path: Path) -> None:
    """Version 2 had a row in `attempts` for every attempt, and one index of all traces."""
    path = tmp_path / "sizewise.db"
    open_database(sqlite_url(str(path)), [Migrations("telemetry", SCHEMA.steps[:2])]).close()
    connection = sqlite3.connect(path)
    for number in range(3):
        id = (NOW * 1000 + number) << PROCESS_BITS
        asked = (200, "", 1, 7, 5, 3, 2, 1, True, 9, 1.5, 2.5, True, "worn", "internal", "pii:EMAIL=1 masked")
        record = (id, "t", "p", "k", f"{number:032x}", NOW, "chat", "auto", "mine", "m", "why", *asked)
        connection.execute(f"INSERT INTO records VALUES ({', '.join('?' * 27)})", record)
        for place in range(1, 1 + number):
            tried = ("t", "aa", "m", "machine", "answered", "so", 0.1, 0.2, 0.3, 7, 5, 3, 2, 1, True, 9, "x", 0.5)
            connection.execute(f"INSERT INTO attempts VALUES ({', '.join('?' * 20)})", (id, place, *tried))
    connection.commit()
    connection.close()

    database = open_database(sqlite_url(str(path)), [SCHEMA, USAGE])
    with database.read() as reading:
        found = records_of_trace(reading, "t", "0")
        assert [int(each.record.trace, 16) for each in found] == [2, 1, 0]
        assert [[tried.number for tried in each.attempts] for each in found] == [[1, 2], [1], []]
        assert records_of_trace(reading, "t", f"{1:032x}") == [found[1]]
        assert msgspec.structs.astuple(found[1].record)[11:] == (*asked, *(None,) * 4, *NO_LABELS, None, None)
        assert msgspec.structs.astuple(found[1].attempts[0])[2:] == (*tried, None)
        (its,) = policy_usage(reading, "t", NOW - 1, ["mine"])
        assert its == PolicyUsage("mine", "m", 3, 21, 15, 27, 0, 0, 147.0, 105.0, 75.0, 189.0, 135.0, 243.0, 0.0)
    database.close()


def test_an_only_attempt_that_answered_needs_no_row_of_its_own(tmp_path: Path) -> None:
    found = booked(tmp_path, saying(CHOSEN, TextDelta(0, "hello"), LARGE))
    assert rows(tmp_path, "SELECT * FROM attempts") == []
    (tried,) = found.attempts
    assert (tried.record, tried.number, tried.tenant, tried.trace) == (found.record.id, 1, "local", found.record.trace)
    assert (tried.model, tried.place, tried.result, tried.error) == ("there/large", "anyone", "answered", "")
    assert (tried.why, found.record.why) == ("no smaller one trusted", "because")
    assert (tried.began_ms, tried.first_ms, tried.ended_ms, tried.score) == (100.0, 200.0, 300.0, None)
    assert (tried.input, tried.output, tried.cached, tried.cache_write, tried.reasoning) == (100, 50, 20, 5, 7)
    assert (tried.estimated, tried.cost) == (False, 12_345)
    assert found.record.first_ms is not None and found.record.first_ms != tried.first_ms


@pytest.mark.parametrize(
    "tried",
    [
        pytest.param(msgspec.structs.replace(LARGE, result="cancelled"), id="cancelled"),
        pytest.param(msgspec.structs.replace(LARGE, error_code="stream_interrupted"), id="an error"),
        pytest.param(msgspec.structs.replace(LARGE, model="there/other"), id="another model"),
        pytest.param(
            msgspec.structs.replace(LARGE, reason=CHOSEN.reason, first_token_s=None, score=0.5, cost=None),
            id="judged",
        ),
        pytest.param(msgspec.structs.replace(LARGE, usage=Usage(estimated=True)), id="estimated"),
    ],
)
def test_wherever_an_only_attempt_lies_it_is_told_alike(tried: AttemptFinished, tmp_path: Path) -> None:
    found = booked(tmp_path, saying(CHOSEN, tried))
    (told,) = found.attempts
    apart = telemetry._attempt_row(
        found.record.id,
        1,
        msgspec.structs.replace(ask(), trace_id=found.record.trace),
        tried,
    )
    assert msgspec.structs.astuple(told) == apart[:-2]  # without its energy, which is told of the whole request


def test_several_attempts_have_rows_of_their_own(tmp_path: Path) -> None:
    booked(tmp_path, saying(SMALL, CHOSEN, LARGE))
    assert rows(tmp_path, "SELECT number, model FROM attempts") == [(1, "here/small"), (2, "there/large")]


async def test_a_trace_is_found_in_whatever_chunk_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "CHUNK", 3)
    with open_services(tmp_path) as services:
        for _ in range(2):  # settings that change make a new one
            recorded = RecordingMiddleware(
                saying(CHOSEN, LARGE),
                write=services.records.enqueue,
                metrics=Metrics(),
                record_ids=services.records.ids,
            )
            for number in range(10):
                asked = msgspec.structs.replace(ask(), trace_id=f"{number % 5:x}" * 32)
                await recorded(asked, discard_events)
        await services.records.flush()
        assert len(rows(tmp_path, "SELECT DISTINCT chunk FROM records")) == 8
        everything = (await services.records.page(RecordFilter())).rows
        for wanted in ("3" * 32, "33", "3"):
            found = (await services.records.page(RecordFilter(trace=wanted))).rows
            assert found == [each for each in everything if each.trace == "3" * 32] and len(found) == 4
        assert [each.id for each in (await services.records.page(RecordFilter(trace="3"), 2)).rows] == [
            each.id for each in found[:2]
        ]
        assert (await services.records.page(RecordFilter(trace="9"))).rows == []
        assert (await services.records.page(RecordFilter("other", trace="3"))).rows == []
        assert (await services.records.page(RecordFilter(trace="3", status=404))).rows == []


def test_a_trace_is_looked_up_and_not_searched_for(tmp_path: Path) -> None:
    """SQLite takes the index of the tenant else, and reads all its records: 40 ms for each 100,000."""
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [SCHEMA])
    asked: list[str] = []
    with database.read() as connection:
        connection.connection.driver_connection.set_trace_callback(asked.append)  # type: ignore[union-attr]  # sqlite3's own
        newest_records(connection, RecordFilter("t", trace="0af7"))
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    database.close()
    assert "SEARCH records USING INTEGER PRIMARY KEY (rowid=?)" in plan
    assert "SEARCH records USING COVERING INDEX records_chunk (chunk=? AND trace>? AND trace<?)" in plan
    assert not any(step.startswith("SCAN records") or "records_tenant" in step for step in plan)
