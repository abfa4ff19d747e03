"""Erasing what clients name: one conversation, or one end user, is gone with all that is found by it; sums stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import admin, fresh_key, graphql
from tests.running_server import ECHO, Served, serving, until

CONFIG = (
    ECHO
    + """
[records]
contents = true
[models."echo/small"]
price = {input = "1", output = "1"}
"""
)
TABLES = ("records", "contents", "feedback")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("named"), CONFIG) as served:
        yield served


def talk(server: Served, name: str) -> str:
    """A conversation of an end user, with a rating; returns its trace."""
    body = {
        "model": "echo/small",
        "messages": [{"role": "user", "content": f"canary of {name}"}],
        "user": f"{name}@x.org",
    }
    answer = server.ask("/v1/chat/completions", body, x_sizewise_session=f"talk-{name}")
    assert answer.status == 200
    trace = answer.headers["x-sizewise-trace"]
    rate = "mutation($t: String!) { feedback(trace: $t, score: 1) { trace } }"
    assert graphql(server, rate, t=trace).errors == []
    return trace


def rows(server: Served) -> dict[str, int]:
    with closing(sqlite3.connect(server.home / "sizewise.db")) as read:
        return {name: read.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}


def written(server: Served) -> None:
    graphql(server, "{ records(last: 1) { rows { trace } } }")
    until(lambda: rows(server)["contents"] == rows(server)["records"])


def total(server: Served) -> Any:
    return graphql(server, "{ usage { total { requests costUsd } } }").data["usage"]["total"]


@pytest.mark.long
@pytest.mark.parametrize("option", ["--session", "--end-user"])
def test_one_conversation_or_end_user_is_erased_after_a_dry_run_and_the_sums_stay(server: Served, option: str) -> None:
    ann, bob = f"ann{option[2]}", f"bob{option[2]}"
    for each in (ann, bob):
        talk(server, each)
    name = f"talk-{ann}" if option == "--session" else f"{ann}@x.org"
    written(server)
    before, spent = rows(server), total(server)
    dry = sizewise("erase", option, name, "--json", home=server.home).json
    assert {each["kind"]: each["count"] for each in dry["rows"]} | {
        "records": 1,
        "prompts and replies": 1,
        "ratings": 1,
    } == {each["kind"]: each["count"] for each in dry["rows"]}
    assert rows(server) == before
    done = sizewise("erase", option, name, "--yes", home=server.home)
    assert done.code == 0 and "not erased: stored responses" in done.err, done.err
    assert rows(server) == {table: count - 1 for table, count in before.items()}
    assert total(server) == spent
    find = "query($s: String) { records(filter: {session: $s}) { rows { trace } } }"
    assert graphql(server, find, s=f"talk-{ann}").data["records"]["rows"] == []
    assert len(graphql(server, find, s=f"talk-{bob}").data["records"]["rows"]) == 1
    log = graphql(server, "{ audit(last: 2) { action resource } }").data["audit"]
    assert ann not in str(log) and "erase_personal_data" in str(log)
    files = [path for path in server.home.rglob("*") if path.is_file() and path.name.startswith("sizewise.db")]
    assert not any(f"talk-{ann}".encode() in path.read_bytes() for path in files)


@pytest.mark.long
def test_names_of_nobody_erase_nothing_and_two_names_are_refused(server: Served) -> None:
    talk(server, "carl")
    written(server)
    before = rows(server)
    assert sizewise("erase", "--end-user", "nobody", "--yes", home=server.home).code == 0
    assert rows(server) == before
    both = sizewise("erase", "--session", "a", "--end-user", "b", home=server.home)
    assert both.code == 2 and "--end-user NAME" in both.hint
    erase = "mutation($s: String) { erasePersonalData(session: $s, dryRun: false) { dryRun } }"
    assert graphql(server, erase, key=fresh_key(server, "read"), s="talk-carl").code == "forbidden"
    assert graphql(server, erase, key=admin(server), s="").code == "bad_request"
    assert rows(server) == before
