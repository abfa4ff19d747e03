"""A server that is killed: what was answered is recorded but for the last moments, and a lost call can be found."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.slow_upstream import SlowUpstream, settings, slow_upstream
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT, Line, booked, question, refused, rows
from tests.running_server import KEY, Served, serving, until

PENDING = "SELECT * FROM records WHERE status = 0"
FLOW = """
name: slow
inputs:
  question: text
nodes:
  answer:
    kind: ask
    model: up/waits
    prompt: "{{ inputs.question }}"
outputs:
  answer: "{{ answer.text }}"
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[SlowUpstream]:
    with slow_upstream() as up:
        yield up


@pytest.fixture
def up(upstream: SlowUpstream) -> SlowUpstream:
    upstream.stay()
    upstream.received.bodies.clear()
    return upstream


def sent(line: Line, path: str, body: bytes, key: str) -> None:
    line.say(line.request(path, body, f"idempotency-key: {key}"))


def killed(served: Served) -> None:
    served.process.kill()
    served.process.wait(60)


# ---- a call in flight


CALLS = {
    "a chat": (CHAT, question("Hello", "up/waits")),
    "a stream": (CHAT, question("Hello", "up/waits", stream=True)),
    "a message": (
        "/v1/messages",
        b'{"model": "up/waits", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}',
    ),
    "a response": ("/v1/responses", b'{"model": "up/waits", "input": "Hello"}'),
}


@pytest.mark.long
@pytest.mark.parametrize("fast", ["true", "false"])
def test_the_error_of_a_lost_call_names_a_record_that_is_there(tmp_path: Path, up: SlowUpstream, fast: str) -> None:
    config = settings(up.url, server=f"fast_path = {fast}")
    with serving(tmp_path, config) as served:
        lines = {name: Line(served) for name in CALLS}
        for name, (path, body) in CALLS.items():
            sent(lines[name], path, body, name)
        up.has_been_asked("waits", len(CALLS))
        assert len(rows(tmp_path, PENDING)) == len(CALLS), "on disk before the model is asked"
        killed(served)
        for line in lines.values():
            line.__exit__()
    with serving(tmp_path, config) as served:
        for name, (path, body) in CALLS.items():
            again = served.ask(path, body, idempotency_key=name)
            assert again.status == 409, again.body
            (trace,) = re.findall(r"sizewise records ([0-9a-f]{16})", again.body.decode())
            (found,) = sizewise("records", trace, "--json", home=tmp_path).json["records"]
            assert (found["status"], found["error"], found["requestedModel"]) == (0, "outcome_unknown", "up/waits")
            assert found["costUsd"] is None, "not known, and not nothing"
        assert "unknown outcome_unknown" in sizewise("records", trace, home=tmp_path).out
        assert "unknown" in sizewise("records", "--status", "0", home=tmp_path).out
    assert up.asked("waits") == len(CALLS), "nothing was asked again"


@pytest.mark.long
def test_the_error_of_a_lost_flow_names_a_record_that_is_there(tmp_path: Path, up: SlowUpstream) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "slow.yaml").write_text(FLOW)
    body = question("Hello", "flow:slow")
    with serving(tmp_path, settings(up.url)) as served, Line(served) as line:
        sent(line, CHAT, body, "a")
        up.has_been_asked("waits")
        killed(served)
    with serving(tmp_path, settings(up.url)) as served:
        error = refused(served.ask(CHAT, body, idempotency_key="a"), 409, "outcome_unknown")
        trace = error["hint"].split("sizewise records ")[1][:16]
        (found,) = sizewise("records", trace, "--json", home=tmp_path).json["records"]
        assert (found["status"], found["requestedModel"]) == (0, "flow:slow")
        up.go()
        assert served.ask(CHAT, body, idempotency_key="b").status == 200
        until(lambda: len(rows(tmp_path, PENDING)) == 1)


ENDS: dict[str, dict[str, object]] = {
    "an answer": {"model": "up/well"},
    "a stream": {"model": "up/well", "stream": True},
    "a refusal of the upstream": {"model": "up/refuses"},
    "nonsense of the upstream": {"model": "up/html"},
    "a reset in mid-answer": {"model": "up/reset-mid", "stream": True},
    "a model that is not there": {"model": "up/none"},
}


