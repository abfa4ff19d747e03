"""Limits on every endpoint of a real server: many at once, clients that leave, retries and shadows, caches, a kill."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.webhook_receiver import SECRET, receiving
from tests.graphql.graphql_client import admin, fresh_key, graphql
from tests.running_server import ECHO, Answer, Served, serving, until

PRICED = """
[models."echo/small".price]
input = "1"
output = "2"
[models."echo/large".price]
input = "3"
output = "5"
"""
CONFIG = f"""{ECHO.replace('"small", "large"', '"small", "large", "vectors"')}{PRICED}
[models."echo/vectors"]
task = "embed"
[models."echo/vectors".price]
input = "1"
output = "2"
"""
LIST = "{ budgets { scope unit limit spent reserved remaining resets source } }"
SET = """mutation ($scope: String!, $day: Dollars, $rpm: NonNegativeSafeInt) {
  setBudget(scope: $scope, usdPerDay: $day, requestsPerMinute: $rpm) { scope } }"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("budgets"), CONFIG) as served:
        yield served


def standing(server: Served, scope: str, unit: str = "usd/day") -> dict[str, float]:
    """limit, spent, reserved and left."""
    (found,) = [
        each for each in graphql(server, LIST).data["budgets"] if (each["scope"], each["unit"]) == (scope, unit)
    ]
    return {name: float(found[name]) for name in ("limit", "spent", "reserved", "remaining")}


def booked(server: Served, key: str = "") -> float:
    """Dollars of all attempts since the start, by /metrics."""
    text = server.ask("/metrics", key=admin(server)).body.decode()
    return sum(float(each) for each in re.findall(r"^sizewise_cost_dollars_total\{.*\} (.*)$", text, re.MULTILINE))


def limited_key(server: Served, day: str | None = None, rpm: int | None = None) -> tuple[str, str]:
    """A key of its own and its scope."""
    text = fresh_key(server, "ask")
    scope = f"key:{text[:11]}"
    assert graphql(server, SET, scope=scope, day=day, rpm=rpm).errors == []
    return text, scope


WORDS = "one two three [[slow 0.2]]"
MESSAGES = [{"role": "user", "content": WORDS}]
ENDPOINTS: list[tuple[str, dict[str, object]]] = [
    ("/v1/chat/completions", {"model": "echo/small", "messages": MESSAGES, "max_tokens": 20}),
    ("/v1/chat/completions", {"model": "echo/small", "messages": MESSAGES, "max_tokens": 20, "stream": True}),
    ("/v1/chat/completions", {"model": "echo/small", "messages": MESSAGES}),
    ("/v1/messages", {"model": "echo/small", "messages": MESSAGES, "max_tokens": 20}),
    ("/v1/messages", {"model": "echo/small", "messages": MESSAGES, "max_tokens": 20, "stream": True}),
    ("/v1/responses", {"model": "echo/small", "input": WORDS, "max_output_tokens": 20, "store": False}),
    ("/v1/responses", {"model": "echo/small", "input": WORDS, "stream": True, "store": False}),
    ("/v1/completions", {"model": "echo/small", "prompt": WORDS, "max_tokens": 20}),
    ("/v1/embeddings", {"model": "echo/vectors", "input": "one two three"}),
]


@pytest.mark.parametrize(
    ("path", "body"), ENDPOINTS, ids=lambda each: each if isinstance(each, str) else "-".join(each)
)
def test_fifty_at_once_do_not_pass_a_budget_for_ten(server: Served, path: str, body: dict[str, object]) -> None:
    key, scope = limited_key(server, day="0.0015")
    before = booked(server)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: server.ask(path, body, key=key, timeout=60), range(50)))
    codes = [answer.status for answer in answers]
    refused = next((answer for answer in answers if answer.status != 200), None)
    assert set(codes) <= {200, 402} and codes.count(200) >= 1
    stood = standing(server, scope)
    assert stood["spent"] <= stood["limit"]
    assert stood["spent"] == pytest.approx(booked(server) - before)
    assert stood["reserved"] == 0 and stood["remaining"] == pytest.approx(stood["limit"] - stood["spent"])
    if path != "/v1/embeddings":
        assert refused is not None and scope.partition(":")[2] in refused.body.decode()
        assert "renews at" in refused.body.decode()


def test_an_answer_of_no_said_length_ends_where_the_money_does(server: Served) -> None:
    key, scope = limited_key(server, day="0.0002")
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "a b c d e f g h [[repeat 5000]]"}]}
    answer = server.ask("/v1/chat/completions", body, key=key)
    shown: Any = answer.json
    assert answer.status == 200 and shown["choices"][0]["finish_reason"] == "length"
    assert 16 <= shown["usage"]["completion_tokens"] < 100
    stood = standing(server, scope)
    assert 0 < stood["spent"] <= stood["limit"]
    assert server.ask("/v1/chat/completions", body | {"max_tokens": 4_000}, key=key).status == 402


