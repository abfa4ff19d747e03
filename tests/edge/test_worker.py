"""The Worker in a real workerd: what a client sees of it. Provider, KV and cache are doubles."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder
from tests.edge.echoing_upstream import echoing_upstream
from tests.edge.running_worker import upstream, worker
from tests.running_server import KEY, Served

pytestmark = pytest.mark.node
SETTINGS = """
[server]
discover = false
embedded = false
max_body_bytes = 100_000
[egress]
confidential = "network"
[providers.up]
base_url = "{url}"
key = "env:UP_KEY"
models = ["plain", "list", "reset-mid", "broken"]
[providers.near]
base_url = "{url}"
place = "network"
models = ["counted"]
[models."up/plain"]
parameters = 1_000_000_000
[models."up/plain".price]
input = "0.1"
output = "0.2"
[models."near/counted"]
parameters = 70_000_000_000
context = 2_000
[models."near/counted".price]
input = "1"
output = "2"
[policies.default]
kind = "cheapest"
models = ["up/plain", "near/counted"]
[policies.broken]
kind = "fixed"
retries = 0
models = ["up/broken", "near/counted"]
"""

HANGING = """
[providers.up.timeouts]
first_byte_s = 0.5
[models."up/hang"]
edge = true
[policies.hanging]
kind = "fixed"
retries = 0
models = ["up/hang", "near/counted"]
"""
"""A model of Workers AI that never answers."""


class SlowOpenAI(FakeOpenAI):
    def fault(self, model: str) -> FaultResponder:
        return _write_slowly


async def _write_slowly(body: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    for word, finish in (("One ", None), ("two ", None), ("three", "stop")):
        await asyncio.sleep(0.5)
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": finish}
        writer.write(b"data: %b\n\n" % json.dumps({"id": "up-1", "model": "up", "choices": [choice]}).encode())
        await writer.drain()
    writer.write(b"data: [DONE]\n\n")
    return False


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with upstream() as url, worker(tmp_path_factory.mktemp("edge"), SETTINGS.format(url=url), UP_KEY="sk-up") as made:
        yield made


def test_a_chat_is_answered_by_the_model_that_the_policy_chooses(edge: Served) -> None:
    answer = edge.chat("auto")
    assert answer.status == 200
    assert (answer.headers["x-sizewise-model"], answer.headers["x-sizewise-why"]) == (
        "up/plain",
        "the cheapest model that fits",
    )
    assert answer.headers["x-sizewise-cost-usd"] == "0.0000017"
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "Hello from the upstream."


def test_a_stream_is_passed_through_and_its_last_chunk_says_what_it_cost(edge: Served) -> None:
    answer = edge.chat("auto", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = [line.removeprefix("data: ") for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    assert chunks.pop() == "[DONE]"
    read = [json.loads(each) for each in chunks]
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in read) == "Hello from the upstream."
    assert read[-1]["sizewise"]["model"] == "up/plain"
    assert read[-1]["sizewise"]["cost_usd"] == "0.0000017"


def test_a_failed_model_is_followed_by_the_next_one(edge: Served) -> None:
    answer = edge.chat("auto:broken")
    assert (answer.status, answer.headers["x-sizewise-model"], answer.headers["x-sizewise-attempts"]) == (
        200,
        "near/counted",
        "2",
    )
    assert answer.headers["x-sizewise-why"] == "up/broken failed (upstream_error)"


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_of_workers_ai_that_hangs_is_followed_by_the_next_one(tmp_path: Path, stream: bool) -> None:
    settings = SETTINGS.replace('"reset-mid"', '"hang"') + HANGING
    with upstream() as url, worker(tmp_path, settings.format(url=url), UP_KEY="sk-up") as edge:
        answer = edge.chat("auto:hanging", stream=stream)
    said = (answer.status, answer.headers["x-sizewise-model"], answer.headers["x-sizewise-why"])
    assert said == (200, "near/counted", "up/hang failed (upstream_timeout)")


def test_a_stream_may_take_longer_than_its_first_byte(tmp_path: Path) -> None:
    settings = SETTINGS + "[providers.up.timeouts]\nfirst_byte_s = 1\n"
    with (
        echoing_upstream(SlowOpenAI) as up,
        worker(tmp_path, settings.format(url=up.url), UP_KEY="sk-up") as edge,
    ):
        body = edge.chat("auto", stream=True).body.decode()
    assert ("three" in body, "[DONE]" in body, "error" in body) == (True, True, False)


def test_confidential_data_goes_no_further_than_the_settings_allow(edge: Served) -> None:
    answer = edge.ask(
        "/v1/chat/completions",
        {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]},
        x_sizewise_data_class="confidential",
    )
    assert answer.headers["x-sizewise-model"] == "near/counted"
    named = edge.ask(
        "/v1/chat/completions",
        {
            "model": "up/plain",
            "messages": [{"role": "user", "content": "Hi"}],
            "sizewise": {"data_class": "confidential"},
        },
    )
    assert (named.status, named.error["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_body"),
        (b'{"model":"auto","model":"x","messages":[]}', 400, "bad_body"),
        (b'{"model":"auto","messages":[{"role":"king","content":"x"}]}', 400, "bad_body"),
        (b'{"model":"nope","messages":[{"role":"user","content":"x"}]}', 404, "model_not_found"),
        (b'{"model":"auto","messages":[{"role":"user","content":"' + b"x" * 100_000 + b'"}]}', 413, "body_too_large"),
        (b'{"model":"up/list","messages":[{"role":"user","content":"x"}]}', 502, "upstream_garbled"),
    ],
)
def test_errors_have_the_shape_of_openais_api(edge: Served, body: bytes, status: int, code: str) -> None:
    answer = edge.ask("/v1/chat/completions", body)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["hint"]


def test_without_a_valid_key_nothing_is_answered(edge: Served) -> None:
    for key in (None, "sk-other", KEY + "x"):
        answer = edge.ask("/v1/models", key=key)
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


def test_models_lists_roles_and_models(edge: Served) -> None:
    names = [each["id"] for each in json.loads(edge.ask("/v1/models").body)["data"]]
    assert {"auto", "auto:broken", "small", "large", "up/plain", "near/counted"} <= set(names)
    assert json.loads(edge.ask("/v1/models/up/plain").body)["owned_by"] == "up"
    assert edge.ask("/v1/models/nope").status == 404


def test_a_stream_that_breaks_after_its_first_word_ends_with_an_error_event(edge: Served) -> None:
    connection = edge.connection()
    body = json.dumps({"model": "up/reset-mid", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {KEY}"})
    try:
        said = connection.getresponse().read()
    except http.client.IncompleteRead as cut:
        said = cut.partial
    finally:
        connection.close()
    assert b'"code":"stream_interrupted"' in said
    assert b"[DONE]" not in said


def test_health_names_the_release_to_anyone(edge: Served) -> None:
    shown = json.loads(edge.ask("/health", key=None).body)
    assert (shown["status"], len(shown["release"])) == ("ok", 64)


def test_an_answer_at_temperature_0_is_kept_for_the_same_question(tmp_path: Path) -> None:
    kept = SETTINGS + "\n[response_cache]\nttl_s = 60\n"
    with upstream() as url, worker(tmp_path, kept.format(url=url), UP_KEY="sk-up") as edge:
        first, again = (edge.chat("auto", temperature=0) for _ in range(2))
        other, warm = edge.chat("auto", "Hello you", temperature=0), edge.chat("auto", temperature=0.5)
    assert (first.json, first.headers["x-sizewise-cost-usd"]) == (again.json, "0.0000017")
    assert (again.headers["x-sizewise-cost-usd"], "response cache" in again.headers["x-sizewise-why"]) == ("0", True)
    assert [each.headers["x-sizewise-cost-usd"] for each in (other, warm)] == ["0.0000017"] * 2


def test_a_limit_of_requests_holds_per_key(tmp_path: Path) -> None:
    limited = SETTINGS + "\n[edge]\nrequests_per_minute = 2\n"
    with upstream() as url, worker(tmp_path, limited.format(url=url), UP_KEY="sk-up") as edge:
        answers = [edge.chat("auto") for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert (answers[2].error["code"], answers[2].headers["retry-after"]) == ("busy", "60")


def test_the_other_apis_are_answered_here_and_say_what_only_a_gateway_could_do(edge: Served) -> None:
    said = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    answer = edge.ask("/v1/messages", {**said, "thinking": {"type": "enabled", "budget_tokens": 1024}})
    shown = json.loads(answer.body)
    assert (answer.status, shown["type"], "gateway alone" in shown["error"]["message"]) == (400, "error", True)
    stateful = edge.ask("/v1/responses", {"model": "auto", "input": "Hello"})
    assert (stateful.status, "store" in stateful.error["hint"]) == (400, True)
    assert edge.ask("/v1/responses", {"model": "auto", "input": "Hello", "store": False}).status == 200
    assert edge.ask("/v1/messages", {**said, "messages": [None]}).status == 400


def test_a_stream_that_breaks_ends_with_an_error_in_the_words_of_its_api(edge: Served) -> None:
    said = {
        "model": "up/reset-mid",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    events = edge.ask("/v1/messages", said).body.decode()
    assert ("event: error" in events, "stream_interrupted" in events, "message_stop" in events) == (True, True, False)
