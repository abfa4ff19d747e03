"""What an agent did is seen by who may read it: each call with arguments and result, and what cut it short."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving

SETTINGS = """
[records]
contents = true
[agents.helper]
model = "echo/small"
tools = ["look"]
max_steps = 2
[agents.free]
model = "echo/small"
tools = ["look"]
"""
LOOK = """
name: look
inputs: {question: text}
nodes:
  tell: {kind: ask, model: echo/large, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ tell.text }}"}
"""
HELP = """
name: NAME
inputs: {question: text}
nodes:
  help: {kind: agent, agent: AGENT, task: "{{ inputs.question }}"}
outputs: {answer: "{{ help.text }}"}
"""
QUESTION = '[[tool look {"question": "Canary4711"}]]'
PUBLISH = "mutation ($t: String!) { publishFlow(text: $t) { flow { name } } }"
RUN = "query ($i: String!) { flowRun(id: $i) { state agents { key stopReason toolCalls { tool arguments result } } } }"
LIMIT = "reached its step limit, and answered from what it had"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("calls"), ECHO + SETTINGS) as served:
        flows = (LOOK, *(HELP.replace("NAME", f"{each}-flow").replace("AGENT", each) for each in ("helper", "free")))
        for text in flows:
            assert graphql(served, PUBLISH, t=text).errors == []
        yield served


def asked(server: Served, flow: str, question: str = QUESTION, **headers: Any) -> dict[str, Any]:
    """The `sizewise` object of a reply."""
    body = {"model": f"flow:{flow}", "messages": [{"role": "user", "content": question}]}
    answer = server.ask("/v1/chat/completions", body, **headers)
    assert answer.status == 200, answer.body
    ours: dict[str, Any] = answer.json["sizewise"]  # type: ignore[index]  # an object
    return ours


def run(server: Served, *words: str) -> Any:
    return sizewise("flow", "run", *words, "-i", f"question={QUESTION}", home=server.home, SIZEWISE_URL=server.url)


def test_a_reply_says_that_an_agent_was_cut_short_and_shows_its_calls_if_asked(server: Served) -> None:
    plain = asked(server, "helper-flow")
    assert plain["stop_reason"] == "step_limit" and "agents" not in plain and plain["outputs"]["answer"]
    wanted = asked(server, "helper-flow", x_sizewise_tool_calls="true")
    (agent,) = wanted["agents"]
    (call,) = agent["toolCalls"]
    assert (agent["key"], agent["stopReason"]) == ("help", "step_limit")
    assert (call["key"], call["tool"], json.loads(call["arguments"])) == (
        "help.0.0",
        "look",
        {"question": "Canary4711"},
    )
    assert "Canary4711" in call["result"] and call["failed"] is False
    free = asked(server, "free-flow", x_sizewise_tool_calls="true")
    assert "stop_reason" not in free and free["agents"][0]["stopReason"] == "done"


def test_a_stream_says_it_too(server: Served) -> None:
    body = {"model": "flow:helper-flow", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    answer = server.ask("/v1/chat/completions", {**body, "sizewise": {"tool_calls": True}})
    last = json.loads(answer.body.split(b"data: ")[-2])["sizewise"]
    assert last["stop_reason"] == "step_limit" and last["agents"][0]["toolCalls"][0]["tool"] == "look"


def test_the_terminal_shows_them_with_steps_and_says_without_that_it_was_cut_short(server: Served) -> None:
    plain = run(server, "helper-flow")
    assert plain.code == 0 and f"cut short: an agent {LIMIT}" in plain.err and "TOOL CALLS" not in plain.err
    shown = run(server, "helper-flow", "--steps")
    assert 'help.0.0  look {"question": "Canary4711"}' in shown.err and "-> " in shown.err
    assert f"cut short: the agent help {LIMIT}" in shown.err
    told = run(server, "helper-flow", "--steps", "--json").json
    assert told["stop_reason"] == "step_limit" and told["agents"][0]["toolCalls"][0]["result"]
    bare = run(server, "helper-flow", "--json").json
    assert bare["stop_reason"] == "step_limit" and not bare.keys() & {"agents", "steps"}
    assert "cut short" not in run(server, "free-flow", "--steps").err


def test_a_stored_run_shows_them_to_who_may_read_it(server: Served) -> None:
    started = run(server, "helper-flow", "--durable", "--json").json
    assert started["stop_reason"] == "step_limit" and "agents" not in started
    id = started["run"]
    status = sizewise("flow", "status", id, home=server.home, SIZEWISE_URL=server.url)
    assert 'help.0.0  look {"question": "Canary4711"}' in status.out and LIMIT in status.out
    told = sizewise("flow", "status", id, "--json", home=server.home, SIZEWISE_URL=server.url).json
    assert told["agents"][0]["stopReason"] == "step_limit" and told["steps"]
    other = fresh_key(server, "read_records")
    seen = graphql(server, RUN, key=other, i=id)
    assert seen.errors == [] and seen.data["flowRun"] == {"state": "done", "agents": None}
    reader = fresh_key(server, "read_records", "read_contents")
    (agent,) = graphql(server, RUN, key=reader, i=id).data["flowRun"]["agents"]
    assert "Canary4711" in agent["toolCalls"][0]["result"]


def test_a_record_has_the_limit_and_where_contents_are_kept_the_calls(server: Served) -> None:
    body = {"model": "flow:helper-flow", "messages": [{"role": "user", "content": QUESTION}]}
    trace = server.ask("/v1/chat/completions", body).headers["x-sizewise-trace"]
    shown = sizewise("records", trace, home=server.home, SIZEWISE_URL=server.url)
    (line,) = (each for each in shown.out.splitlines() if "invoke_agent" in each)
    assert line.endswith("step_limit") and "Canary4711" not in shown.out
    contents = sizewise("records", trace, "--contents", home=server.home, SIZEWISE_URL=server.url)
    assert 'called look {"question": "Canary4711"}' in contents.out


def test_a_flow_that_names_the_old_field_is_refused_with_those_there_are(server: Served) -> None:
    old = HELP.replace("NAME", "old").replace("AGENT", "helper").replace("help.text", "help.ended")
    refused = graphql(server, PUBLISH, t=old)
    assert "no 'ended'" in refused.message and "stop_reason" in refused.hint
