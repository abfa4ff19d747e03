"""What is another's: rights beyond one's own, and things of others by their ids."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import Served, serving

CREATE = """mutation($may: [Permission!], $class: DataClass, $project: String, $models: [String!]) {
  createKey(name: "more", permissions: $may, dataClass: $class, project: $project, models: $models) { secret key {
  dataClass } }
}"""


def test_06_nobody_makes_a_key_with_more_than_their_own_rights(served: Served) -> None:
    clerk = fresh_key(served, "manage_keys", "own_keys", "ask")
    for may in (["manage"], ["ask", "read_audit"], ["manage_users"], ["manage_encryption"], ["create_organizations"]):
        assert graphql(served, CREATE, key=clerk, may=may).code == "forbidden", may
    assert graphql(served, CREATE, key=clerk, may=["ask"]).errors == []
    assert graphql(served, CREATE, key=fresh_key(served, "ask"), may=["ask"]).code == "forbidden"


def test_06_nor_one_that_reaches_further(served: Served) -> None:
    made = graphql(
        served,
        CREATE,
        may=["own_keys", "manage_keys", "ask"],
        **{"class": "confidential"},
        models=["echo/small"],
    )
    narrow = made.data["createKey"]["secret"]
    again = graphql(served, CREATE, key=narrow, may=["ask"], **{"class": "public"})
    assert again.data["createKey"]["key"]["dataClass"] == "confidential", "the stricter of the two holds"
    text = again.data["createKey"]["secret"]
    body = {"model": "echo/large", "messages": [{"role": "user", "content": "hi"}]}
    assert served.ask("/v1/chat/completions", body, key=text).status in (403, 404, 422)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """A server, and the key of somebody in another organization who may everything there: its row is moved by hand."""
    home = tmp_path_factory.mktemp("tenants")
    with serving(home) as first:
        theirs = fresh_key(first, "ask", "read", "manage", "read_audit", "read_contents")
        id = graphql(first, "{ me { key } }", key=theirs).data["me"]["key"]
    with closing(sqlite3.connect(home / "sizewise.db")) as db, db:
        assert db.execute("UPDATE keys SET tenant = 'theirs', project = 'default' WHERE id = ?", (id,)).rowcount == 1
    db.close()
    with serving(home) as second:
        yield second, theirs


def test_16_things_of_another_organization_are_not_there(two: tuple[Served, str]) -> None:
    served, theirs = two
    made: Any = served.ask("/v1/responses", {"model": "echo/small", "input": "my own secret words"}).json
    trace = served.chat("echo/small").headers["x-sizewise-trace"]
    mine = graphql(served, "{ me { key } }", key=served.key).data["me"]["key"]
    id = made["id"]
    for method, path in (
        ("GET", f"/v1/responses/{id}"),
        ("GET", f"/v1/responses/{id}/input_items"),
        ("DELETE", f"/v1/responses/{id}"),
    ):
        got, unknown = (
            served.ask(path, key=theirs, method=method),
            served.ask(path.replace(id, "resp_0"), key=theirs, method=method),
        )
        assert (got.status, got.error["code"], got.error["hint"]) == (404, unknown.error["code"], unknown.error["hint"])
    on = {"model": "echo/small", "input": "go on", "previous_response_id": id}
    assert served.ask("/v1/responses", on, key=theirs).status == 404
    find = "query($t: String!) { records(filter: {trace: $t}) { rows { trace } } trace(id: $t) { id } }"
    assert graphql(served, find, key=theirs, t=trace).data == {"records": {"rows": []}, "trace": None}
    seen = graphql(served, "{ keys { id } records(last: 1000) { rows { key } } }", key=theirs).data
    assert mine not in str(seen)
    for change in ("revokeKey", "rotateKey"):
        asked = f"mutation($id: String!) {{ {change}(id: $id) {{ __typename }} }}"
        known, strange = (
            graphql(served, asked, key=theirs, id=mine),
            graphql(served, asked, key=theirs, id="sw-zzzzzzzz"),
        )
        assert known.data is None and known.code == strange.code == "not_found", (known, strange)
    verdict = "mutation($t: String!) { feedback(trace: $t, score: 0) { trace } }"
    judged = graphql(served, verdict, key=theirs, t=trace)
    assert judged.data is None or judged.data == {"feedback": []}
    assert served.ask(f"/v1/responses/{id}").status == 200, "and it is still there"
