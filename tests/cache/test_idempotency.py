"""The same idempotency key never pays twice, on every endpoint, also for two at once and after a crash."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cache.slow_upstream import CANARY, SlowUpstream, settings
from tests.gateway.server_harness import CHAT, Line, booked, frames, question, refused, rows, words
from tests.running_server import Answer, Served, serving, until

NUMBERS = itertools.count()
PAID = "replayed for the same idempotency key, at no cost"


@pytest.fixture
def key() -> str:
    return f"key-{next(NUMBERS)}"


def ask(served: Served, key: str, model: str = "up/well", said: str = "Hello", **more: object) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": said}], **more}
    return served.ask(CHAT, body, idempotency_key=key)


def record(served: Served, answer: Answer) -> dict[str, object]:
    """The one record of an answer, once it is written."""
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(served.home, trace))
    (found,) = booked(served.home, trace)
    return found


def was_given_again(served: Served, answer: Answer) -> None:
    assert answer.headers["x-sizewise-why"].startswith(PAID)
    again = record(served, answer)
    assert (again["attempts"], again["cost"], again["output"], again["tries"]) == (0, 0, 0, [])


@contextlib.contextmanager
def at_once(work: Callable[[], Answer]) -> Iterator[Future[Answer]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


# ---- once, and then again


@pytest.mark.long
def test_the_same_request_gets_the_same_bytes_and_costs_nothing(served: Served, up: SlowUpstream, key: str) -> None:
    first, second = ask(served, key), ask(served, key)
    assert (first.status, second.status) == (200, 200)
    assert second.body == first.body
    assert up.asked("well") == 1
    assert record(served, first)["cost"] == 7 * 1_000_000 + 5 * 2_000_000
    assert second.headers["x-sizewise-cost-usd"] == "0"
    was_given_again(served, second)


@pytest.mark.long
def test_a_stream_is_given_again_as_a_stream_and_as_a_whole(served: Served, up: SlowUpstream, key: str) -> None:
    first = ask(served, key, stream=True)
    assert words(frames(first.body)) == "Hello from the upstream."
    again = ask(served, key, stream=True)
    payloads = frames(again.body)
    assert words(payloads) == "Hello from the upstream." and payloads[-1] == "[DONE]"
    assert payloads[-2]["sizewise"]["cost_usd"] == "0" and payloads[-2]["choices"][0]["finish_reason"] == "stop"
    was_given_again(served, again)
    whole = json.loads(ask(served, key).body)
    assert whole["choices"][0]["message"]["content"] == "Hello from the upstream."
    assert up.asked("well") == 1


@pytest.mark.long
def test_a_whole_reply_is_given_again_as_a_stream(served: Served, up: SlowUpstream, key: str) -> None:
    ask(served, key)
    again = ask(served, key, stream=True, stream_options={"include_usage": True})
    payloads = frames(again.body)
    assert words(payloads) == "Hello from the upstream."
    assert payloads[-2]["usage"]["completion_tokens"] == 5
    assert up.asked("well") == 1


@pytest.mark.long
def test_on_the_messages_endpoint_too(served: Served, up: SlowUpstream, key: str) -> None:
    body = {"model": "up/well", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
    first = served.ask("/v1/messages", body, idempotency_key=key)
    second = served.ask("/v1/messages", body, idempotency_key=key)
    assert first.body == second.body
    was_given_again(served, second)
    third = served.ask("/v1/messages", {**body, "stream": True}, idempotency_key=key)
    assert third.body.count(b"event: message_stop") == 1 and b"Hello from the upstream." in third.body
    assert up.asked("well") == 1


@pytest.mark.parametrize("store", [True, False])
def test_on_the_responses_endpoint_too(served: Served, up: SlowUpstream, key: str, store: bool) -> None:
    body = {"model": "up/well", "input": "Hello", "store": store}
    first, second = (served.ask("/v1/responses", body, idempotency_key=key) for _ in range(2))
    assert first.status == second.status == 200, second.body
    assert first.body == second.body
    assert served.ask(f"/v1/responses/{json.loads(first.body)['id']}").status == (200 if store else 404)
    was_given_again(served, second)
    assert up.asked("well") == 1


ENDPOINTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/messages": {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/responses": {"input": "Hello"},
}
IDENTITY = re.compile(rb'"(?:id|created|created_at|completed_at|item_id)": ?("[^"]*"|[0-9]+)')


@pytest.mark.long
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_retry_has_the_ids_and_the_times_of_the_first_answer(
    served: Served, key: str, path: str, stream: bool
) -> None:
    body = {"model": "echo/small", **ENDPOINTS[path], "stream": stream}
    first = served.ask(path, body, idempotency_key=key)
    second = served.ask(path, body, idempotency_key=key)
    assert second.status == 200 and "replayed" in second.headers["x-sizewise-why"]
    assert set(IDENTITY.findall(first.body)) == set(IDENTITY.findall(second.body)) != set()
    assert stream or first.body == second.body


@pytest.mark.long
def test_a_retry_through_the_api_of_responses_can_be_retrieved(served: Served, key: str) -> None:
    path = "/v1/chat/completions"
    served.ask(path, {"model": "echo/small", **ENDPOINTS[path]}, idempotency_key=key)
    second = served.ask("/v1/responses", {"model": "echo/small", "input": "Hello"}, idempotency_key=key)
    id = json.loads(second.body)["id"]
    assert "replayed" in second.headers["x-sizewise-why"]
    assert id.startswith("resp_") and served.ask(f"/v1/responses/{id}").status == 200


def test_on_the_embeddings_endpoint_too(served: Served, key: str) -> None:
    body = {"model": "echo/vectors", "input": ["one", "two"]}
    first, second = (served.ask("/v1/embeddings", body, idempotency_key=key) for _ in range(2))
    assert first.status == 200 and first.body == second.body
    was_given_again(served, second)


@pytest.mark.parametrize("how", ["header", "ours", "body"])
def test_the_key_can_be_said_in_three_ways(served: Served, up: SlowUpstream, key: str, how: str) -> None:
    body = {"model": "up/well", "messages": [{"role": "user", "content": how}]}
    said = body if how != "body" else {**body, "sizewise": {"idempotency_key": key}}
    for _ in range(2):
        match how:
            case "header":
                answer = served.ask(CHAT, said, idempotency_key=key)
            case "ours":
                answer = served.ask(CHAT, said, x_sizewise_idempotency_key=key)
            case _:
                answer = served.ask(CHAT, said)
        assert answer.status == 200
    assert up.asked("well") == 1


def test_another_request_under_the_same_key_is_a_conflict_that_names_it(
    served: Served,
    up: SlowUpstream,
    key: str,
) -> None:
    ask(served, key)
    for other in (ask(served, key, said="Something else"), ask(served, key, model="up/other"), ask(served, key, n=2)):
        assert repr(key) in refused(other, 409, "conflict")["message"]
    assert (up.asked("well"), up.asked("other")) == (1, 0)


def test_without_a_key_nothing_is_kept(served: Served, up: SlowUpstream) -> None:
    before = rows(served.home, "SELECT count(*) AS n FROM idempotency")
    assert served.chat("up/well").status == served.chat("up/well").status == 200
    assert up.asked("well") == 2
    assert rows(served.home, "SELECT count(*) AS n FROM idempotency") == before


def test_a_key_of_nothing_is_refused(served: Served) -> None:
    refused(ask(served, " "), 400, "bad_request")


# ---- two at once


@pytest.mark.parametrize("stream", [False, True])
def test_of_two_at_once_the_second_gets_what_the_first_gets(
    served: Served,
    up: SlowUpstream,
    key: str,
    stream: bool,
) -> None:
    with at_once(lambda: ask(served, key, "up/waits", stream=stream)) as first:
        up.has_been_asked("waits")
        with at_once(lambda: ask(served, key, "up/waits", stream=stream)) as second:
            refused(ask(served, key, "up/waits", said="another"), 409, "conflict")
            up.go()
            mine, other = first.result(60), second.result(60)
    if stream:
        assert words(frames(mine.body)) == words(frames(other.body)) == "First and last"
    else:
        assert mine.body == other.body
    assert up.asked("waits") == 1
    was_given_again(served, other)
    assert record(served, mine)["attempts"] == 1


def test_a_stream_that_comes_late_gets_all_from_the_start_while_it_goes_on(
    served: Served,
    up: SlowUpstream,
    key: str,
) -> None:
    body = question("Hello", "up/waits", stream=True)
    with Line(served) as first, Line(served) as late:
        for line in (first, late):
            line.say(line.request(CHAT, body, f"idempotency-key: {key}"))
            assert line.head()[0] == 200
            assert b"First" in line.chunk()
        up.go()
        for line in (first, late):
            assert b" and last" in b"".join(iter(line.chunk, b""))
    assert up.asked("waits") == 1


# ---- failures


def test_a_failure_that_cost_nothing_lets_the_key_be_used_again(served: Served, up: SlowUpstream, key: str) -> None:
    for times in (1, 2):
        refused(ask(served, key, "up/refuses"), 400, "upstream_refused")
        assert up.asked("refuses") == times
    refused(ask(served, key, "up/unknown"), 404, "model_not_found")
    assert ask(served, key).status == 200


def test_a_failure_that_may_have_cost_something_is_given_again(served: Served, up: SlowUpstream, key: str) -> None:
    first, second = ask(served, key, "up/html"), ask(served, key, "up/html")
    assert refused(first, 502, "upstream_garbled") == refused(second, 502, "upstream_garbled")
    assert up.asked("html") == 1
    assert record(served, first)["cost"] != 0 and record(served, second)["cost"] == 0


def test_a_stream_that_was_cut_is_given_again_as_its_error(served: Served, up: SlowUpstream, key: str) -> None:
    first = ask(served, key, "up/reset-mid", stream=True)
    assert first.status == 200 and b"stream_interrupted" in first.body
    refused(ask(served, key, "up/reset-mid", stream=True), 502, "stream_interrupted")
    assert up.asked("reset-mid") == 1


# ---- who leaves, and what stops


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_does_not_stop_the_call_and_its_retry_gets_the_answer(
    served: Served,
    up: SlowUpstream,
    key: str,
    stream: bool,
) -> None:
    body = question("Hello", "up/waits", stream=stream)
    with Line(served) as leaving:
        leaving.say(leaving.request(CHAT, body, f"idempotency-key: {key}"))
        up.has_been_asked("waits")
    with at_once(lambda: served.ask(CHAT, body, idempotency_key=key)) as retry:
        up.go()
        again = retry.result(60)
    assert again.status == 200 and up.asked("waits") == 1
    was_given_again(served, again)
    query = "SELECT * FROM records WHERE status = 499 ORDER BY id DESC LIMIT 1"
    until(lambda: rows(served.home, query))
    (left,) = rows(served.home, query)
    assert (left["attempts"], left["estimated"]) == (1, 1 if stream else 0) and left["cost"] > 0


@pytest.mark.long
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_response_whose_client_has_left_is_stored_by_the_retry(
    served: Served, up: SlowUpstream, key: str, stream: bool
) -> None:
    body = json.dumps({"model": "up/waits", "input": "Hello", "stream": stream}).encode()
    with Line(served) as leaving:
        leaving.say(leaving.request("/v1/responses", body, f"idempotency-key: {key}"))
        up.has_been_asked("waits")
    left = "SELECT * FROM records WHERE status = 499"
    with at_once(lambda: served.ask("/v1/responses", body, idempotency_key=key)) as retry:
        up.go()
        first, second = retry.result(60), served.ask("/v1/responses", body, idempotency_key=key)
    until(lambda: rows(served.home, left))
    [id] = set(re.findall(rb"resp_\w+", first.body)) | set(re.findall(rb"resp_\w+", second.body))
    assert served.ask(f"/v1/responses/{id.decode()}").status == 200 and up.asked("waits") == 1
    assert b'"store":false' not in first.body + second.body


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.mark.long
def test_the_answer_is_given_again_after_a_restart(home: Path, up: SlowUpstream) -> None:
    config = settings(up.url)
    with serving(home, config) as served:
        whole, stream = ask(served, "a"), ask(served, "b", stream=True)
        failed = ask(served, "c", "up/html")
    with serving(home, config) as served:
        assert ask(served, "a").body == whole.body
        again = ask(served, "b", stream=True)
        assert words(frames(again.body)) == words(frames(stream.body)) == "Hello from the upstream."
        was_given_again(served, again)
        assert ask(served, "c", "up/html").error == failed.error
    assert (up.asked("well"), up.asked("html")) == (2, 1)


@pytest.mark.long
def test_after_kill_9_in_mid_call_the_outcome_is_unknown_and_nobody_is_asked_again(
    home: Path,
    up: SlowUpstream,
) -> None:
    config = settings(up.url)
    with serving(home, config) as served, Line(served) as line:
        line.say(line.request(CHAT, question("Hello", "up/waits", stream=True), "idempotency-key: a"))
        line.head()
        assert b"First" in line.chunk()
        served.process.kill()
        served.process.wait(60)
    with serving(home, config) as served:
        for _ in range(2):
            error = refused(ask(served, "a", "up/waits", stream=True), 409, "outcome_unknown")
            assert "'a'" in error["message"]
        refused(ask(served, "a", "up/waits", said="another"), 409, "conflict")
        assert ask(served, "b").status == 200
    assert up.asked("waits") == 1


@pytest.mark.long
def test_a_server_told_to_stop_waits_for_a_call_whose_client_has_left(home: Path, up: SlowUpstream) -> None:
    config = settings(up.url)
    body = question("Hello", "up/waits")
    with serving(home, config) as served:
        with Line(served) as line:
            line.say(line.request(CHAT, body, "idempotency-key: a"))
            up.has_been_asked("waits")
        served.process.send_signal(signal.SIGTERM)
        until(lambda: _stopped_listening(served))
        up.go()
        served.process.wait(60)
    with serving(home, config) as served:
        again = served.ask(CHAT, body, idempotency_key="a")
        assert again.status == 200
        was_given_again(served, again)
    assert up.asked("waits") == 1


def _stopped_listening(served: Served) -> bool:
    connection = served.connection(2)
    try:
        connection.connect()
    except OSError:
        return True
    finally:
        connection.close()
    return False


@pytest.mark.long
@pytest.mark.parametrize("lane", ["true", "false"])
def test_a_call_that_outlasts_the_drain_is_stopped_booked_and_unknown(home: Path, up: SlowUpstream, lane: str) -> None:
    config = settings(up.url, server=f"drain_timeout_s = 1\nfast_path = {lane}")
    with serving(home, config) as served, Line(served) as line:
        line.say(line.request(CHAT, question("Hello", "up/waits"), "idempotency-key: a"))
        up.has_been_asked("waits")
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        assert "Traceback" not in "".join(served.said)
    (stopped,) = rows(home, "SELECT * FROM records")
    assert (stopped["status"], stopped["error"], stopped["attempts"]) == (503, "server_stopping", 1)
    with serving(home, config) as served:
        refused(ask(served, "a", "up/waits"), 409, "outcome_unknown")


# ---- at rest


def test_neither_question_nor_answer_nor_key_lies_open_in_the_home(home: Path, up: SlowUpstream) -> None:
    with serving(home, settings(up.url)) as served:
        secrets = [f"canary-in-the-question-{number}" for number in range(10)]
        for number, secret in enumerate(secrets):
            answer = ask(served, f"canary-in-the-key-{number}", "up/canary", said=secret, stream=number % 2 == 0)
            assert CANARY.encode() in answer.body
        refused(ask(served, "canary-in-the-key-0", "up/canary", said="canary-in-the-conflict"), 409, "conflict")
        until(lambda: len(rows(home, "SELECT id FROM records")) == len(secrets) + 1)
        running = _everything(home)
    for bytes in (running, _everything(home)):
        assert b"up/canary" in bytes and b"canary-in-the" not in bytes


def _everything(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and path.suffix != ".toml")


@pytest.mark.long
def test_without_its_key_the_vault_says_so_on_every_endpoint_and_nothing_is_asked(home: Path, up: SlowUpstream) -> None:
    config = settings(up.url)
    with serving(home, config) as served:
        assert ask(served, "a").status == 200
    kept = (home / "vault.key").rename(home / "aside")
    with serving(home, config) as served:
        for key in ("a", "b"):
            assert "vault.key" in refused(ask(served, key), 503, "vault_locked")["message"]
        assert served.chat("up/well").status == 200  # who sends no key is not concerned
        assert up.asked("well") == 2
        (limp,) = served.ask("/readyz", key=None).json["impaired"]  # type: ignore[index]  # an object
        assert "vault.key" in limp
        kept.rename(home / "vault.key")
        assert ask(served, "a").status == 200 and up.asked("well") == 2
        assert served.ask("/readyz", key=None).json["impaired"] == []  # type: ignore[index]  # an object
