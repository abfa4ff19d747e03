"""Headers of every answer, errors and pages too: the request id, and the date."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from tests.gateway.server_harness import CHAT, Line, frames, question
from tests.running_server import Answer, Served

ANSWERS = [
    ("POST", CHAT, question(), 200),
    ("POST", CHAT, question(stream=True), 200),
    ("POST", CHAT, b"not json", 400),
    ("POST", "/v1/messages", question(max_tokens=9), 200),
    ("POST", "/v1/responses", b'{"model": "echo/small", "input": "hello", "store": false}', 200),
    ("POST", "/v1/embeddings", b'{"model": "echo/vectors", "input": "hello"}', 200),
    ("GET", "/v1/models", b"", 200),
    ("GET", "/v1/models/echo/small", b"", 200),
    ("GET", "/v1/models/none", b"", 404),
    ("GET", "/v1/nothing", b"", 404),
    ("GET", "/v1/messages/nothing", b"", 404),
    ("DELETE", CHAT, b"", 405),
    ("OPTIONS", "/v1/models", b"", 405),
    ("HEAD", "/v1/models", b"", 200),
    ("GET", "/healthz", b"", 200),
    ("GET", "/readyz", b"", 200),
    ("GET", "/metrics", b"", 200),
    ("GET", "/openapi.json", b"", 200),
    ("GET", "/", b"", 200),
    ("GET", "/sign-in", b"", 200),
    ("GET", "/auth/session", b"", 401),
    ("POST", "/graphql", b'{"query": "{ me { key } }"}', 200),
    ("POST", "/graphql", b"not json", 400),
    ("GET", "/graphql/graphiql.min.js", b"", 200),
    ("GET", "/graphql/nothing", b"", 404),
    ("POST", "/mcp", b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}', 200),
    ("POST", "/hooks/flows/none", b"{}", 404),
]


def ask(served: Served, method: str, path: str, body: bytes, *headers: str) -> Answer:
    with Line(served) as line:
        line.say(line.request(path, body, "content-type: application/json", *headers, method=method))
        if method != "HEAD":
            return line.answer()
        return Answer(*line.head(), b"")


@pytest.mark.parametrize(("method", "path", "body", "status"), ANSWERS)
def test_every_answer_has_a_request_id_and_the_date(
    server: Served, method: str, path: str, body: bytes, status: int
) -> None:
    before = time.time()
    answer = ask(server, method, path, body)
    assert answer.status == status
    id = answer.headers["x-request-id"]
    assert len(id) == 32 and set(id) <= set("0123456789abcdef") and answer.headers["x-sizewise-trace"] == id
    shown = answer.headers["date"]
    assert shown.endswith(" GMT") and before - 3 <= parsedate_to_datetime(shown).timestamp() <= time.time() + 1


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_also_what_is_no_request(server: Served, data: bytes) -> None:
    with Line(server) as line:
        line.say(data)
        answer = line.answer()
    assert answer.status == 400 and len(answer.headers["x-request-id"]) == 32 and answer.headers["date"]


@pytest.mark.parametrize(("method", "path", "body"), [(m, p, b) for m, p, b, _ in ANSWERS if "graphql" not in p])
def test_a_trace_of_the_client_is_the_request_id(server: Served, method: str, path: str, body: bytes) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = ask(server, method, path, body, f"traceparent: 00-{trace}-b7ad6b7169203331-01")
    assert answer.headers["x-request-id"] == trace


def test_chunks_of_one_completion_have_one_date(server: Served) -> None:
    before = int(time.time())
    chunks = [each for each in frames(server.chat("echo/small", "a b c", stream=True).body) if each != "[DONE]"]
    assert len({each["created"] for each in chunks}) == 1 and before <= chunks[0]["created"] <= time.time()
