"""Queries by their hash: kept as Apollo's clients have it, or listed in the settings and nothing else taken."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sizewise.errors import PersistedQueryNotFound
from sizewise.graphql.persisted_queries import MAX_CACHED_BYTES, PersistedQueries
from sizewise.graphql.request import OperationRequest, PersistedQueryExtension, RequestExtensions
from sizewise.principal import Principal
from sizewise.settings.graphql import GraphQLSettings
from tests.graphql.graphql_client import GraphQLAnswer, admin, fresh_key, graphql
from tests.running_server import ECHO, Served, serving

QUERY = "query Me { me { key } }"


def by_hash(server: Served, query: str | None, hash: str, key: str = "") -> GraphQLAnswer:
    body: dict[str, object] = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash}}}
    body |= {} if query is None else {"query": query}
    answer = server.ask("/graphql", body, key=key or admin(server))
    shown: Any = answer.json
    return GraphQLAnswer(answer.status, shown.get("data"), shown.get("errors", []))


def hashed(query: str) -> str:
    return sha256(query.encode()).hexdigest()


def test_a_query_is_kept_by_its_hash_once_it_was_sent_with_it(echo: Served) -> None:
    asked = by_hash(echo, None, hashed(QUERY))
    assert (asked.status, asked.message, asked.code) == (200, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    assert by_hash(echo, QUERY, hashed(QUERY)).data == {"me": {"key": "admin"}}
    assert by_hash(echo, None, hashed(QUERY)).data == {"me": {"key": "admin"}}


def test_a_hash_of_another_query_is_refused_and_nothing_kept(echo: Served) -> None:
    other = hashed("{ health { ready } }")
    assert by_hash(echo, QUERY, other).code == "bad_request"
    assert by_hash(echo, None, other).code == "PERSISTED_QUERY_NOT_FOUND"


def operation(query: str | None, hash: str) -> OperationRequest:
    return OperationRequest(query=query, extensions=RequestExtensions(PersistedQueryExtension(hash)))


def is_cached(queries: PersistedQueries, app: Any, tenant: str, query: str) -> bool:
    try:
        return queries.resolve(operation(None, hashed(query)), app, Principal(tenant)) == query
    except PersistedQueryNotFound:
        return False


def test_an_organization_that_caches_many_queries_evicts_its_own_alone() -> None:
    app: Any = SimpleNamespace(settings=SimpleNamespace(graphql=GraphQLSettings(max_persisted_queries=10)))
    queries = PersistedQueries()
    many = [f"{{ health {{ ready }} }} # {n}" for n in range(50)]
    for tenant, sent in (("small", [QUERY]), ("large", many)):
        for query in sent:
            queries.resolve(operation(query, hashed(query)), app, Principal(tenant))
    assert is_cached(queries, app, "small", QUERY)
    assert [is_cached(queries, app, "large", query) for query in many] == [False] * 41 + [True] * 9


def test_the_cache_is_bounded_in_bytes_and_not_in_characters() -> None:
    app: Any = SimpleNamespace(settings=SimpleNamespace(graphql=GraphQLSettings()))
    queries = PersistedQueries()
    wide = [f"# {n} " + "\N{EURO SIGN}" * (MAX_CACHED_BYTES // 5) for n in range(3)]  # three bytes a character
    for query in wide:
        queries.resolve(operation(query, hashed(query)), app, Principal("local"))
    assert [is_cached(queries, app, "local", query) for query in wide] == [False, False, True]


def test_where_queries_are_listed_no_other_is_taken(tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "me.graphql").write_text(QUERY + "\n")
    manifest = {"format": "apollo-persisted-query-manifest", "version": 1}
    operations = [{"id": "models-1", "name": "M", "type": "query", "body": "query M { models { name } }"}]
    (tmp_path / "apollo.json").write_text(json.dumps({**manifest, "operations": operations}))
    config = ECHO + '[graphql]\nqueries = "trusted"\ntrusted_documents = ["queries", "apollo.json"]\n'
    with serving(tmp_path, config) as server:
        key = fresh_key(server, "ask", "read")  # the admin token asks anything
        assert graphql(server, QUERY, key=key).errors == []
        assert by_hash(server, None, hashed(QUERY), key).errors == []
        assert by_hash(server, None, "models-1", key).data["models"][0] == {"name": "echo/small"}
        for refused in (
            graphql(server, "{ me { key } }", key=key),
            graphql(server, "{ __schema { types { name } } }", key=key),
            by_hash(server, "{ me { key } }", hashed(QUERY), key),
            by_hash(server, None, "models-2", key),
        ):
            assert (refused.status, refused.code) == (403, "forbidden")
        (tmp_path / "apollo.json").write_text("{")
        assert graphql(server, "mutation { reload { models } }").errors == []
        assert graphql(server, QUERY, key=key).code == "bad_config"
