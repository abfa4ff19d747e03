"""Published flows and knowledge bases as tools for other programs: by the official client, and by bad ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.graphql.graphql_client import fresh_key, graphql
from tests.knowledge.knowledge_server import CONFIG, add, embed
from tests.running_server import Served, serving

GREET = """
name: greet
description: Greets somebody.
inputs:
  who: {type: text, description: Whom to greet.}
  times: {type: integer, default: 1}
nodes:
  say:
    kind: ask
    model: echo/small
    prompt: "Hello {{ inputs.who }}"
outputs:
  words: "{{ say.text }}"
"""
FAILS = """
name: fails
nodes:
  say: {kind: ask, model: echo/small, prompt: "[[fail refused]] no"}
outputs:
  words: "{{ say.text }}"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("mcp")
    (home / "flows").mkdir()
    (home / "flows" / "greet.yaml").write_text(GREET)
    (home / "flows" / "fails.yaml").write_text(FAILS)
    with serving(home) as found:
        yield found


def rpc(served: Served, method: str, key: str | None = "", /, **params: object) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.loads(served.ask("/mcp", body, key=key).body)


@asynccontextmanager
async def official_client(served: Served, key: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key or served.key}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        async with Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client:
            yield client


@pytest.mark.long
async def test_the_official_client_lists_and_calls_what_is_published(served: Served) -> None:
    async with official_client(served) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        greet = tools["greet"]
        assert greet.description == "Greets somebody."
        assert greet.input_schema == {
            "type": "object",
            "properties": {
                "who": {"type": "string", "description": "Whom to greet."},
                "times": {"type": "integer", "default": 1},
            },
            "required": ["who"],
            "additionalProperties": False,
        }
        done = await client.call_tool("greet", {"who": "Zoë"})
        assert not done.is_error and done.content[0].text == "Hello Zoë"  # type: ignore[union-attr]  # it is a text
        assert done.structured_content == {"words": "Hello Zoë"}
        failed = await client.call_tool("fails", {})
        assert failed.is_error
        wrong = await client.call_tool("greet", {"whom": 1})
        assert wrong.is_error and "who" in wrong.content[0].text  # type: ignore[union-attr]  # it is a text


MAKE = """mutation($may: [Permission!], $project: String, $endpoints: [String!], $flows: [String!]) {
  createKey(name: "t", permissions: $may, project: $project, endpoints: $endpoints, flows: $flows) { secret }
}"""


def key(served: Served, **how: Any) -> str:
    made = graphql(served, MAKE, may=["ask"], **how)
    assert made.errors == [], made.errors
    return str(made.data["createKey"]["secret"])


def test_the_greeting_is_of_every_version_that_we_know_and_newer_clients_fall_back(served: Served) -> None:
    for wanted, got in (("2025-06-18", "2025-06-18"), ("2024-11-05", "2024-11-05"), ("2099-01-01", "2025-11-25")):
        result = rpc(served, "initialize", protocolVersion=wanted)["result"]
        assert result["protocolVersion"] == got and result["serverInfo"]["name"] == "sizewise"
        assert result["capabilities"] == {"tools": {"listChanged": False}}
    assert rpc(served, "server/discover")["error"]["code"] == -32601
    assert rpc(served, "ping")["result"] == {}


def test_nobody_comes_in_without_a_key_or_by_one_that_is_not_good_for_this_endpoint(served: Served) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    refused = served.ask("/mcp", body, key=None)
    assert refused.status == 401 and "www-authenticate" in refused.headers
    assert json.loads(refused.body)["error"]["data"]["code"] == "invalid_api_key"
    assert served.ask("/mcp", body, key="sk-wrong").status == 401
    assert served.ask("/mcp", body, key=fresh_key(served, "read_models")).status == 403
    assert served.ask("/mcp", body, key=key(served, endpoints=["chat"])).status == 403
    assert served.ask("/mcp", body, key=key(served, endpoints=["mcp"])).status == 200


def names(served: Served, key: str) -> list[str]:
    return [each["name"] for each in rpc(served, "tools/list", key)["result"]["tools"]]


