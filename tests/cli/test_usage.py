"""`sizewise usage`: what was spent, by model, key, end user and others, equal to records and budgets."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key, graphql
from tests.older_records import make_older
from tests.running_server import ECHO, KEY, Served, serving, until

PRICED = (
    ECHO
    + """
[models."echo/small"]
price = {input = "0.1", output = "0.3"}
[models."echo/large"]
price = {input = "1", output = "3"}
[limits.organization]
usd_per_day = "100"
"""
)
ASK = """query($by: [UsageKey!], $filter: UsageFilter, $step: Int) { usage(by: $by, filter: $filter, step: $step) {
    rows { key at requests costUsd } total { requests costUsd errors tokens { input output } p50Ms }
    folded { count } } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("usage"), PRICED) as served:
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("one", "echo/small", {"x_sizewise_session": "s-1", "x_sizewise_tags": "team=a"}),
            ("one two three", "echo/large", {"x_sizewise_tags": "team=a, job=b"}),
            ("one two", "auto", {"x_sizewise_end_user": "ann@example.com"}),
            ("one", "echo/none", {}),
        ]
        for words, model, labels in requests:
            body = {"model": model, "messages": [{"role": "user", "content": words}]}
            assert served.ask("/v1/chat/completions", body, **labels).status in (200, 404)
        yield served


def asked(server: Served, **variables: Any) -> Any:
    found = graphql(server, ASK, **variables)
    assert found.errors == []
    return found.data["usage"]


def test_usage_is_that_of_records_and_budgets_by_any_key(server: Served) -> None:
    records = graphql(server, "{ records(last: 100) { rows { costUsd } } budgets { unit spent } }").data
    spent = sum(Decimal(each["costUsd"] or 0) for each in records["records"]["rows"])
    total = asked(server, by=["model"])["total"]
    (budget,) = [Decimal(each["spent"]) for each in records["budgets"] if each["unit"] == "usd/day"]
    assert (
        spent > 0
        and budget == spent
        and Decimal(total["costUsd"]) == spent
        and total["requests"] == len(records["records"]["rows"])
    )
    for key in ("model", "key", "policy", "endUser", "session", "status", "flow", "user", "project", "endpoint"):
        rows = asked(server, by=[key])["rows"]
        assert sum(Decimal(each["costUsd"]) for each in rows) == spent, key
    shown = sizewise("usage", "--by", "model", "--by", "status", home=server.home)
    assert shown.code == 0 and "echo/large" in shown.out and f"${total['costUsd']}" in shown.out.splitlines()[-1]
    assert sizewise("usage", "--by", "model", "--json", home=server.home).json["total"]["costUsd"] == total["costUsd"]


@pytest.mark.long
def test_filters_name_one_session_tag_or_end_user(server: Served) -> None:
    for filter, requests in (
        ({"session": "s-1"}, 1),
        ({"tag": "team=a"}, 2),
        ({"tag": "team"}, 0),
        ({"endUser": "ann@example.com"}, 1),
        ({"endUser": "bob@example.com"}, 0),
        ({"status": 404}, 1),
        ({"model": "echo/large", "tag": "job=b"}, 1),
    ):
        assert asked(server, by=[], filter=filter)["total"]["requests"] == requests, filter
    one = sizewise("usage", "--end-user", "ann@example.com", "--step", "1d", home=server.home)
    assert one.code == 0 and "ann" not in one.out and "SINCE" in one.out
    none = sizewise("usage", "--tag", "nothing", home=server.home)
    assert none.code == 0 and "no request is like that" in none.err


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--since", "yesterday"), "7d"),
        (("--since", "1d", "--until", "2d"), "since"),
        (("--step", "5h"), "divide a day"),
        (("--step", "0h"), "24h"),
        (("--step", "1h", "--since", "4w", "--first", "100"), "longer step"),
        (("--by", "end-user", "--by", "model"), "project and flow alone"),
        (("--by", "end-user", "--step", "1h"), "24 hours"),
        (("--by", "model", "--by", "model"), "once"),
        (("--first", "0"), "at least 1"),
    ],
)
def test_what_cannot_be_added_up_is_refused_by_name(server: Served, words: tuple[str, ...], hint: str) -> None:
    done = sizewise("usage", *words, home=server.home)
    assert done.code == 2 and hint in done.err, done.err


