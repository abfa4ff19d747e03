"""A Worker with a gateway at home: what only that answers is asked there, and what happens while it is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.edge.running_worker import free_port, upstream, worker
from tests.releases.test_environments import project
from tests.running_server import ECHO, THRESHOLD, Served, serving

pytestmark = pytest.mark.node
SETTINGS = """
[server]
discover = false
embedded = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[providers.up]
base_url = "{url}"
models = ["plain"]
[policies.default]
kind = "fixed"
models = ["up/plain"]
[policies.voting]
kind = "cascade"
votes = 3
threshold = 0.5
models = ["echo/small", "echo/large"]
[edge]
origin = "{origin}"
unsupported = "forward"
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    folder = tmp_path_factory.mktemp("origin")
    voting = (
        '\n[policies.voting]\nkind = "cascade"\nvotes = 3\nthreshold = 0.5\nmodels = ["echo/small", "echo/large"]\n'
    )
    project(folder / "home")
    with upstream() as url, serving(folder / "home", ECHO + THRESHOLD + voting) as home:
        with worker(folder / "edge", SETTINGS.format(url=url, origin=home.url)) as edge:
            yield home, edge


def test_a_model_that_only_the_gateway_has_is_asked_there(pair: tuple[Served, Served]) -> None:
    _, edge = pair
    for stream in (False, True):
        answer = edge.chat("echo/small", "Good morning", stream=stream)
        assert (answer.status, answer.headers["x-sizewise-model"]) == (200, "echo/small")
        assert b"Good morning" in answer.body or b"morning" in answer.body


def test_a_policy_that_cannot_run_here_and_other_apis_are_forwarded(pair: tuple[Served, Served]) -> None:
    home, edge = pair
    assert edge.chat("auto:voting").status == 200
    body = {"model": "echo/small", "input": "Hello"}
    mine, theirs = (each.ask("/v1/responses", body) for each in (home, edge))
    assert (mine.status, theirs.status) == (200, 200)
    assert edge.ask("/v1/responses", body, key="sk-other").status == 401


def test_a_flow_is_asked_by_its_persisted_field_at_the_gateway(pair: tuple[Served, Served]) -> None:
    home, edge = pair
    query = "query ($q: String!) { answer(question: $q) { answer } }"
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": sha256(query.encode()).hexdigest()}}
    by_hash = {"extensions": extensions, "variables": {"q": "Good morning"}}
    unknown: Any = edge.ask("/graphql", by_hash).json
    assert unknown["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    stored: Any = edge.ask("/graphql", {**by_hash, "query": query}).json
    again: Any = edge.ask("/graphql", by_hash).json
    direct: Any = home.ask("/graphql", by_hash).json
    assert stored == again == direct and "Good morning" in again["data"]["answer"]["answer"]
    assert edge.ask("/graphql", by_hash, key="sk-other").status == 401


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_with_a_json_schema_gets_an_object_of_it(pair: tuple[Served, Served], stream: bool) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    shape = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    said = '[[say {"city": "Rome"}]] Where?'
    for server in pair:
        answer = server.chat("echo/small", said, response_format=shape, stream=stream)
        assert (answer.status, answer.headers["x-sizewise-model"]) == (200, "echo/small")
        assert json.loads(words_of(answer.body, stream)) == {"city": "Rome"}


def words_of(body: bytes, stream: bool) -> str:
    if not stream:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks if each["choices"])


def test_while_the_gateway_is_away_models_of_the_edge_go_on_answering(tmp_path: Path) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    with upstream() as url, worker(tmp_path, SETTINGS.format(url=url, origin=origin)) as edge:
        assert edge.chat("auto").headers["x-sizewise-model"] == "up/plain"
        away = edge.chat("auto:voting")
        assert (away.status, away.error["code"], away.headers["retry-after"]) == (503, "model_unavailable", "10")
        assert edge.chat("echo/small").status == 502