@pytest.mark.long
def test_however_a_call_ends_its_own_record_takes_the_place_of_the_pending_one(
    tmp_path: Path,
    up: SlowUpstream,
) -> None:
    with serving(tmp_path, settings(up.url)) as served:
        answers = []
        for name, body in ENDS.items():
            said = {"messages": [{"role": "user", "content": "Hello"}], **body}
            answers.append(served.ask(CHAT, said, idempotency_key=name))
            served.ask(CHAT, {**said, "n": 2}, idempotency_key=name)  # a conflict, or one more failure
        traces = {answer.headers["x-request-id"] for answer in answers}
        until(lambda: all(booked(tmp_path, trace) for trace in traces))
        for answer in answers:
            (record,) = booked(tmp_path, answer.headers["x-request-id"])
            assert record["status"] == answer.status or record["error"] == "stream_interrupted"
        until(lambda: not rows(tmp_path, PENDING))


@pytest.mark.long
def test_a_client_that_leaves_keeps_its_call_on_disk_until_the_call_ends(tmp_path: Path, up: SlowUpstream) -> None:
    with serving(tmp_path, settings(up.url)) as served:
        with Line(served) as line:
            sent(line, CHAT, question("Hello", "up/waits"), "a")
            up.has_been_asked("waits")
        assert served.chat("up/well").status == 200
        (pending,) = rows(tmp_path, PENDING)
        up.go()
        until(lambda: not rows(tmp_path, PENDING))
        (record,) = booked(tmp_path, pending["trace"])
        assert (record["status"], record["output"]) == (499, 5)


# ---- under load


class Client(threading.Thread):
    """Asks one request after the other on one connection until the server dies. Trace ids are its name and a number."""

    def __init__(self, served: Served, number: int, idempotent: bool) -> None:
        super().__init__(daemon=True)
        self.number, self.answered = number, 0
        self._connection = served.connection(60)
        self._idempotent = idempotent

    def trace(self, count: int) -> str:
        return f"{self.number + 1:016x}{count:016x}"

    def run(self) -> None:
        body = question("Hello", "echo/small")
        for count in itertools.count(1):
            headers = {"traceparent": f"00-{self.trace(count)}-00000000000000a1-01", "authorization": f"Bearer {KEY}"}
            if self._idempotent:
                headers["idempotency-key"] = self.trace(count)
            try:
                self._connection.request("POST", CHAT, body, headers)
                answer = self._connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                break
            assert answer.status == 200
            self.answered = count
        self._connection.close()


@pytest.mark.long
@pytest.mark.parametrize("idempotent", [False, True], ids=["plain", "with idempotency keys"])
def test_killed_under_load_only_the_newest_records_are_lost(tmp_path: Path, idempotent: bool) -> None:
    """No hole: what is lost of a client's requests is the end of them, so all that is older was on disk."""
    with serving(tmp_path, settings("http://127.0.0.1:9/v1")) as served:
        clients = [Client(served, number, idempotent) for number in range(4)]
        for client in clients:
            client.start()
        until(lambda: all(client.answered > 50 for client in clients))
        seen = {row["trace"] for row in rows(tmp_path, "SELECT trace FROM records")}
        killed(served)
        for client in clients:
            client.join(60)
    connection = sqlite3.connect(tmp_path / "sizewise.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    found = {row["trace"] for row in rows(tmp_path, "SELECT trace FROM records WHERE status = 200")}
    begun = {row["trace"] for row in rows(tmp_path, PENDING)}
    assert seen - begun <= found, "what was on disk stays"
    for client in clients:
        numbers = [count for count in range(1, client.answered + 2) if client.trace(count) in found]
        assert numbers == list(range(1, len(numbers) + 1)), "a record in the middle is missing"
        if idempotent:
            answered = {client.trace(count) for count in range(1, client.answered + 1)}
            assert answered <= found | begun, "an answered call has a record or is known to have begun"


def test_a_record_is_on_disk_without_a_stop_and_without_another_request(tmp_path: Path) -> None:
    with serving(tmp_path, settings("http://127.0.0.1:9/v1")) as served:
        answer = served.chat("echo/small")
        until(lambda: booked(tmp_path, answer.headers["x-request-id"]))
        killed(served)
    (record,) = booked(tmp_path, answer.headers["x-request-id"])
    assert json.loads(answer.body)["usage"]["completion_tokens"] == record["output"]
