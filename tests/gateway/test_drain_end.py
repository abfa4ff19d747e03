"""The end of the drain: each endpoint ends a running answer in its own format, and the records say that it was us."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.server_harness import Line, frames, question, rows
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Answer, Served, serving, until

HANGS = "[[say a b]] [[hang after=1]]"
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


@pytest.fixture(params=["true", "false"], ids=["fast", "plain"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    config = ECHO.replace("[server]", f"[server]\nfast_path = {request.param}\ndrain_timeout_s = 0.3")
    with serving(tmp_path, config) as served:
        yield served


def body(endpoint: str, stream: bool) -> bytes:
    asked: dict[str, Any] = {"model": "echo/small", "stream": stream}
    if endpoint == "responses":
        asked["input"] = HANGS
    else:
        asked["messages"] = [{"role": "user", "content": HANGS}]
        asked["max_tokens"] = 100
    return json.dumps(asked).encode()


def events(data: bytes) -> list[tuple[str, Any]]:
    """(event, data) of a stream with named events."""
    found = []
    for frame in data.decode().strip().split("\n\n"):
        name, _, payload = frame.partition("\n")
        found.append((name.removeprefix("event: "), json.loads(payload.removeprefix("data: "))))
    return found


def test_what_outlasts_the_drain_ends_well_formed_at_each_endpoint(mortal: Served) -> None:
    with ExitStack() as stack:
        streams = {name: stack.enter_context(Line(mortal)) for name in PATHS}
        wholes = {name: stack.enter_context(Line(mortal)) for name in PATHS}
        begun: dict[str, bytes] = {}
        for name, line in streams.items():
            line.say(line.request(PATHS[name], body(name, True)))
            assert line.head()[0] == 200
            begun[name] = line.chunk()
        for name, line in wholes.items():
            line.say(line.request(PATHS[name], body(name, False)))
        until(lambda: "\nsizewise_requests_in_flight 6" in mortal.ask("/metrics").body.decode())
        mortal.process.send_signal(signal.SIGTERM)
        ends = {name: begun[name] + b"".join(iter(line.chunk, b"")) for name, line in streams.items()}
        assert all(line.ended() for line in streams.values()), "the last chunk is followed by the end of the connection"
        answers: dict[str, Answer] = {name: line.answer() for name, line in wholes.items()}
        assert mortal.process.wait(60) == 0

    *_, last = frames(ends["chat"])
    assert last["error"]["code"] == "server_stopping" and last["error"]["hint"], "an error event and no [DONE]"
    name, last = events(ends["messages"])[-1]
    assert (name, last["type"], last["error"]["type"]) == ("error", "error", "overloaded_error")
    (name, error), (_, last) = events(ends["responses"])[-2:]
    assert (name, error["type"], error["code"]) == ("error", "error", "server_stopping")
    assert (last["type"], last["response"]["error"]["type"]) == ("response.failed", "server_stopping")
    for each in answers.values():
        assert (each.status, each.headers["retry-after"]) == (503, "1"), each.body
        assert each.headers["connection"] == "close"
        assert each.error["code"] == "server_stopping"

    found = rows(mortal.home, "SELECT status, error, output FROM records")
    assert {(row["status"], row["error"]) for row in found} == {(503, "server_stopping")} and len(found) == 6
    assert sum(row["output"] > 0 for row in found) >= 3, "what was said until then is counted"
    assert "Traceback" not in "".join(mortal.said)


FLOW = """
name: slow
inputs: {who: text}
nodes:
  say: {kind: ask, model: echo/small, prompt: "[[say a b]] [[hang after=1]] {{ inputs.who }}"}
outputs:
  words: "{{ say.text }}"
"""


@pytest.mark.long
def test_flows_and_tools_end_like_models_and_all_their_calls_are_ours(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "slow.yaml").write_text(FLOW)
    call = {"name": "slow", "arguments": {"who": "you"}}
    with (
        serving(tmp_path, ECHO.replace("[server]", "[server]\ndrain_timeout_s = 0.3")) as served,
        Line(served) as stream,
        Line(served) as repeated,
        Line(served) as tool,
    ):
        stream.say(stream.request(PATHS["chat"], question("x", "flow:slow", stream=True)))
        repeated.say(repeated.request(PATHS["chat"], body("chat", True), "idempotency-key: k"))
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        tool.say(tool.request("/mcp", json.dumps(message).encode()))
        until(lambda: "\nsizewise_requests_in_flight 3" in served.ask("/metrics").body.decode())
        served.process.send_signal(signal.SIGTERM)
        for line in (stream, repeated):
            assert frames(line.answer().body)[-1]["error"]["code"] == "server_stopping"
        result = json.loads(tool.answer().body)["result"]
        assert result["isError"] and "the server stops" in result["content"][0]["text"]
        assert served.process.wait(60) == 0
    assert {row["error"] for row in rows(tmp_path, "SELECT error FROM records")} == {"server_stopping"}


@pytest.mark.long
def test_a_durable_run_that_outlasts_the_drain_goes_on_after_the_restart(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "slow.yaml").write_text(FLOW)
    config = ECHO.replace("[server]", "[server]\ndrain_timeout_s = 0.3")
    state = "query ($id: String!) { flowRun(id: $id) { state } }"
    with serving(tmp_path, config) as served, Line(served) as stream:
        start = 'mutation { startFlowRun(flow: "slow", inputs: {who: "you"}) { id } }'
        id = graphql(served, start).data["startFlowRun"]["id"]
        stream.say(stream.request(PATHS["chat"], body("chat", True)))
        until(lambda: "\nsizewise_requests_in_flight 2" in served.ask("/metrics").body.decode())
        served.process.send_signal(signal.SIGTERM)
        assert frames(stream.answer().body)[-1]["error"]["code"] == "server_stopping"
        assert served.process.wait(60) == 0
    with serving(tmp_path, config) as served:
        until(lambda: "\nsizewise_requests_in_flight 1" in served.ask("/metrics").body.decode())
        assert graphql(served, state, id=id).data["flowRun"]["state"] == "running"


def test_a_client_that_left_before_the_end_of_the_drain_is_booked_as_gone(mortal: Served) -> None:
    with Line(mortal) as line:
        line.say(line.request(PATHS["chat"], body("chat", True)))
        assert line.head()[0] == 200
        line.chunk()
    until(lambda: rows(mortal.home, "SELECT status FROM records") == [{"status": 499}])
    mortal.process.send_signal(signal.SIGTERM)
    assert mortal.process.wait(60) == 0
    assert rows(mortal.home, "SELECT status, error FROM records") == [{"status": 499, "error": "cancelled"}]
