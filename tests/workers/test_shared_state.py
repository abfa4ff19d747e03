"""A server of two gateway workers answers as one of a single process does: endpoints, limits, keys and slots."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.cache.slow_upstream import SlowUpstream, slow_upstream
from tests.gateway.server_harness import rows
from tests.graphql.graphql_client import admin, graphql
from tests.graphql.subscription_client import ASK, ask, hear, keyed, opened, socket, streamed
from tests.running_server import Served, serving, until
from tests.workers.processes import CLIENTS, RPM, asked_with, at_once, counted, key_of, settings

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def upstream() -> Iterator[SlowUpstream]:
    with slow_upstream() as up:
        yield up


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: SlowUpstream) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("workers")
    with serving(home, settings(upstream.url), UPSTREAM_KEY="sk-upstream") as served:
        yield served


def test_a_record_is_listed_as_soon_as_its_answer_is_there(server: Served) -> None:
    for number in range(10):
        trace = server.chat("echo/small", f"Question {number}").headers["x-sizewise-trace"]
        found = graphql(server, "query($t: String!) { records(filter: {trace: $t}) { rows { trace } } }", t=trace)
        assert found.errors == [] and found.data["records"]["rows"], found


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "echo/small", "messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/messages", {"model": "echo/small", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/responses", {"model": "echo/small", "input": "Hi"}),
        ("/v1/completions", {"model": "echo/small", "prompt": "Hi"}),
    ],
)
def test_an_endpoint_answers_with_and_without_a_stream(server: Served, path: str, body: dict[str, object]) -> None:
    assert server.ask(path, body).status == 200
    streamed = server.ask(path, {**body, "stream": True})
    assert (streamed.status, streamed.cut) == (200, False)
    assert b"Hi" in streamed.body


@pytest.mark.parametrize(
    "path", ["/v1/models", "/", "/openapi.json", "/healthz", "/readyz", "/graphql?query={__typename}"]
)
def test_a_page_is_answered(server: Served, path: str) -> None:
    answer = server.ask(path)
    assert answer.status == 200, answer.body
    assert answer.headers["x-content-type-options"] == "nosniff" or path.startswith("/graphql")


def test_an_unknown_path_is_the_same_404(server: Served) -> None:
    answer = server.ask("/v1/nothing", {})
    assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_a_header_of_ours_from_a_client_is_dropped(server: Served) -> None:
    forged = json.dumps(["evil.example", "203.0.113.9", True])
    answer = server.ask("/graphql", {"query": "{ me { key } }"}, key=admin(server), x_sizewise_forwarded=forged)
    assert answer.status == 200


def test_a_foreign_host_is_refused_by_forwarded_paths_too(server: Served) -> None:
    for path in ("/v1/models", "/v1/chat/completions"):
        answer = server.ask(path, None if path == "/v1/models" else {"model": "x"}, host="evil.example")
        assert answer.status == 403, (path, answer.body)


def test_a_subscription_streams_over_events_and_over_a_websocket(server: Served) -> None:
    assert "".join(each["ask"]["text"] or "" for each in streamed(server, ASK, p="Hello there")) == "Hello there"
    with socket(server, keyed(admin(server))) as connection:
        ask(connection, "1", "Hello there")
        heard = [
            each["payload"]["data"]["ask"]["text"] or ""
            for each in iter(partial(hear, connection), {"type": "complete", "id": "1"})
        ]
    assert "".join(heard) == "Hello there"


def test_an_idempotency_key_on_two_workers_is_one_call(server: Served, upstream: SlowUpstream) -> None:
    upstream.go()
    body = {"model": "up/alone", "messages": [{"role": "user", "content": "Hi"}]}
    answers = at_once(lambda n: server.ask("/v1/chat/completions", body, idempotency_key="once"), 32)
    assert {each.status for each in answers} == {200}
    assert len({each.body for each in answers}) == 1
    assert upstream.asked("alone") == 1


def test_a_rate_is_never_exceeded_and_at_most_one_block_of_each_worker_is_refused_early(server: Served) -> None:
    (secret, id), (probe, probe_id) = key_of(server), key_of(server)
    limit, block = 48, 48 // 16
    for each, most in ((id, limit), (probe_id, 10**6)):
        assert graphql(server, RPM, scope=f"key:{each}", n=most).errors == []
    limited = "x-ratelimit-limit-requests"
    until(lambda: all(limited in each.headers for each in at_once(lambda n: asked_with(server, probe), 16)))
    while time.time() % 60 > 45:  # all of it within one window
        time.sleep(1)
    answers = at_once(lambda n: asked_with(server, secret), 3 * CLIENTS)
    served = sum(each.status == 200 for each in answers)
    assert {each.status for each in answers} == {200, 429}
    assert limit - 2 * block <= served <= limit
    used = "SELECT MAX(taken) AS taken FROM budget_pots WHERE scope = ? AND unit = 'requests/minute'"
    assert rows(server.home, used, f"key:{id}")[0]["taken"] <= limit


def test_a_new_key_is_known_and_a_revoked_one_refused_by_both_workers(server: Served) -> None:
    for _ in range(5):
        secret, id = key_of(server)
        assert statuses(server, secret) == {200}
        graphql(server, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=id)
        assert statuses(server, secret) == {401}


def statuses(server: Served, key: str) -> set[int]:
    return {each.status for each in at_once(lambda n: asked_with(server, key), 16)}


def test_slots_of_a_model_are_never_exceeded_and_all_are_used(server: Served, upstream: SlowUpstream) -> None:
    upstream.stay()
    with ThreadPoolExecutor(12) as pool:
        running = [pool.submit(server.chat, "up/waits", f"Number {n}") for n in range(12)]
        until(lambda: upstream.received.active_requests == 3)
        busy, queued = "sizewise_slots_busy", "sizewise_slots_queued"
        until(lambda: (counted(server, busy), counted(server, queued)) == (3, 9))
        assert upstream.received.active_requests == 3
        upstream.go()
        assert {each.result().status for each in running} == {200}
    until(lambda: counted(server, "sizewise_slots_busy") == 0)


def test_a_client_that_leaves_a_forwarded_answer_stops_the_model(server: Served, upstream: SlowUpstream) -> None:
    before = upstream.received.disconnects
    with opened(server, ASK.replace("echo/small", "up/hang"), p="Hi"):
        until(lambda: upstream.asked("hang") == 1)
    until(lambda: upstream.received.disconnects == before + 1)


def test_a_key_that_is_revoked_ends_a_stream_of_any_worker(server: Served, upstream: SlowUpstream) -> None:
    upstream.stay()
    secret, id = key_of(server)
    body = {"model": "up/waits", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    before = upstream.asked("waits")
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(server.ask, "/v1/chat/completions", body, key=secret) for _ in range(3)]
        until(lambda: upstream.asked("waits") == before + 3)
        graphql(server, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=id)
        for each in running:  # the upstream says nothing more
            assert b"invalid_api_key" in each.result().body
    upstream.go()