def test_a_key_sees_the_flows_of_its_project_that_it_may_use_and_calls_no_other(served: Served) -> None:
    mine = key(served)
    assert names(served, mine) == ["fails", "greet"]
    one = key(served, flows=["greet"])
    assert names(served, one) == ["greet"]
    assert rpc(served, "tools/call", one, name="fails", arguments={})["error"]["code"] == -32602
    elsewhere = key(served, project="other")
    assert names(served, elsewhere) == []
    assert rpc(served, "tools/call", elsewhere, name="greet", arguments={"who": "x"})["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', 400),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', 400),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400),
        (b'{"jsonrpc": "2.0", "method": "notifications/initialized"}', 202),
        (b'{"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "greet"}}', 202),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": 7}}', 200),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "greet", "arguments": 7}}', 200),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', 200),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "resources/list"}', 200),
    ],
)
def test_what_is_no_message_is_refused_and_what_cannot_be_done_is_said(
    served: Served,
    body: bytes,
    status: int,
) -> None:
    answer = served.ask("/mcp", body, content_type="application/json")
    assert answer.status == status
    if status != 202:
        assert json.loads(answer.body)["error"]["code"] < 0
    assert served.ask("/mcp", method="GET").status == 405 and served.ask("/mcp", method="DELETE").status == 405


def test_what_a_tool_costs_is_recorded_under_the_callers_key(served: Served) -> None:
    mine = key(served)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "greet", "arguments": {"who": "you"}}}
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = served.ask("/mcp", body, key=mine, x_sizewise_trace=trace)
    assert answer.headers["x-sizewise-trace"] == trace and not json.loads(answer.body)["result"]["isError"]
    found = graphql(served, "query($t: String!) { records(filter: {trace: $t}) { rows { model } } }", t=trace)
    assert found.data["records"]["rows"] == [{"model": "echo/small"}]


AGENT = """
name: solve
description: Solves sums.
inputs:
  sum: text
nodes:
  think:
    kind: agent
    model: echo/small
    tools: [run_python]
    task: '{{ inputs.sum }}'
outputs:
  answer: "{{ think.text }}"
  why: "{{ think.stop_reason }}"
  steps: "{{ think.steps }}"
"""


@pytest.mark.long
def test_an_agent_in_a_flow_runs_code_in_the_sandbox_and_is_a_tool_itself(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "solve.yaml").write_text(AGENT)
    with serving(tmp_path) as served:
        given = {"sum": '[[tool run_python {"code": "sum(range(101))"}]] What is it?'}
        done = rpc(served, "tools/call", name="solve", arguments=given)["result"]
        assert done["structuredContent"] == {"answer": "5050", "why": "done", "steps": 2}
        chat = served.chat("flow:solve", given["sum"])
        assert chat.status == 200, chat.body


@pytest.mark.long
def test_a_knowledge_base_is_a_tool_that_shows_what_its_caller_may_see(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as served:
        add(served, "leave.md", "# Leave\n\nParental leave takes twenty weeks.")
        add(served, "board.md", "# Board\n\nThe board takes leave in secret.", dataClass="confidential")
        embed(served)
        (tool,) = rpc(served, "tools/list")["result"]["tools"]
        assert tool["name"] == "search_handbook" and tool["inputSchema"]["required"] == ["query"]
        asked = {"name": "search_handbook", "arguments": {"query": "how long is parental leave", "limit": 1}}
        done = rpc(served, "tools/call", **asked)["result"]
        assert not done["isError"] and "twenty weeks" in done["content"][0]["text"]
        assert done["content"][0]["text"].startswith("[1] leave.md")
        wrong = rpc(served, "tools/call", name="search_handbook", arguments={"query": 7})["result"]
        assert wrong["isError"]
        assert rpc(served, "tools/list", key(served, project="other"))["result"]["tools"] == []


ASKS = """
name: asks
nodes:
  say: {kind: approve, question: "Really?"}
outputs:
  done: "{{ say.approved }}"
"""


def test_a_tool_whose_flow_waits_for_a_person_says_so_at_once(served: Served) -> None:
    publish = "mutation($t: String!) { publishFlow(text: $t) { new } }"
    assert graphql(served, publish, t=ASKS).errors == []
    answer = rpc(served, "tools/call", name="asks", arguments={})["result"]
    (run,) = graphql(served, '{ flowRuns(flow: "asks") { id state } }').data["flowRuns"]
    assert answer["isError"] and run["state"] == "waiting"
    assert f"the run {run['id']} waits for a person's approval" in answer["content"][0]["text"]
