"""Pages of records: stable while requests come, by every label, and honest about how far a page looked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.storage.database import open_database, sqlite_url
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.record_queries import RecordFilter, page_of_records
from sizewise.telemetry.span_tables import SCHEMA as SPANS_SCHEMA
from sizewise.telemetry.tables import RECORDS, SCHEMA, join_tags
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving

PAGE = """query ($f: RecordFilter, $n: Int, $before: String) {
  records(filter: $f, last: $n, before: $before) { rows { spanId trace } before scannedTo } }"""
NOW_MS = 1_800_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("pages"), ECHO) as served:
        for number in range(7):
            ask(served, number)
        yield served


def ask(server: Served, number: int, session: str = "") -> None:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hi"}], "user": f"u{number % 2}"}
    server.ask(
        "/v1/chat/completions",
        body,
        traceparent=f"00-{number + 1:032x}-00f067aa0ba902b7-01",
        x_sizewise_session=session or f"s-{number % 2}",
        x_sizewise_tags=f"n={number % 3}",
    )


def page(server: Served, n: int = 20, before: str | None = None, **criteria: Any) -> dict[str, Any]:
    answer = graphql(server, PAGE, f=criteria, n=n, before=before)
    assert answer.errors == [], answer
    found: dict[str, Any] = answer.data["records"]
    return found


def numbers(found: dict[str, Any]) -> list[int]:
    return [int(each["trace"], 16) - 1 for each in found["rows"]]


def test_pages_go_on_where_the_last_one_ended_whatever_comes_meanwhile(echo: Served) -> None:
    for number in range(20, 25):
        ask(echo, number, "pages")
    first = page(echo, 3, session="pages")
    ask(echo, 25, "pages")
    second = page(echo, 3, before=first["before"], session="pages")
    assert numbers(first) + numbers(second) == [24, 23, 22, 21, 20] and second["before"] is None
    assert numbers(page(echo, 1, session="pages")) == [25]


@pytest.mark.long
@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"session": "s-1"}, [5, 3, 1]),
        ({"endUser": "u1"}, [5, 3, 1]),
        ({"tag": "n=0", "until": 4_000_000_000_000}, [6, 3, 0]),
        ({"tag": "n=0", "session": "s-1"}, [3]),
        ({"trace": f"{5:032x}"}, [4]),
        ({"model": "echo/none"}, []),
        ({"minMs": 1e9}, []),
        ({"minCost": "0.01"}, []),
        ({"failed": True}, []),
        ({"since": 4_000_000_000_000}, []),
        ({"until": 1}, []),
        ({"flow": "none"}, []),
        ({"endpoint": "chat", "requestedModel": "echo/small", "maxMs": 1e9, "status": 200, "tag": "n=1"}, [4, 1]),
        ({"why": "no_such%reason"}, []),
    ],
)
def test_a_filter_selects_what_has_all_of_it(server: Served, criteria: dict[str, Any], expected: list[int]) -> None:
    assert [each for each in numbers(page(server, **criteria)) if each < 7] == expected


@pytest.mark.long
@pytest.mark.parametrize("before", ["", "x", "5", "ffffffffffffffff", "'; DROP TABLE records; --"])
def test_a_place_that_no_page_had_is_refused(server: Served, before: str) -> None:
    assert graphql(server, PAGE, f=None, n=1, before=before).code == "bad_request"


@pytest.mark.long
def test_attempts_of_a_page_come_with_it(server: Served) -> None:
    query = "{ records(last: 5) { rows { trace attempts { number model } } } }"
    rows = graphql(server, query).data["records"]["rows"]
    assert len(rows) == 5 and all(each["attempts"] == [{"number": 1, "model": "echo/small"}] for each in rows)


@pytest.mark.long
def test_indexes_find_sessions_end_users_flows_traces_and_the_next_page(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [SCHEMA])
    plans = {}
    with database.read() as connection:
        asked: list[str] = []
        connection.connection.driver_connection.set_trace_callback(asked.append)  # type: ignore[union-attr]  # sqlite3's own
        for name, criteria in {
            "none": RecordFilter("t"),
            "session": RecordFilter("t", session="s", tag="x"),
            "end_user": RecordFilter("t", end_user="u"),
            "flow": RecordFilter("t", flow="f"),
            "flow and more": RecordFilter("t", flow="f", model="m"),
            "trace": RecordFilter("t", trace="0af7", model="m"),
        }.items():
            page_of_records(connection, criteria, 20, before=NOW_MS << PROCESS_BITS)
            plans[name] = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[-1]}"))
    database.close()
    assert "USING INDEX records_tenant (tenant=? AND id<?)" in plans["none"]
    assert "USING INDEX records_session_cost (tenant=? AND session=? AND id<?)" in plans["session"]
    assert "USING INDEX records_end_user (tenant=? AND end_user=? AND id<?)" in plans["end_user"]
    assert all(
        "USING INDEX records_flow (tenant=? AND flow=? AND id" in plans[name] for name in ("flow", "flow and more")
    )
    assert "records_chunk (chunk=? AND trace>? AND trace<?)" in plans["trace"]
    assert not any("SCAN records" in plan or "TEMP B-TREE" in plan for name, plan in plans.items() if name != "trace")


@pytest.mark.long
def test_a_page_of_a_rare_thing_says_how_far_it_looked_and_goes_on_from_there(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [SCHEMA, SPANS_SCHEMA])
    with database.write() as connection:
        connection.execute(RECORDS.insert(), [row(number) for number in range(100)])
    with database.read() as connection:
        wanted, seen, before, pages = RecordFilter("t", tag="rare"), [], None, 0
        while True:
            found = page_of_records(connection, wanted, 5, before, max_scanned=30)
            seen += [each.at for each in found.rows]
            pages, before = pages + 1, found.before
            if before is None:
                break
            assert found.scanned_to is not None
    database.close()
    assert seen == [NOW_MS + number for number in (80, 40, 0)] and pages == 4


def row(number: int) -> dict[str, object]:
    at = NOW_MS + number
    text = dict.fromkeys(("door", "asked", "policy", "model", "why", "error", "degraded", "guards"), "")
    counts = dict.fromkeys(("input", "output", "cached", "cache_write", "reasoning", "attempts", "chunk"), 0)
    own = {
        "id": at * 1000 << PROCESS_BITS,
        "at": at,
        "tenant": "t",
        "project": "p",
        "key": "k",
        "trace": f"{number:032x}",
    }
    tags = join_tags(("rare",)) if number % 40 == 0 else None
    rest = {"trace": f"{number:032x}", "tags": tags, "status": 200, "total_ms": 1.0, "stream": False}
    return {**text, **counts, **own, **rest, "estimated": False}