@pytest.mark.long
def test_a_key_of_one_project_sees_its_project_alone(server: Served) -> None:
    make = 'mutation { createKey(name: "p", project: "default", permissions: [read_budgets]) { secret } }'
    key = graphql(server, make).data["createKey"]["secret"]
    assert graphql(server, ASK, key=key).data["usage"]["total"]["requests"] > 0
    other = graphql(server, ASK, key=key, filter={"project": "other"})
    assert other.code == "forbidden"
    assert graphql(server, ASK, key=fresh_key(server, "ask")).code == "forbidden"


@pytest.mark.long
def test_roll_ups_are_made_by_the_server_and_outlive_the_records_also_across_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path, PRICED) as server:
        for words in ("one", "one two", "one two three"):
            assert server.chat("echo/large", words).status == 200
        before = asked(server, by=["model"])["total"]
    make_older(tmp_path, 5)
    with serving(tmp_path, PRICED, key=KEY) as server:
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()

    def counted() -> int:
        with closing(sqlite3.connect(tmp_path / "sizewise.db")) as database:
            return int(database.execute("SELECT sum(requests) FROM usage_hours").fetchone()[0] or 0)

    with serving(tmp_path, PRICED) as server:
        until(lambda: counted() == before["requests"])
        assert asked(server, by=["model"])["total"] == before
        (key,) = [row["key"][0] for row in asked(server, by=["key"])["rows"]]
        assert sizewise("records", "--erase", key, "--yes", home=tmp_path).code == 0
        assert asked(server, by=["model"])["total"] == before
        assert [row["key"] for row in asked(server, by=["key"])["rows"]] == [[""]]
        assert sizewise("records", "--json", home=tmp_path).json["records"] == []


@pytest.mark.long
def test_another_model_since_a_day_explains_what_a_day_costs_more(tmp_path: Path) -> None:
    with serving(tmp_path, PRICED) as served:
        for _ in range(3):
            served.chat("echo/small", "one two three")
        graphql(served, "{ records { rows { at } } }")  # which writes them
        assert make_older(tmp_path, 30) == 3
        for _ in range(3):
            served.chat("echo/large", "one two three")
        shown = sizewise("usage", "--compare", "--since", "24h", home=tmp_path)
        told = sizewise("usage", "--compare", "--since", "24h", "--json", home=tmp_path).json
        assert shown.code == 0 and told["sentence"] in shown.out, shown.out + shown.err
        difference = Decimal(told["after"]["costUsd"]) - Decimal(told["before"]["costUsd"])
        assert difference > 0 and Decimal(told["differenceUsd"]) == difference
        assert told["parts"] == {"volumeUsd": "0", "mixUsd": str(difference), "tokensUsd": "0", "priceUsd": "0"}
        assert [each["model"] for each in told["models"]] == ["echo/large", "echo/small"]
        assert "more than in as long a time before" in told["sentence"] and "by the mix of models" in told["sentence"]
        make = 'mutation { createKey(name: "p", project: "other", permissions: [read_budgets]) { secret } }'
        other = graphql(served, make).data["createKey"]["secret"]
        mine = graphql(served, "{ usageChange { sentence after { requests } models { model } } }", key=other).data
        assert mine["usageChange"] == {
            "sentence": "No request in this time, nor in as long a time before.",
            "after": {"requests": 0},
            "models": [],
        }
    refused = sizewise("usage", "--compare", "--by", "key", home=tmp_path)
    assert refused.code == 2 and "--by" in refused.err and "--compare" in refused.err
