"""A tool that is not on the list is offered to nobody, and a call of one that was not offered reaches no client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_openai_echo import FakeOpenAIEcho
from tests.fakes.fake_responses import FakeResponses
from tests.graphql.graphql_client import graphql
from tests.running_server import Answer, Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[guardrails]
allowed_tools = ["tell", "mail.*"]
[providers.near]
base_url = "{mirror}"
place = "machine"
models = ["mirror", "broken"]
[providers.claude]
base_url = "{claude}"
wire = "anthropic"
place = "machine"
models = ["well", "calls"]
[providers.res]
base_url = "{responses}"
wire = "responses"
place = "machine"
models = ["well", "calls"]
[policies.default]
kind = "fixed"
models = ["near/mirror"]
[policies.weather]
kind = "fixed"
models = ["claude/calls"]
allowed_tools = ["weather"]
[policies.rain]
kind = "fixed"
models = ["res/calls"]
allowed_tools = ["weather"]
[policies.bare]
kind = "fixed"
models = ["near/broken", "near/mirror"]
allowed_tools = ["nothing"]
[policies.any]
kind = "fixed"
models = ["near/mirror"]
allowed_tools = ["*"]
"""


@pytest.fixture(scope="module")
def server(
    mirror: FakeOpenAIEcho,
    claude: FakeAnthropic,
    responses: FakeResponses,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    config = CONFIG.format(mirror=mirror.url, claude=claude.url, responses=responses.url)
    with serving(tmp_path_factory.mktemp("toolbox"), config) as served:
        yield served


def tool(endpoint: str, name: str) -> dict[str, object]:
    schema = {"type": "object", "properties": {}}
    if endpoint == "messages":
        return {"name": name, "description": "it", "input_schema": schema}
    function = {"name": name, "description": "it", "parameters": schema}
    return {"type": "function", **function} if endpoint == "responses" else {"type": "function", "function": function}


ENDPOINTS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def ask(server: Served, endpoint: str, model: str, *names: str, words: str = "hello", **more: object) -> Answer:
    said: dict[str, object] = {"messages": [{"role": "user", "content": words}]}
    if endpoint == "responses":
        said = {"input": words}
    if endpoint == "messages":
        said["max_tokens"] = 100
    tools = {"tools": [tool(endpoint, name) for name in names]} if names else {}
    return server.ask(ENDPOINTS[endpoint], {"model": model, **said, **tools, **more})


def names(body: Any) -> list[str]:
    return [each.get("function", each)["name"] for each in body.get("tools", [])]


def code(answer: Answer) -> str:
    shown: Any = answer.json
    return str(shown["error"].get("code") or shown["error"]["message"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("endpoint", "model", "up"),
    [(endpoint, "near/mirror", "mirror") for endpoint in ENDPOINTS]
    + [
        ("messages", "claude/well", "claude"),
        ("responses", "res/well", "responses"),
        ("chat", "claude/well", "claude"),
    ],
)
def test_what_is_not_listed_is_offered_to_no_model(
    server: Served,
    request: pytest.FixtureRequest,
    endpoint: str,
    model: str,
    up: str,
    stream: bool,
) -> None:
    answer = ask(server, endpoint, model, "delete_all", "tell", "mail.read", stream=stream)
    assert answer.status == 200, answer.body
    assert names(request.getfixturevalue(up).received.bodies[-1]) == ["tell", "mail.read"]
    assert answer.headers["x-sizewise-guards"] == "tools:UNLISTED=1 removed"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_request_whose_tools_are_all_taken_out_is_one_without_tools(
    server: Served,
    mirror: FakeOpenAIEcho,
    endpoint: str,
) -> None:
    choice: object = {"type": "auto"} if endpoint == "messages" else "auto"
    answer = ask(server, endpoint, "near/mirror", "delete_all", "drop", tool_choice=choice)
    assert answer.status == 200, answer.body
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & mirror.received.bodies[-1].keys()
    trace = answer.headers["x-sizewise-trace"]
    query = "query($t: String!) { records(filter: {trace: $t}) { rows { guardrails } } }"
    assert graphql(server, query, t=trace).data["records"]["rows"] == [{"guardrails": "tools:UNLISTED=2 removed"}]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_request_that_demands_what_is_not_listed_is_refused_before_a_model_is_asked(
    server: Served,
    mirror: FakeOpenAIEcho,
    endpoint: str,
) -> None:
    before = len(mirror.received.bodies)
    named: dict[str, object] = {
        "chat": {"type": "function", "function": {"name": "delete_all"}},
        "messages": {"type": "tool", "name": "delete_all"},
        "responses": {"type": "function", "name": "delete_all"},
    }
    must: dict[str, object] = {"chat": "required", "messages": {"type": "any"}, "responses": "required"}
    for choice, offered in ((named[endpoint], ("delete_all", "tell")), (must[endpoint], ("delete_all",))):
        answer = ask(server, endpoint, "near/mirror", *offered, tool_choice=choice)
        assert answer.status == 400
        assert "on the tool allowlist" in answer.body.decode() and "guardrails.allowed_tools" in answer.body.decode()
    assert ask(server, endpoint, "near/mirror", "delete_all", "tell", tool_choice=must[endpoint]).status == 200
    assert len(mirror.received.bodies) == before + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_call_that_was_not_offered_is_never_passed_on(server: Served, endpoint: str, stream: bool) -> None:
    """The mirror calls `tell` as soon as there is a tool: mail.read was offered, tell was not."""
    answer = ask(server, endpoint, "auto", "mail.read", words="a word of rivers", stream=stream)
    assert answer.status == 400, answer.body
    assert "rivers" not in answer.body.decode() and "offers no tool named 'tell'" in answer.body.decode()
    assert answer.headers["x-sizewise-guards"] == "tools:CALL=1 blocked"
    assert ask(server, endpoint, "auto", "tell", stream=stream).status == 200


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("policy", ["weather", "rain"])
def test_after_the_first_word_a_stream_ends_with_an_error_event(server: Served, endpoint: str, policy: str) -> None:
    """These doubles say a word and then call `weather`, whatever they were offered."""
    good = ask(server, endpoint, f"auto:{policy}", "weather", stream=True)
    assert good.status == 200 and b"Oslo" in good.body and b"guard_blocked" not in good.body
    for offered in (("tell",), ()):
        answer = ask(server, endpoint, f"auto:{policy}", *offered, stream=True)
        text = answer.body.decode()
        assert answer.status == 200
        assert "Oslo" not in text and "rich" not in text and '"weather"' not in text
        assert "error" in text and "offers no tool named 'weather'" in text and "[DONE]" not in text
        whole = ask(server, endpoint, f"auto:{policy}", *offered)
        assert whole.status == 400 and "Oslo" not in whole.body.decode()


def test_what_is_called_off_is_booked_and_recorded(server: Served) -> None:
    trace = ask(server, "chat", "auto:weather", "tell", stream=True).headers["x-sizewise-trace"]
    query = """query($t: String!) {
        records(filter: {trace: $t}) { rows { guardrails error attempts { model result } } } }"""
    (record,) = graphql(server, query, t=trace).data["records"]["rows"]
    assert record["error"] == "guard_blocked"
    assert record["guardrails"] == "tools:UNLISTED=1 removed, tools:CALL=1 blocked"
    assert [each["model"] for each in record["attempts"]] == ["claude/calls"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_policy_has_a_list_of_its_own_and_so_has_each_fallback(
    server: Served,
    mirror: FakeOpenAIEcho,
    stream: bool,
) -> None:
    before = len(mirror.received.bodies)
    assert ask(server, "chat", "auto:bare", "tell", "x", stream=stream).status == 200
    sent = mirror.received.bodies[before:]
    assert {each["model"] for each in sent} == {"broken", "mirror"} and not any("tools" in each for each in sent)
    assert ask(server, "chat", "auto:any", "tell", "x", stream=stream).status == 200
    assert names(mirror.received.bodies[-1]) == ["tell", "x"]


def test_tools_of_a_vendor_go_by_their_name_or_kind_and_are_not_named_as_untranslatable_once_they_are_gone(
    server: Served,
    mirror: FakeOpenAIEcho,
    claude: FakeAnthropic,
) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    servers = [{"type": "url", "url": "https://mcp.example.com", "name": "files"}]
    body = {
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [search, tool("messages", "mail.read"), {"type": "mcp_toolset", "mcp_server_name": "files"}],
        "mcp_servers": servers,
    }
    answer = server.ask("/v1/messages", {"model": "claude/well", **body})
    assert answer.status == 200, answer.body
    sent: Any = claude.received.bodies[-1]
    assert names(sent) == ["mail.read"] and "mcp_servers" not in sent
    other = server.ask("/v1/messages", {"model": "near/mirror", **body})
    assert "offers no tool named 'tell'" in other.body.decode()  # it was asked, and called what it always calls
    assert names(mirror.received.bodies[-1]) == ["mail.read"]


def test_functions_of_the_old_kind_are_tools_too(server: Served, mirror: FakeOpenAIEcho) -> None:
    old = [{"name": "delete_all", "parameters": {}}, {"name": "tell", "parameters": {}}]
    assert server.chat("near/mirror", functions=old).status == 200
    assert json.dumps(mirror.received.bodies[-1]["functions"]) == json.dumps(old[1:])
    refused = server.chat("near/mirror", functions=old, function_call={"name": "delete_all"})
    assert (refused.status, refused.error["code"]) == (400, "guard_blocked")
