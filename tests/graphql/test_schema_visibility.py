"""What a caller is shown of the schema, and what a question may cost before it is answered."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from sizewise.graphql.schema import RESOLVERS
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import Served


def shown(server: Served, key: str = "") -> dict[str, set[str]]:
    """The fields of each root type, by an introspection query that a client's own library understands."""
    answer: Any = graphql(server, get_introspection_query(), key=key)
    schema = build_client_schema(answer.data)
    roots = (schema.query_type, schema.mutation_type, schema.subscription_type)
    return {root.name: set(root.fields) for root in roots if root is not None}


def test_the_admin_is_shown_every_field(echo: Served) -> None:
    assert shown(echo) == {name: set(known) for name, known in RESOLVERS.items()}


def test_a_key_is_shown_what_its_actions_open_and_nothing_else(echo: Served) -> None:
    seen = shown(echo, fresh_key(echo, "read_models"))
    assert {"me", "models", "catalog"} <= seen["Query"]
    assert not {"keys", "users", "encryption", "audit", "records"} & seen["Query"]
    assert "createKey" not in seen["Mutation"] and "Subscription" not in seen
    assert "ask" in shown(echo, fresh_key(echo, "ask"))["Subscription"]


def test_types_of_what_is_not_shown_are_not_shown_either(echo: Served) -> None:
    names = graphql(echo, "{ __schema { types { name } } }", key=fresh_key(echo, "ask")).data["__schema"]["types"]
    assert not {"User", "Encryption", "AuditEvent", "NewKey"} & {each["name"] for each in names}


def test_no_mistake_tells_what_is_not_shown(echo: Served) -> None:
    key = fresh_key(echo, "ask")
    answer = graphql(echo, "{ encryptio { wrappedBy } }", key=key)
    assert answer.status == 400 and "encryption" not in answer.message


def test_what_is_not_shown_is_refused_in_words_and_not_denied(echo: Served) -> None:
    answer = graphql(echo, "{ encryption { wrappedBy } }", key=fresh_key(echo, "ask"))
    assert (answer.status, answer.code) == (403, "forbidden")


@pytest.mark.parametrize(
    "query",
    [
        "{ " + " ".join(f"a{number}: me {{ key }}" for number in range(15)) + " }",
        "{ models { " + " ".join(f"a{number}: name" for number in range(30)) + " } }",
        "{ ...F ...F } fragment F on Query { a: me { key } }",
        "{ records(last: 1000) { rows { trace tokens { input output } attempts { model result } } } }",
    ],
)
def test_a_question_within_the_bounds_is_answered(echo: Served, query: str) -> None:
    assert graphql(echo, query).errors == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("{ models { " + " ".join(f"a{number}: name" for number in range(31)) + " } }", "aliases"),
        ("{ a: records(last: 1000) { rows { ...F } } b: records(last: 1000) { rows { ...F } } } "
         "fragment F on Record { at trace key attempts { model place result why error startedMs "
         "tokens { input output cached cacheWrite reasoning } } }",
         "values"),
    ],
)  # fmt: skip
def test_a_question_beyond_the_bounds_is_refused_before_it_is_answered(echo: Served, query: str, why: str) -> None:
    answer = graphql(echo, query)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert why in answer.message


def test_a_length_in_a_variable_counts_as_one_that_is_written(echo: Served) -> None:
    query = (
        "query($n: Int = 5) { records(last: $n) { rows { trace attempts { "
        + " ".join(
            f"{field} a{field}: {field} b{field}: {field}" for field in ("model", "place", "result", "why", "error")
        )
        + " } } } }"
    )
    assert graphql(echo, query).errors == []
    assert "values" in graphql(echo, query, n=2_000).message
