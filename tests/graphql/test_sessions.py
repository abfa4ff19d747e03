"""Conversations and the live tail of records: each with its count, cost and end user, of the caller's own project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.storage.database import open_database, sqlite_url
from sizewise.telemetry.conversation_queries import SessionFilter, page_of_sessions
from sizewise.telemetry.span_tables import SCHEMA as SPANS_SCHEMA
from sizewise.telemetry.tables import RECORDS, SCHEMA
from tests.graphql.graphql_client import fresh_key, graphql
from tests.graphql.subscription_client import events, opened
from tests.graphql.test_record_pages import row
from tests.running_server import ECHO, Served, serving

PRICED = ECHO + '[models."echo/small".price]\ninput = "1000000"\noutput = "1000000"\n'
PAGE = """query($f: SessionFilter, $n: Int, $before: String) { sessions(filter: $f, last: $n, before: $before) {
  rows { id requests traces errors first last costUsd unpriced inputTokens outputTokens endUser }
  before scannedTo } }"""
TAIL = "subscription($f: RecordFilter) { recordAdded(filter: $f) { requestedModel session status } }"
OTHER = 'mutation { createKey(name: "o", permissions: [ask, read_records], project: "other") { secret } }'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("sessions"), PRICED) as served:
        for session, words, user in (
            ("anna-1", "Hi", "anna"),
            ("anna-1", "[[fail]]", "anna"),
            ("ben-1", "Hi", "ben"),
            ("ben-1", "Hi", "carl"),
            ("ben-2", "Hi", "ben"),
            ("", "Hi", "ben"),
            ("anna-1", "Hi", "anna"),
        ):
            chat(served, words, session, user)
        yield served


def chat(server: Served, words: str, session: str, user: str = "u", model: str = "echo/small", key: str = "") -> None:
    body = {"model": model, "messages": [{"role": "user", "content": words}], "user": user}
    answer = server.ask("/v1/chat/completions", body, key=key, x_sizewise_session=session)
    assert answer.status == (502 if words == "[[fail]]" else 200), answer.body


def page(server: Served, n: int = 20, before: str | None = None, key: str = "", **wanted: Any) -> dict[str, Any]:
    answer = graphql(server, PAGE, key=key, f=wanted, n=n, before=before)
    assert answer.errors == [], answer
    found: dict[str, Any] = answer.data["sessions"]
    return found


def test_a_conversation_has_its_requests_cost_times_and_end_user(server: Served) -> None:
    found = {each["id"]: each for each in page(server)["rows"]}
    assert list(found) == ["anna-1", "ben-2", "ben-1"], "the one with the newest request first"
    anna = found["anna-1"]
    assert (anna["requests"], anna["traces"], anna["errors"]) == (3, 3, 1)
    assert anna["first"] < anna["last"] and len(anna["endUser"]) > 8 and "anna" not in anna["endUser"]
    assert found["ben-1"]["endUser"] is None, "two were named"
    query = """query($s: String!) { records(filter: {session: $s}) {
      rows { costUsd endUser tokens { input output } } } }"""
    rows = graphql(server, query, s="ben-1").data["records"]["rows"]
    assert len(rows) == 2 and float(found["ben-1"]["costUsd"]) == sum(float(each["costUsd"]) for each in rows) > 0
    assert found["ben-1"]["inputTokens"] == sum(each["tokens"]["input"] for each in rows)


def test_pages_of_conversations_go_on_and_filters_select(server: Served) -> None:
    first = page(server, 1)
    second = page(server, 5, first["before"])
    assert [each["id"] for each in first["rows"] + second["rows"]] == ["anna-1", "ben-2", "ben-1"]
    assert second["before"] is None and second["scannedTo"] is None
    assert [each["id"] for each in page(server, endUser="carl")["rows"]] == ["ben-1"]
    (ben,) = page(server, session="ben-2")["rows"]
    later = page(server, since=ben["last"] + 60_000)
    assert later["rows"] == [] and page(server, project="none")["rows"] == []


def test_conversations_and_the_tail_are_of_the_callers_project(server: Served) -> None:
    other = graphql(server, OTHER).data["createKey"]["secret"]
    chat(server, "Hi", "theirs", key=other)
    assert [each["id"] for each in page(server, key=other)["rows"]] == ["theirs"]
    assert page(server, key=other, project="default")["rows"] == []
    assert graphql(server, PAGE, key=fresh_key(server, "ask")).code == "forbidden"
    with opened(server, TAIL, key=fresh_key(server, "ask")) as response:
        assert response.status == 403
    with opened(server, TAIL, key=other) as response:
        chat(server, "Hi", "ours")
        chat(server, "Hi", "theirs-2", key=other)
        came = events(response)
        assert [next(came)[1]["data"]["recordAdded"]["session"] for _ in range(2)] == ["theirs", "theirs-2"]


def test_records_are_told_as_they_are_written_once_each(server: Served) -> None:
    with opened(server, TAIL, f={"requestedModel": "echo/large"}) as response:
        came = events(response)
        chat(server, "Hi", "tail-0")
        for number in (1, 2, 3):
            chat(server, "Hi", f"tail-{number}", model="echo/large")
            _, data = next(came)
            assert data["data"]["recordAdded"] == {
                "requestedModel": "echo/large",
                "session": f"tail-{number}",
                "status": 200,
            }


def test_no_conversation_is_left_out_or_shown_twice_where_a_page_looks_at_few_records(tmp_path: Path) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [SCHEMA, SPANS_SCHEMA])
    with database.write() as connection:
        rows = [{**row(number), "session": f"s{number % 7}" if number % 3 else None} for number in range(100)]
        connection.execute(RECORDS.insert(), rows)
    seen, before, pages = list[str](), None, 0
    with database.read() as connection:
        while True:
            found = page_of_sessions(connection, SessionFilter("t"), 2, before, max_scanned=30)
            seen += [each.id for each in found.rows]
            pages, before = pages + 1, found.before
            if before is None:
                break
    database.close()
    assert sorted(seen) == [f"s{number}" for number in range(7)] and pages > 3
