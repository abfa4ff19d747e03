"""Records of an edge: they come home once, also after the gateway was away, and count in savings."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.edge.running_worker import free_port, upstream, worker
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import Served, environment, serving, until

MODELS = """
[server]
discover = false
embedded = false
[providers.up]
base_url = "{url}"
models = ["plain", "counted"]
[models."up/plain".price]
input = "1"
output = "2"
[models."up/counted".price]
input = "10"
output = "20"
[router]
small = "up/plain"
large = "up/counted"
[policies.default]
kind = "cheapest"
"""
EDGE = """
[edge]
name = "shop"
origin = "{origin}"
key = "env:EDGE_KEY"
"""
EDGES = "{ edges(last: 1000) { rows { name kind records waiting lost release seen } } }"
RECORDS = "{ records(last: 100) { rows { trace model policy status costUsd tags key } } }"


def edge_key(server: Served) -> str:
    return fresh_key(server, "serve_edge")


def report(record: Mapping[str, object] = {}, name: str = "till-1") -> dict[str, object]:
    one = {
        "id": uuid.uuid4().hex,
        "key": "sw-app",
        "trace": uuid.uuid4().hex,
        "at": 1_790_000_000_000,
        "endpoint": "chat",
        "asked": "auto",
        "policy": "default",
        "model": "up/plain",
        "status": 200,
        "total_ms": 20.0,
        "attempts": [
            {
                "model": "up/plain",
                "place": "anyone",
                "result": "answered",
                "began_ms": 1.0,
                "ended_ms": 19.0,
                "input": 1000,
                "output": 500,
                "cost": 2_000_000,
            }
        ],
        **record,
    }
    return {"edge": name, "kind": "machine", "release": "ab" * 32, "version": "1.0", "waiting": 3, "records": [one]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("home"), MODELS.format(url="https://api.example.com/v1")) as server:
        yield server


def test_a_record_that_comes_twice_counts_once_and_belongs_to_the_edge(home: Served) -> None:
    key, sent = edge_key(home), report()
    new = [home.ask("/edge/records", sent, key=key).json for _ in range(2)]
    assert new == [
        {"object": "edge.report", "new": 1, "known": 0},
        {"object": "edge.report", "new": 0, "known": 1},
    ]
    found = _all(home)
    mine = [each for each in found if each["trace"] == sent["records"][0]["trace"]]  # type: ignore[index]  # a list of one
    assert [(each["model"], each["tags"], each["key"]) for each in mine] == [("up/plain", ["edge:till-1"], "sw-app")]
    [edge] = [each for each in _edges(home) if each["name"] == "till-1"]
    assert (edge["kind"], edge["records"], edge["waiting"], edge["release"]) == ("machine", 1, 3, "ab" * 32)


def test_a_key_of_an_edge_does_nothing_else_and_other_keys_report_nothing(home: Served) -> None:
    key = edge_key(home)
    assert home.ask("/edge/records", report()).status == 403
    assert home.chat("up/plain").status != 403
    body = {"model": "up/plain", "messages": [{"role": "user", "content": "Hello"}]}
    assert home.ask("/v1/chat/completions", body, key=key).status == 403


@pytest.mark.parametrize(
    ("broken", "param"),
    [
        ({"id": "not-hex"}, "records[0].id"),
        ({"total_ms": -1}, "records[0].total_ms"),
        ({"status": 7}, "records[0].status"),
    ],
)
def test_a_report_that_cannot_be_read_is_refused_by_its_field(
    home: Served, broken: dict[str, object], param: str
) -> None:
    answer = home.ask("/edge/records", report(broken), key=edge_key(home))
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "bad_body", param)


@pytest.mark.node
def test_what_a_worker_answers_comes_home_once_also_after_the_gateway_was_away(tmp_path: Path) -> None:
    port = free_port()
    with upstream() as url:
        config = MODELS.format(url=url)
        with serving(tmp_path / "home", config, "--port", str(port)) as home:
            key = edge_key(home)
        edge_config = config + EDGE.format(origin=f"http://127.0.0.1:{port}")
        with worker(tmp_path / "edge", edge_config, EDGE_KEY=key) as edge:
            away = [edge.chat("auto", stream=stream) for stream in (False, True, False, True, False)]
            assert [each.status for each in away] == [200] * 5
            with serving(tmp_path / "home", config, "--port", str(port)) as home:
                traces = {each.headers["x-sizewise-trace"] for each in away}

                def come() -> bool:
                    """Each request takes along what waits."""
                    traces.add(edge.chat("auto").headers["x-sizewise-trace"])
                    return {each.headers["x-sizewise-trace"] for each in away} <= _traces(home)

                until(come, every=1.0)
                until(lambda: _traces(home) == traces)
                found = _records(home)
                assert len(found) == len(traces)
                assert {(each["model"], each["policy"], each["status"]) for each in found} == {
                    ("up/plain", "default", 200)
                }
                assert all(float(each["costUsd"]) > 0 for each in found)
                [shop] = _edges(home)
                assert (shop["name"], shop["records"], shop["lost"]) == ("shop", len(traces), 0)
                words = ("savings", "--json", "--home", str(home.home), "--config", str(home.home / "sizewise.toml"))
                argv = [sys.executable, "-m", "sizewise.cli.main", *words]
                told = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60)
                [policy] = [each for each in json.loads(told.stdout) if each["policy"] == "default"]
                assert (policy["requests"], policy["small"]) == (len(traces), len(traces))


def _traces(home: Served) -> set[str]:
    return {each["trace"] for each in _records(home)}


def _edges(home: Served) -> list[dict[str, Any]]:
    answer = graphql(home, EDGES)
    assert answer.data is not None, answer.errors
    found: list[dict[str, Any]] = answer.data["edges"]["rows"]
    return found


def _all(home: Served) -> list[dict[str, Any]]:
    answer = graphql(home, RECORDS)
    assert answer.data is not None, answer.errors
    found: list[dict[str, Any]] = answer.data["records"]["rows"]
    return found


def _records(home: Served) -> list[dict[str, Any]]:
    return [each for each in _all(home) if each["tags"]]
