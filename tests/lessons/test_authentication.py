"""Who may ask at all: what went wrong elsewhere between a request's first byte and the knowledge of who sent it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from graphql import GraphQLEnumType, GraphQLInputType, GraphQLNonNull, GraphQLObjectType, get_named_type

from sizewise.gateway.openapi import build_document
from sizewise.graphql.schema import SERVED
from tests.forked import command, run
from tests.gateway.server_harness import CHAT, Line, question, rows
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import Served, environment

ENDPOINTS = (
    CHAT,
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/responses",
    "/v1/models",
    "/graphql",
    "/metrics",
)
INJECTIONS = (
    "' OR '1'='1",
    "sw-x' UNION SELECT * FROM keys --",
    "'; DROP TABLE keys; --",
    '" OR ""="',
    "sw-%' OR digest LIKE '%",
)
OPEN = {"/healthz", "/readyz", "/openapi.json"}
"""What is told without a key, beside the page at /; and nothing of it is anybody's."""


def knocked(served: Served, path: str, **headers: Any) -> int:
    get = path in ("/v1/models", "/metrics")
    return served.ask(path, None if get else b"{}", key=None, **headers).status


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("key", INJECTIONS)
def test_01_what_is_said_to_be_a_key_is_never_part_of_a_query(served: Served, path: str, key: str) -> None:
    assert knocked(served, path, authorization=f"Bearer {key}") == 401
    assert knocked(served, path, x_api_key=key) == 401


def test_01_nor_is_any_other_word_of_a_client(served: Served) -> None:
    before = rows(served.home, "SELECT count(*) AS n FROM keys")
    for words in INJECTIONS:
        asked = (
            "query($w: String!) { a: records(filter: {model: $w}) { rows { at } }"
            " b: records(filter: {trace: $w}) { rows { at } } quality(policy: $w) { policy } }"
        )
        answer = graphql(served, asked, w=words)
        assert not answer.data or all(found in ([], {"rows": []}) for found in answer.data.values()), answer
        assert served.chat(words).status == 404
        assert served.chat("echo/small", sizewise={"session": words, "idempotency_key": words}).status == 200
    assert rows(served.home, "SELECT count(*) AS n FROM keys") == before


def test_02_only_the_whole_key_opens_also_after_it_was_used(served: Served) -> None:
    one, two = fresh_key(served, "ask"), fresh_key(served, "ask")
    assert served.ask("/v1/models", key=one).status == served.ask("/v1/models", key=two).status == 200
    other = "a" if one[-1] != "a" else "b"
    near = [
        one[:-1],
        one + "x",
        one[:-1] + other,
        one[:20] + two[20:],
        one[:11],
        one.upper(),
        one + "\x00",
        f"{one} {two}",
    ]
    for key in near:
        assert knocked(served, CHAT, authorization=f"Bearer {key}") in (400, 401), key
        assert knocked(served, CHAT, x_api_key=key) in (400, 401), key


@pytest.mark.parametrize(
    "line",
    [
        "GET {at}/v1/models HTTP/1.1\r\nhost: localhost/healthz?",
        "GET {at}/v1/models HTTP/1.1\r\nhost: localhost#/healthz",
        "GET {at}/v1/models HTTP/1.1\r\nhost: localhost\r\nx-forwarded-prefix: /healthz\r\nx-original-url: /healthz",
        "GET {at}/v1/models HTTP/1.1\r\nhost: localhost\r\nx-rewrite-url: /healthz\r\nx-forwarded-for: 127.0.0.1",
        "GET http://localhost/healthz/../v1/models HTTP/1.1\r\nhost: localhost",
        "GET /healthz/../v1/models HTTP/1.1\r\nhost: localhost",
        "GET /healthz/%2e%2e/v1/models HTTP/1.1\r\nhost: localhost",
        "GET //v1/models HTTP/1.1\r\nhost: localhost",
        "GET /v1/models;/healthz HTTP/1.1\r\nhost: localhost",
        "GET /v1/models?/healthz HTTP/1.1\r\nhost: localhost",
        "GET /V1/MODELS HTTP/1.1\r\nhost: localhost",
        "GET /metrics%00/healthz HTTP/1.1\r\nhost: localhost",
    ],
)
def test_04_what_is_authorised_is_what_is_answered(served: Served, line: str) -> None:
    with Line(served) as wire:
        for at in ("", "http://localhost"):
            wire.say(line.format(at=at).encode() + b"\r\n\r\n")
            answer = wire.answer()
            assert answer.status >= 400 and b"echo/small" not in answer.body, answer.body
            if answer.headers.get("connection") == "close" or "{at}" not in line:
                break


def test_11_no_foreign_page_is_let_in(served: Served) -> None:
    for path in (*ENDPOINTS, "/healthz", "/", "/openapi.json", "/nothing"):
        for method in ("OPTIONS", "GET", "POST"):
            wanted: dict[str, Any] = {"origin": "https://evil.example", "access_control_request_method": "POST"}
            answer = served.ask(path, b"{}" if method == "POST" else None, method=method, **wanted)
            assert not [name for name in answer.headers if name.startswith("access-control-")], path