def test_a_client_that_leaves_in_mid_stream_leaves_no_reservation(server: Served) -> None:
    key, scope = limited_key(server, day="1")
    before = booked(server)
    body = {
        "model": "echo/small",
        "stream": True,
        "messages": [{"role": "user", "content": "a b c d [[hang after=3]]"}],
    }
    connection = server.connection()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    answer.read(20)
    assert standing(server, scope)["reserved"] > 0
    answer.close()
    connection.close()
    until(lambda: standing(server, scope)["reserved"] == 0)
    stood = standing(server, scope)
    assert 0 < stood["spent"] < 0.001
    assert stood["spent"] == pytest.approx(booked(server) - before)


@pytest.mark.long
def test_what_fails_is_retried_and_falls_back_is_counted_as_it_is_booked(tmp_path: Path) -> None:
    """The cascade asks the small one, distrusts it, and goes up; pairs are drawn; cues make attempts fail."""
    config = f"""{CONFIG}
[limits.organization]
usd_per_day = "1"
[shadow]
sample_rate = 1.0
max_concurrent = 4
[policies.default]
kind = "cascade"
threshold = 0.5
[policies.hedged]
kind = "cheapest"
hedge_delay_s = 0.05
[policies.strict]
kind = "cascade"
threshold = 0.5
votes = 3
verifier = "echo/large"
"""
    with serving(tmp_path, config) as server:
        for words in (
            "Hello [[logprob -5]]",
            "[[echo/small: fail upstream]] there",
            "a b [[echo/small: fail after=1]]",
            "[[echo/large: fail garbled times=1]] [[echo/small: fail]]",
            "[[uncounted]] some words",
        ):
            server.chat("auto", words)
        raced = server.chat("auto:hedged", "first to speak [[echo/small: slow 1]]")
        assert raced.status == 200 and raced.headers["x-sizewise-attempts"] == "2"
        assert int(server.chat("auto:strict", "one two three four").headers["x-sizewise-attempts"]) >= 5
        answers = [server.chat("auto", "tell me more", stream=True) for _ in range(3)]
        assert {answer.status for answer in answers} == {200}
        until(lambda: "sizewise_requests_in_flight 0.0" in _metrics(server))
        until(lambda: standing(server, "organization")["reserved"] == 0)
        stood = standing(server, "organization")
        assert stood["spent"] == pytest.approx(booked(server)) and stood["spent"] > 0
        assert re.search(r'sizewise_shadow_requests_total\{result="(un)?judged"\}', _metrics(server))
        assert "sizewise_budget_spent_ratio{" in _metrics(server)


@pytest.mark.long
def test_a_receiver_is_told_when_a_budget_runs_out(tmp_path: Path) -> None:
    with receiving() as receiver:
        config = f"""{CONFIG}
[limits."project:default"]
usd_per_day = "0.002"
[webhooks.ops]
url = "{receiver.url}"
secret = "env:HOOK"
place = "machine"
events = ["budget.alert"]
"""
        with serving(tmp_path, config, HOOK=SECRET) as server:
            statuses = [server.chat("echo/small", "word " * 20, max_tokens=20).status for _ in range(45)]
            assert statuses[0] == 200 and statuses[-1] == 402
            until(lambda: receiver.heard() >= 3)
        told = [json.loads(body) for _, body in receiver.came]
    assert [(each["type"], each["tenant"], each["data"]["percent"]) for each in told] == [
        ("budget.alert", "local", percent) for percent in (50, 80, 100)
    ]
    assert told[0]["data"]["scope"] == "project:default" and told[0]["data"]["limit_usd"] == "0.002"


def _metrics(server: Served) -> str:
    return server.ask("/metrics", key=admin(server)).body.decode()


