"""A trace over flows, agents, tools and models is one tree, below the span of the client that caused it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving

SETTINGS = """
[agents.helper]
model = "echo/small"
tools = ["look"]
max_steps = 2
"""
LOOK = """
name: look
inputs: {question: {type: text, default: "what?"}}
nodes:
  tell: {kind: ask, model: echo/large, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ tell.text }}"}
"""
WHOLE = """
name: whole
inputs: {question: text}
nodes:
  help: {kind: agent, agent: helper, task: "{{ inputs.question }}"}
  sum_up: {kind: ask, model: echo/small, prompt: "Sum up: {{ help.text }}"}
outputs: {answer: "{{ sum_up.text }}"}
"""
PUBLISH = "mutation ($t: String!) { publishFlow(text: $t) { flow { name } } }"
TRACE = "query ($id: String!) { trace(id: $id) { id spans { id parent depth operation name kind error costUsd } } }"
SPAN = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("traces"), ECHO + SETTINGS) as served:
        for text in (LOOK, WHOLE):
            assert graphql(served, PUBLISH, t=text).errors == []
        yield served


def traced(server: Served, id: str, model: str = "flow:whole", question: str = "Why?") -> list[dict[str, Any]]:
    body = {"model": model, "messages": [{"role": "user", "content": question}]}
    assert server.ask("/v1/chat/completions", body, traceparent=f"00-{id}-{SPAN}-01").status == 200
    spans: list[dict[str, Any]] = graphql(server, TRACE, id=id).data["trace"]["spans"]
    return spans


def test_a_flow_with_an_agent_a_tool_and_two_models_is_one_tree(server: Served) -> None:
    spans = traced(server, "a" * 32, question="""[[tool look {"question": "where?"}]]""")
    shown = [(each["depth"], each["operation"], each["name"]) for each in spans]
    assert spans[0]["parent"] == SPAN and shown[0] == (0, "invoke_workflow", "whole")
    assert [each["depth"] for each in spans].count(0) == 1
    expected = [
        (1, "node", "help"),
        (2, "invoke_agent", "helper"),
        (3, "execute_tool", "look"),
        (4, "invoke_workflow", "look"),
        (5, "node", "tell"),
        (6, "request", "echo/large"),
        (1, "node", "sum_up"),
        (2, "request", "echo/small"),
    ]
    assert [each for each in shown if each in expected] == expected
    listed = sizewise("records", "a" * 32, home=server.home, SIZEWISE_URL=server.url)
    assert "invoke_agent" in listed.out and "execute_tool" in listed.out


def test_all_records_and_spans_of_a_flow_are_of_the_session_that_asked(server: Served) -> None:
    """Its agent, the agent's tool, and what it asks models; which model answers does not follow the conversation."""
    body: dict[str, Any] = {"model": "flow:whole", "sizewise": {"session": "conversation-4711", "end-user": "ann"}}
    body["messages"] = [{"role": "user", "content": """[[tool look {"question": "where?"}]]"""}]
    trace = server.ask("/v1/chat/completions", body).headers["x-sizewise-trace"]
    rows = "{ rows { trace session flow node agent model } }"
    found = graphql(server, "query ($id: String!) { records(filter: {trace: $id}) " + rows + " }", id=trace)
    records = found.data["records"]["rows"]
    assert {each["session"] for each in records} == {"conversation-4711"}
    assert {(each["flow"], each["agent"]) for each in records} >= {
        ("whole", "helper"),
        ("look", "helper"),
        ("whole", None),
    }
    of_session = 'query { records(filter: {session: "conversation-4711"}) ' + rows + " }"
    assert graphql(server, of_session).data["records"]["rows"] == records
    erase = 'mutation { erasePersonalData(session: "conversation-4711", dryRun: false) { dryRun } }'
    assert graphql(server, erase).errors == []
    assert graphql(server, TRACE, id=trace).data == {"trace": None}, "its spans too"


def test_a_plain_chat_has_its_request_and_attempt_and_no_further_row(server: Served) -> None:
    spans = traced(server, "b" * 32, "echo/small")
    assert [each["operation"] for each in spans] == ["request", "chat"] and spans[0]["parent"] == SPAN


@pytest.mark.long
def test_no_word_of_a_prompt_is_in_a_trace(server: Served) -> None:
    assert "Canary4711" not in str(traced(server, "c" * 32, question="Canary4711 where?"))


@pytest.mark.long
def test_a_trace_that_is_not_there_is_null(server: Served) -> None:
    assert graphql(server, TRACE, id="e" * 32).data == {"trace": None}


@pytest.mark.long
def test_the_spans_of_a_key_are_erased_with_its_records(server: Served) -> None:
    made = graphql(server, 'mutation { createKey(name: "t", permissions: [ask]) { secret key { id } } }').data[
        "createKey"
    ]
    body = {"model": "flow:whole", "messages": [{"role": "user", "content": "Why?"}]}
    trace = server.ask("/v1/chat/completions", body, key=made["secret"]).headers["x-sizewise-trace"]
    assert graphql(server, TRACE, id=trace).data["trace"]["spans"]
    assert (
        graphql(server, "mutation($k: String!) { eraseRecords(key: $k) { records } }", k=made["key"]["id"]).errors == []
    )
    assert graphql(server, TRACE, id=trace).data == {"trace": None}


@pytest.mark.long
def test_a_trace_of_another_project_is_hidden_from_a_key_that_sees_only_its_own(server: Served) -> None:
    traced(server, "f" * 32)
    made = 'mutation { createKey(name: "other", permissions: [read_records], project: "other") { secret } }'
    key = str(graphql(server, made).data["createKey"]["secret"])
    query = "query ($id: String!) { trace(id: $id) { spans { id } } records(filter: {trace: $id}) { rows { trace } } }"
    assert len(graphql(server, query, id="f" * 32).data["trace"]["spans"]) > 5
    assert graphql(server, query, key=key, id="f" * 32).data == {"trace": None, "records": {"rows": []}}
    named = 'query ($id: String!) { records(filter: {trace: $id, project: "default"}) { rows { trace } before } }'
    assert graphql(server, named, key=key, id="f" * 32).data == {"records": {"rows": [], "before": None}}
    (home := server.home / "other").mkdir()
    other = sizewise("records", "f" * 32, home=home, SIZEWISE_URL=server.url, SIZEWISE_KEY=key)
    assert other.code == 2 and "there is no record" in other.err
