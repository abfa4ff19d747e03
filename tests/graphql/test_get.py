"""GraphQL over HTTP as clients such as urql speak it: queries by GET, and the media type that they ask for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from sizewise.errors import BadBody
from sizewise.graphql.http_request import parse_query_string, response_type
from tests.graphql.graphql_client import admin, graphql
from tests.graphql.test_flows import SUPPORT, published
from tests.running_server import ECHO, Answer, Served, serving

URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
ME = "{ me { name } }"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("get"), ECHO) as server:
        assert published(server, SUPPORT).errors == []
        yield server


def get(server: Served, query: str = "", key: str | None = "", accept: str = URQL, **more: str) -> Answer:
    text = urlencode(({"query": query} if query else {}) | more)
    return server.ask(f"/graphql?{text}", key=admin(server) if key == "" else key, accept=accept)


def runs(server: Served) -> int:
    return len(graphql(server, "{ flowRuns(last: 1000) { id } }").data["flowRuns"])


@pytest.mark.long
def test_urql_reads_by_get_as_it_comes(desk: Served) -> None:
    query = "query Ask($q: String!) {\n  support_desk(question: $q) {\n    answer\n    __typename\n  }\n}"
    variables = json.dumps({"q": "tea & cake = ü"})
    answer = get(desk, query, operationName="Ask", variables=variables)
    assert answer.headers["content-type"] == "application/graphql-response+json"
    assert answer.json == {
        "data": {"support_desk": {"answer": "tea & cake = ü", "__typename": "Flow_support_desk"}},
    }
    assert answer.headers["cache-control"] == "no-store"


def test_a_stored_query_is_read_by_its_hash(desk: Served) -> None:
    hash = hashlib.sha256(ME.encode()).hexdigest()
    extensions = json.dumps({"persistedQuery": {"version": 1, "sha256Hash": hash}})
    assert b"PERSISTED_QUERY_NOT_FOUND" in get(desk, extensions=extensions).body
    assert get(desk, ME, extensions=extensions).status == 200
    assert get(desk, extensions=extensions).json == {"data": {"me": {"name": "admin"}}}


@pytest.mark.parametrize(
    "query",
    [
        'mutation { createKey(name: "x") { secret } }',
        "mutation { reload { models } }",
        f"query A {ME} mutation B {{ reload {{ models }} }}",
        'subscription { support_desk(question: "a") { text } }',
        'query { executeWorkflow(workflowId: "support-desk", payload: {question: "a"}) { status } }',
        '{ ...F } fragment F on Query { x: executeAgent(agentId: "support-desk", payload: {}) { status } }',
    ],
)
def test_what_acts_is_never_taken_by_get(desk: Served, query: str) -> None:
    before = runs(desk)
    answer = get(desk, query, operationName="B") if "mutation B" in query else get(desk, query)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    assert b"POST it as application/json" in answer.body
    assert runs(desk) == before


def test_a_get_needs_a_key_as_every_request(desk: Served) -> None:
    assert get(desk, ME, key=None).status == 401
    assert desk.ask("/graphql?" + urlencode({"query": ME}), key=None, cookie="sizewise=whatever").status in (401, 403)


@pytest.mark.parametrize(
    "text",
    ["", "query=", "variables={}", "query=%FF%FE", "query={me{name}}&variables=[1]", "query={me{name}}&variables={",
     "query={me{name}}&extensions=7", "query={me{name}}&" + "&".join(f"a{n}=1" for n in range(30))],
)  # fmt: skip
def test_a_query_string_that_is_no_request_is_refused(desk: Served, text: str) -> None:
    answer = desk.ask(f"/graphql?{text}", key=admin(desk), accept=URQL)
    assert answer.status == 400, answer.body
    shown: Any = answer.json
    assert shown["errors"][0]["extensions"]["hint"]


def test_the_last_of_two_queries_counts_and_blanks_are_kept() -> None:
    found = parse_query_string(b"query={a}&query={b}&variables=%7B%22x%22%3A+%22%22%7D&operationName=")
    assert (found.query, found.variables, found.operation_name) == ("{b}", {"x": ""}, None)
    with pytest.raises(BadBody):
        parse_query_string("query=ü".encode())


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/plain", "application/json"),
        ("application/graphql-response+json", "application/graphql-response+json"),
        (
            "application/graphql-response+json; charset=utf-8, application/json; q=0.9",
            "application/graphql-response+json",
        ),
        ("application/json, application/graphql-response+json;q=0.5", "application/json"),
        ("application/graphql-response+json;q=0, application/json;q=0.1", "application/json"),
        ("application/graphql-response+json;q=x", "application/json"),
        ("APPLICATION/JSON;q=0.1, application/graphql-response+json;q=0.2", "application/graphql-response+json"),
        (URQL, "application/graphql-response+json"),
    ],
)
def test_the_answer_has_the_type_that_the_client_prefers(accept: str, chosen: str) -> None:
    assert response_type(accept) == chosen


def test_a_post_and_an_error_have_the_type_that_the_client_prefers(desk: Served) -> None:
    for body, status in (({"query": ME}, 200), ({"query": "{ nothing }"}, 400)):
        answer = desk.ask("/graphql", body, key=admin(desk), accept="application/graphql-response+json")
        assert (answer.status, answer.headers["content-type"]) == (status, "application/graphql-response+json")