def within_a_minute(story: Callable[[], None]) -> None:
    """Runs a story about one minute of the clock again where it was told over two."""
    began = int(time.time() // 60)
    try:
        story()
    except AssertionError:
        if int(time.time() // 60) == began:
            raise
        story()


@pytest.mark.parametrize(
    ("path", "body"), ENDPOINTS, ids=lambda each: each if isinstance(each, str) else "-".join(each)
)
def test_requests_a_minute_hold_on_every_endpoint(server: Served, path: str, body: dict[str, object]) -> None:
    def story() -> None:
        key, _ = limited_key(server, rpm=2)
        answers = [server.ask(path, body, key=key) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        for answer, left in zip(answers, ("1", "0", "0"), strict=True):
            assert answer.headers["x-ratelimit-limit-requests"] == "2"
            assert answer.headers["x-ratelimit-remaining-requests"] == left
            assert 1 <= int(answer.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 60
        assert 1 <= int(answers[2].headers["retry-after"]) <= 60
        assert "is limited to 2 requests per minute" in answers[2].body.decode()

    within_a_minute(story)


def test_a_repeated_request_counts_and_costs_nothing_more(server: Served) -> None:
    def story() -> None:
        key, scope = limited_key(server, rpm=2, day="1")
        body = {"model": "echo/small", "messages": MESSAGES}
        once = f"again-{scope}"
        answers = [server.ask("/v1/chat/completions", body, key=key, idempotency_key=once) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert standing(server, scope)["spent"] == pytest.approx(float(answers[0].headers["x-sizewise-cost-usd"]))

    within_a_minute(story)


def test_counting_tokens_is_a_request(server: Served) -> None:
    def story() -> None:
        key, _ = limited_key(server, rpm=1)
        body = {"model": "echo/small", "messages": MESSAGES}
        answers = [server.ask("/v1/messages/count_tokens", body, key=key) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]
        assert answers[0].headers["x-ratelimit-remaining-requests"] == "0"

    within_a_minute(story)


def test_a_caller_without_a_limit_sees_no_headers_of_one(server: Served) -> None:
    limited_key(server, rpm=2)
    assert not [name for name in server.chat("echo/small").headers if name.startswith("x-ratelimit")]


def test_who_may_not_set_limits_cannot(server: Served) -> None:
    requests = fresh_key(server, "ask", "read")
    assert graphql(server, SET, key=requests, scope="organization", rpm=1).code == "forbidden"
    assert graphql(server, LIST, key=fresh_key(server, "ask")).code == "forbidden"
    assert graphql(server, LIST, key=requests).errors == []


def test_a_project_sees_and_sets_its_own_limits_only(server: Served) -> None:
    made = graphql(
        server,
        'mutation { createKey(name: "p", permissions: [ask, read, manage], project: "lab") { secret key { id } } }',
    )
    key, id = made.data["createKey"]["secret"], made.data["createKey"]["key"]["id"]
    _, other = limited_key(server, rpm=7)
    assert graphql(server, SET, key=key, scope="project:lab", rpm=9).errors == []
    assert graphql(server, SET, key=key, scope=f"key:{id}", rpm=9).errors == []
    for scope in ("organization", "project:shop", other, "user:anna", "model:echo/small"):
        assert graphql(server, SET, key=key, scope=scope, rpm=9).code in ("forbidden", "not_found"), scope
    seen = {each["scope"] for each in graphql(server, LIST, key=key).data["budgets"]}
    assert seen == {"project:lab", f"key:{id}"}


@pytest.mark.parametrize(
    "scope",
    ["", "shop", "project:", "project: x", "team:x", "model:small", "organization:x", "key:" + "x" * 300],
)
def test_what_is_no_scope_is_said(server: Served, scope: str) -> None:
    assert graphql(server, SET, scope=scope, rpm=1).code == "bad_request"


@pytest.mark.long
def test_the_server_is_killed_and_comes_back_neither_overspent_nor_stuck(tmp_path: Path) -> None:
    config = f'{CONFIG}\n[limits.organization]\nusd_per_day = "0.01"\n'
    body = {"model": "echo/small", "max_tokens": 20, "messages": [{"role": "user", "content": "a b [[hang after=1]]"}]}
    with serving(tmp_path, config) as server:
        assert server.chat("echo/small", "one two", max_tokens=20).status == 200
        with ThreadPoolExecutor(8) as pool:
            hanging = [pool.submit(_ended, server, body) for _ in range(8)]
            until(lambda: standing(server, "organization")["reserved"] >= 8 * 0.00006)
            held = standing(server, "organization")
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(60)
            assert [each.result(60) for each in hanging] == [None] * 8
    with serving(tmp_path, config) as server:
        stood = standing(server, "organization")
        assert stood["spent"] + stood["reserved"] >= held["spent"] + held["reserved"]  # they may have been billed
        assert stood["remaining"] >= held["remaining"] - 0.01 / 64 - 0.0001
        statuses = [server.chat("echo/small", "one two", max_tokens=20).status for _ in range(3)]
        assert statuses == [200, 200, 200]
        with ThreadPoolExecutor(20) as pool:
            all = list(pool.map(lambda _: server.chat("echo/small", "word " * 40, max_tokens=500).status, range(60)))
        assert set(all) == {200, 402}
        ended = standing(server, "organization")
        assert ended["spent"] + held["reserved"] <= ended["limit"]


def _ended(server: Served, body: dict[str, object]) -> Answer | None:
    try:
        return server.ask("/v1/chat/completions", body)
    except OSError:
        return None
