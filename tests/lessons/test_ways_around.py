"""Ways around a rule that a review of our own tried: a conversation, a repeated request, a second word for a limit.

Each was open once, on the day accounts were built; each is tried here from outside.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fake_openai_echo import FakeOpenAIEcho
from tests.gateway.server_harness import beside
from tests.graphql.graphql_client import admin, graphql
from tests.running_server import Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[providers.cloud]
base_url = "{url}"
place = "anyone"
models = ["big"]
[models."cloud/big"]
price = {{input = "1", output = "1000"}}
"""
CANARY = "canary-7731"
HEADERS = {"header": {"x_sizewise_data_class": "confidential"}, "offline": {"x_sizewise_online": "deny"}}


@pytest.fixture(scope="module")
def cloud() -> Iterator[FakeOpenAIEcho]:
    with beside(FakeOpenAIEcho) as up:
        yield up


@pytest.fixture(scope="module")
def server(cloud: FakeOpenAIEcho, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("ways"), CONFIG.format(url=cloud.url)) as found:
        yield found


def key(server: Served, arguments: str = "") -> str:
    made = graphql(server, f'mutation {{ createKey(name: "k" {arguments}) {{ secret }} }}').data
    return str(made["createKey"]["secret"])


def went(cloud: FakeOpenAIEcho, word: str) -> bool:
    return any(word in json.dumps(body) for body in cloud.received.bodies)


@pytest.mark.parametrize("way", ["key", "header", "offline"])
def test_a_conversation_goes_no_further_than_it_went(server: Served, cloud: FakeOpenAIEcho, way: str) -> None:
    """`previous_response_id` brought what was confidential to whoever asked next without saying so."""
    strict = key(server, "dataClass: confidential") if way == "key" else key(server)
    said: Any = {"header": {"x_sizewise_data_class": "confidential"}, "offline": {"x_sizewise_online": "deny"}}.get(
        way,
        {},
    )
    first: Any = server.ask("/v1/responses", {"model": "echo/small", "input": f"{CANARY}-{way}"}, key=strict, **said)
    assert first.status == 200
    going_on = {"model": "cloud/big", "input": "go on", "previous_response_id": first.json["id"]}
    again = server.ask("/v1/responses", going_on, key=key(server))
    assert again.status == 403 and "the conversation" in again.error["message"]
    assert not went(cloud, f"{CANARY}-{way}")
    near: Any = server.ask("/v1/responses", {**going_on, "model": "echo/large"}, key=key(server))
    assert near.status == 200
    third = server.ask("/v1/responses", {**going_on, "previous_response_id": near.json["id"]}, key=key(server))
    assert third.status == 403, "and so on, for as long as it goes"


def test_an_open_conversation_goes_where_it_went(server: Served, cloud: FakeOpenAIEcho) -> None:
    first: Any = server.ask("/v1/responses", {"model": "cloud/big", "input": "an open word"}).json
    again = server.ask("/v1/responses", {"model": "cloud/big", "input": "go on", "previous_response_id": first["id"]})
    assert again.status == 200


def test_a_repeated_request_is_not_given_to_a_key_that_may_not_ask_it(server: Served) -> None:
    """The answer to an idempotency key was told to every key of the project."""
    body = {"model": "echo/large", "messages": [{"role": "user", "content": "once"}]}
    assert server.ask("/v1/chat/completions", body, key=key(server), idempotency_key="once-1").status == 200
    confined = key(server, 'models: ["echo/small"]')
    assert server.ask("/v1/chat/completions", body, key=confined).status == 403
    assert server.ask("/v1/chat/completions", body, key=confined, idempotency_key="once-1").status == 409
    rotated = key(server)
    assert server.ask("/v1/chat/completions", body, key=rotated, idempotency_key="once-1").status == 200


def test_the_larger_of_two_limits_is_the_one_that_is_paid_for(server: Served, cloud: FakeOpenAIEcho) -> None:
    """Budgets held the smaller, and both went to the server, which obeys the one it knows."""
    body = {
        "model": "cloud/big",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 1,
        "max_tokens": 100_000,
    }
    before = len(cloud.received.bodies)
    answer = server.ask("/v1/chat/completions", body, x_sizewise_max_cost_usd="0.002")
    assert answer.status == 402 and len(cloud.received.bodies) == before


def test_no_header_takes_back_what_the_body_denies(server: Served) -> None:
    body = {"model": "cloud/big", "messages": [{"role": "user", "content": "hi"}], "sizewise": {"online": "deny"}}
    assert server.ask("/v1/chat/completions", body, x_sizewise_online="allow").status == 403


@pytest.mark.long
def test_who_follows_a_call_is_stopped_alone(server: Served) -> None:
    """A revoked follower listened to the end, and a revoked leader took those who followed with it."""
    leader, follower = key(server), key(server)
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "[[slow 1.5]] the whole answer"}]}
    got: dict[str, int] = {}

    def ask(name: str, by: str) -> None:
        got[name] = server.ask("/v1/chat/completions", body, key=by, idempotency_key="together").status

    threads = [threading.Thread(target=ask, args=pair) for pair in (("leader", leader), ("follower", follower))]
    for thread in threads:
        thread.start()
    while graphql(server, "{ health { ready } }").data is None:
        pass
    ids = {each["id"]: each for each in graphql(server, "{ keys { id state } }").data["keys"]}
    revoked = next(id for id in ids if leader.startswith(id))
    graphql(server, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=revoked)
    for thread in threads:
        thread.join()
    assert got == {"leader": 401, "follower": 200}
    ask("again", follower)
    assert got["again"] == 200, "a key that was revoked is no outcome of the call"


def test_who_comes_from_outside_is_not_told_what_limps(tmp_path: Path) -> None:
    config = CONFIG.format(url="http://127.0.0.1:9/v1").replace(
        "[server]",
        '[server]\nallowed_hosts = ["llm.example.com"]',
    )
    with serving(tmp_path, config) as server:
        for _ in range(4):
            server.chat("cloud/big")
        near: Any = server.ask("/readyz", key=None).json
        assert any("cloud/big" in limp for limp in near["impaired"])
        outside: Any = server.ask("/readyz", key=None, host="llm.example.com").json
        assert outside["impaired"] == ["hidden: use a key with the permission `read_metrics`"]
        known: Any = server.ask("/readyz", key=admin(server), host="llm.example.com").json
        assert known["impaired"] == near["impaired"]