def test_12_a_key_that_is_revoked_is_refused_at_once_on_every_endpoint(served: Served) -> None:
    key = fresh_key(served, "ask", "read")
    assert served.ask("/v1/models", key=key).status == 200
    id = graphql(served, "{ me { key } }", key=key).data["me"]["key"]
    assert graphql(served, "mutation($id: String!) { revokeKey(id: $id) { id } }", id=id).errors == []
    for path in ENDPOINTS:
        assert knocked(served, path, authorization=f"Bearer {key}") == 401, path


def test_17_an_answer_under_way_ends_with_the_right_to_it(served: Served) -> None:
    key = fresh_key(served, "ask")
    id = graphql(served, "{ me { key } }", key=key).data["me"]["key"]
    with Line(served) as line:
        body = question("[[say tick]] [[repeat 600]] [[pace 0.05]]", stream=True)
        line.say(line.request(CHAT, body, f"authorization: Bearer {key}"))
        assert line.head()[0] == 200
        assert b"tick" in line.chunk()
        graphql(served, "mutation($id: String!) { revokeKey(id: $id) { id } }", id=id)
        said = b""
        while piece := line.chunk():
            said += piece
    assert b"[DONE]" not in said and b"invalid_api_key" in said


@pytest.mark.parametrize("way", ["authorization", "x_api_key"])
def test_17_a_key_is_the_same_key_in_either_header(served: Served, asker: str, way: str) -> None:
    reader = fresh_key(served, "read")

    def sent(key: str) -> dict[str, Any]:
        return {way: f"Bearer {key}" if way == "authorization" else key}

    assert served.ask(CHAT, question(), key=None, **sent(reader)).status == 403
    assert served.ask("/metrics", key=None, **sent(asker)).status == 403
    assert served.ask(CHAT, question(), key=None, **sent(asker)).status == 200
    assert served.ask("/graphql", {"query": "{ records { rows { trace } } }"}, key=None, **sent(asker)).status == 403


def test_17_two_keys_at_once_are_never_the_rights_of_both(served: Served, asker: str) -> None:
    reader = fresh_key(served, "read")
    for first, second in ((asker, reader), (reader, asker)):
        both: dict[str, Any] = {"authorization": f"Bearer {first}", "x_api_key": second}
        may = [served.ask(CHAT, question(), key=None, **both).status, served.ask("/metrics", key=None, **both).status]
        assert sorted(may) == [200, 403], may


def test_21_it_listens_to_this_machine_alone(served: Served) -> None:
    parts = urlsplit(served.url)
    assert parts.hostname == "127.0.0.1"
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", parts.port or 0), 2):
        pass


def test_21_a_server_that_is_open_to_all_has_a_key_all_the_same(tmp_path: Path) -> None:
    """There is no way to be without one: a weak key is refused, and where none is brought one is made."""
    words = command("up", "--json", "--port", "0", "--host", "0.0.0.0", "--home", str(tmp_path))
    done = run(words, env=environment(SIZEWISE_KEY="x"))
    assert done.returncode == 2 and "SIZEWISE_KEY" in done.stderr + done.stdout


# ---- unauthenticated admin


def test_every_route_but_those_about_health_asks_for_a_key(served: Served) -> None:
    for path, operations in build_document()["paths"].items():
        for method in operations:
            if method == "parameters":
                continue
            spelt = path.replace("{id}", "auto")
            answer = served.ask(spelt, b"{}" if method == "post" else None, key=None, method=method.upper())
            opened = path in OPEN or operations[method].get("security") == []
            assert (answer.status == 401) is not opened, (method, path, answer.status)


def fields() -> list[tuple[str, str]]:
    """Every field of the schema as a whole question, with the kind of its operation."""
    schema, found = SERVED.schema, []
    for kind, root in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        assert isinstance(root, GraphQLObjectType)
        for name, field in root.fields.items():
            given = [
                f"{each}: {_some(one.type)}" for each, one in field.args.items() if isinstance(one.type, GraphQLNonNull)
            ]
            arguments = f"({', '.join(given)})" if given else ""
            below = " { __typename }" if isinstance(get_named_type(field.type), GraphQLObjectType) else ""
            found.append((kind, f"{kind} {{ {name}{arguments}{below} }}"))
    return found


def _some(kind: GraphQLInputType) -> str:
    named = get_named_type(kind)
    values = {
        "String": '"x"',
        "Int": "1",
        "Float": "0.5",
        "Boolean": "true",
        "NonNegativeSafeInt": "1",
        "Timestamp": "1",
        "Dollars": '"1"',
    }
    if isinstance(named, GraphQLEnumType):
        return str(next(iter(named.values)))
    return values.get(named.name, '"x"')


@pytest.mark.parametrize(("kind", "query"), fields())
def test_every_field_of_the_schema_asks_for_a_key_and_for_the_right_to_it(
    served: Served,
    asker: str,
    kind: str,
    query: str,
) -> None:
    for key in (None, "sw-nonsense", asker[:-1]):
        answer = graphql(served, query, key=key)
        assert (answer.status, answer.data, answer.code) == (401, None, "invalid_api_key")
    audit: Any = graphql(served, query, key=fresh_key(served, "read_audit"))
    own = "{ signOut" in query  # ends one's own sessions, and this key is nobody's
    assert kind == "query" or own or (audit.data is None and audit.code == "forbidden"), audit
