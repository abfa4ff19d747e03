"""/graphql as an HTTP endpoint: who has access, in which form, and how large a question may be."""

from __future__ import annotations

import subprocess
import sys

import pytest
from graphql import get_introspection_query

from tests.graphql.graphql_client import admin, fresh_key, graphql
from tests.running_server import Served


def test_a_question_without_a_key_is_refused_in_the_shape_of_graphql(echo: Served) -> None:
    answer = graphql(echo, "{ me { key } }", key=None)
    assert (answer.status, answer.code) == (401, "invalid_api_key")
    assert answer.hint
    assert answer.data is None


def test_a_wrong_key_is_refused_and_not_repeated(echo: Served) -> None:
    answer = echo.ask("/graphql", {"query": "{ me { key } }"}, key="sw-no-such-key", content_type="application/json")
    assert answer.status == 401
    assert "www-authenticate" in answer.headers
    assert b"sw-no-such-key" not in answer.body


def test_reading_it_in_a_browser_tells_how_to_ask(echo: Served) -> None:
    answer = echo.ask("/graphql")
    assert answer.status == 400
    assert b"POST" in answer.body
    answer = echo.ask("/graphql", method="PUT")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


def test_a_host_name_that_is_not_ours_is_refused_even_with_a_key(echo: Served) -> None:
    body = {"query": "{ me { key } }"}
    for host, status in (("evil.example:80", 403), ("localhost", 200)):
        answer = echo.ask("/graphql", body, key=admin(echo), content_type="application/json", host=host)
        assert answer.status == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_taken_so_that_no_foreign_page_can_send_it(echo: Served, kind: str) -> None:
    answer = echo.ask("/graphql", b'{"query": "{ me { key } }"}', content_type=kind)
    assert answer.status == 415


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"query": 1}', b'{"query": "{me{key}}", "variables": []}', b"\xff"],
)
def test_a_body_that_is_no_question_is_refused(echo: Served, body: bytes) -> None:
    answer = echo.ask("/graphql", body, method="POST", content_type="application/json")
    assert answer.status == 400
    assert b"bad_body" in answer.body


def test_a_body_beyond_the_limit_is_refused(echo: Served) -> None:
    answer = echo.ask("/graphql", b'{"query": "' + b"x" * 9_000_000, content_type="application/json")
    assert answer.status == 413


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("{ me { nme } }", "Did you mean 'name'"),
        ("{ me { name }", "Syntax Error"),
        ("query A { me { key } } query B { me { key } }", "operation name"),
        ("subscription { me { key } }", "'Subscription'"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong_in_it(echo: Served, query: str, why: str) -> None:
    answer = graphql(echo, query)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert why in answer.message


def test_a_value_that_does_not_fit_is_the_askers_mistake(echo: Served) -> None:
    answer = graphql(
        echo,
        'mutation($m: [Permission!]) { createKey(name: "t", permissions: $m) { secret } }',
        m=["everything"],
    )
    assert (answer.status, answer.code) == (400, "bad_request")


def test_the_usual_introspection_query_passes(echo: Served) -> None:
    assert graphql(echo, get_introspection_query()).errors == []


AT_THE_TOP = " ".join(f"a{n}: roles" for n in range(21))
LARGE = {
    "50,000 directives": "{ me { key " + "@a" * 50_000 + "} }",
    "1,000 aliases": "{ me {" + " ".join(f"a{n}: key" for n in range(1_000)) + "} }",
    "brackets inside brackets": "{me" * 200,
    "13 fields deep": "{" + "a{" * 12 + "b" + "}" * 13,
    "21 fields at the top": "{" + AT_THE_TOP + "}",
    "21 fields at the top, in a fragment": "{ ...F } fragment F on Query {"
    + " ".join(f"a{n}: roles" for n in range(21))
    + "}",
    "fragments in a circle": "{ models { ...A } } fragment A on Model { ...B } fragment B on Model { ...A }",
    "a word of a million letters": '{ model(name: "' + "a" * 1_000_000 + '") { name } }',
    "introspection of introspection": "{__schema{types{fields{type{fields{type{fields{type{fields{name}}}}}}}}}}",
}


@pytest.mark.parametrize("query", LARGE.values(), ids=LARGE.keys())
def test_a_question_too_large_is_refused_before_it_is_worked_out(echo: Served, query: str) -> None:
    answer = graphql(echo, query)
    assert answer.status == 400
    assert answer.data is None


def test_fragments_that_double_cost_nothing(echo: Served) -> None:
    double = "".join(f"fragment F{n} on Model {{ ...F{n + 1} ...F{n + 1} }} " for n in range(40))
    answer = graphql(echo, "{ models { ...F0 } } " + double + "fragment F40 on Model { name }")
    assert answer.data["models"][0] == {"name": "echo/small"}, "read 2^40 times it would never be answered"


def test_all_fields_together_bring_out_a_bounded_number_of_records(echo: Served) -> None:
    answer = graphql(
        echo,
        "{ a: records(last: 1000) { rows { at } } b: records(last: 1000) { rows { at } } "
        "c: records(last: 1) { rows { at } } }",
    )
    assert answer.code == "bad_request"


def test_a_key_that_may_only_ask_sees_models_and_nothing_that_happened(echo: Served) -> None:
    key = fresh_key(echo, "ask")
    assert graphql(echo, "{ me { permissions } models { name } modelAliases }", key=key).data["me"]["permissions"] == [
        "ask",
    ]
    for query in (
        "{ records { rows { trace } } }",
        '{ records(filter: {trace: "a"}) { rows { trace } } }',
        "{ keys { id } }",
        'mutation { createKey(name: "more") { secret } }',
        'mutation { revokeKey(id: "sw-a") { id } }',
        "mutation { reload { models } }",
    ):
        answer = graphql(echo, query, key=key)
        assert (answer.status, answer.code) == (403, "forbidden"), query


def test_a_key_that_may_only_read_can_neither_make_nor_revoke_keys(echo: Served) -> None:
    key = fresh_key(echo, "read")
    assert graphql(echo, "{ records { rows { trace } } keys { id } models { name } }", key=key).errors == []
    assert graphql(echo, 'mutation { createKey(name: "more") { secret } }', key=key).code == "forbidden"


def test_nobody_makes_a_key_with_more_rights_than_their_own(echo: Served) -> None:
    key = fresh_key(echo, "manage")
    answer = graphql(echo, 'mutation { createKey(name: "more", permissions: [ask, manage]) { secret } }', key=key)
    assert answer.code == "forbidden"
    assert "ask" in answer.message


def test_a_revoked_key_is_refused_at_the_next_question(echo: Served) -> None:
    key = fresh_key(echo, "ask", "read")
    mine = graphql(echo, "{ me { key } }", key=key).data["me"]["key"]
    assert (
        graphql(echo, "mutation($id: String!) { revokeKey(id: $id) { id } }", id=mine).data["revokeKey"]["id"] == mine
    )
    assert graphql(echo, "{ me { key } }", key=key).status == 401


def test_a_key_is_told_once_and_kept_nowhere(echo: Served) -> None:
    key = fresh_key(echo, "ask")
    listed = echo.ask("/graphql", {"query": "{ keys { id name } }"}, key=admin(echo), content_type="application/json")
    assert key.encode() not in listed.body
    assert all(key.encode() not in path.read_bytes() for path in echo.home.iterdir() if path.is_file())


@pytest.mark.long
def test_the_graphql_library_is_not_loaded_before_the_first_question() -> None:
    code = "import sys, sizewise.graphql.asgi; print('graphql' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
