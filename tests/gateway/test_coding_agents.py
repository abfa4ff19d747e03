"""Claude Code's and Codex's requests as they come, in front of every wire; what would be lost is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.fakes.agent_upstream import FINAL, MODEL, WIRES, AgentUpstream, answering, settings
from tests.running_server import Answer, Served, serving

AGENTS = Path(__file__).with_name("agents")
CLAUDE: dict[str, Any] = json.loads((AGENTS / "claude_code.json").read_text())
CODEX: dict[str, Any] = json.loads((AGENTS / "codex.json").read_text())
DROPPED = [
    "speed",
    "context_management",
    "web_search",
    "allowed_callers",
    "mcp_servers",
    "service_tier",
    "logit_bias",
    "name",
]
PATCH = "*** Begin Patch\n*** Update File: a.txt\n@@\n-teh\n+the\n*** End Patch"
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
AGENTS_TOOL = {
    "type": "namespace",
    "name": "agents",
    "description": "Helpers.",
    "tools": [
        {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}
        for name in ("spawn", "wait")
    ],
}
PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def upstream() -> Iterator[AgentUpstream]:
    with answering(AgentUpstream()) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(upstream: AgentUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("agents"), settings(upstream.url, DROPPED)) as served:
        yield served


@pytest.fixture(autouse=True)
def unscripted(upstream: AgentUpstream) -> None:
    upstream.requests, upstream.calls = [], []


def ask(served: Served, path: str, wire: str, body: dict[str, Any], **more: Any) -> Answer:
    return served.ask(path, {**body, "model": f"{wire}/{MODEL}", **more})


def claude(served: Served, wire: str, **more: Any) -> Answer:
    return ask(served, "/v1/messages?beta=true", wire, CLAUDE, stream=False, **more)


def codex(served: Served, wire: str, **more: Any) -> Answer:
    return ask(served, "/v1/responses", wire, CODEX, stream=False, **more)


# ---- the requests as they come --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_claude_code_gets_an_answer_from_a_model_behind_any_wire(served: Served, wire: str, stream: bool) -> None:
    answer = ask(served, "/v1/messages?beta=true", wire, CLAUDE, stream=stream)
    assert answer.status == 200 and FINAL.encode() in answer.body, answer.body


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_codex_gets_an_answer_from_a_model_behind_any_wire(served: Served, wire: str, stream: bool) -> None:
    answer = ask(served, "/v1/responses", wire, CODEX, stream=stream)
    assert answer.status == 200 and FINAL.encode() in answer.body, answer.body


def test_a_model_of_the_agents_own_wire_gets_the_request_as_it_came(served: Served, upstream: AgentUpstream) -> None:
    assert claude(served, "anthropic").status == 200
    assert upstream.last == {**CLAUDE, "model": MODEL, "stream": False}
    assert codex(served, "responses").status == 200
    assert {k: v for k, v in upstream.last.items() if k != "model"} == {
        k: v for k, v in {**CODEX, "stream": False}.items() if k != "model"
    }


def test_an_image_in_a_tool_result_reaches_a_model_that_takes_text_results(
    served: Served, upstream: AgentUpstream
) -> None:
    assert claude(served, "openai").status == 200
    *_, result, found, question = upstream.last["messages"]
    assert [part["type"] for part in result["content"]] == ["text", "text"] and result["role"] == "tool"
    assert (found["role"], found["content"]) == ("tool", "Tool found: Edit")
    assert question["role"] == "user"
    assert [part["type"] for part in question["content"]] == ["text", "image_url", "text"]
    assert question["content"][1]["image_url"]["url"] == PNG
    assert "toolu_01" in question["content"][0]["text"]


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_an_image_that_codex_viewed_reaches_the_model(served: Served, upstream: AgentUpstream, wire: str) -> None:
    assert codex(served, wire).status == 200
    last = upstream.last["messages"][-1]
    assert last["role"] == "user" and last["content"][-1]["type"] in ("image_url", "image")


@pytest.mark.parametrize("wire", ["openai", "responses"])
def test_the_effort_max_is_the_highest_that_others_know(served: Served, upstream: AgentUpstream, wire: str) -> None:
    assert claude(served, wire).status == 200
    assert upstream.last.get("reasoning_effort", upstream.last.get("reasoning")) in ("xhigh", {"effort": "xhigh"})


def test_a_tool_that_is_loaded_later_is_offered_once_a_search_has_found_it(
    served: Served, upstream: AgentUpstream
) -> None:
    assert claude(served, "openai", messages=CLAUDE["messages"][:1]).status == 200
    assert [tool["function"]["name"] for tool in upstream.last["tools"]] == ["Read", "ToolSearch"]
    assert claude(served, "openai").status == 200
    assert [tool["function"]["name"] for tool in upstream.last["tools"]] == ["Read", "ToolSearch", "Edit"]
    assert "defer_loading" not in json.dumps(upstream.last)


# ---- what would be lost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["openai", "responses"])
@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"speed": "fast"}, "speed"),
        ({"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}, "mcp_servers"),
        ({"service_tier": "reserved"}, "service_tier"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits[0]"),
        ({"tools": [*CLAUDE["tools"], WEB_SEARCH]}, "tools[3]"),
        (
            {"tools": [{**CLAUDE["tools"][0], "allowed_callers": ["code_execution_20250825"]}]},
            "tools[0].allowed_callers",
        ),
    ],
    ids=["fast mode", "MCP servers", "reserved tier", "compaction", "web search", "tool called from code"],
)
def test_what_means_something_is_refused_by_name_and_dropped_where_the_settings_say_so(
    served: Served, upstream: AgentUpstream, wire: str, more: dict[str, Any], param: str
) -> None:
    refused = claude(served, wire, **more)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "not_translatable", param)
    assert "drop_params" in refused.error["hint"] and upstream.requests == []
    assert claude(served, f"lenient-{wire}", **more).status == 200
    assert "web_search" not in json.dumps(upstream.last)


def test_a_refusal_says_what_kind_of_tool_it_means(served: Served) -> None:
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    assert "code_execution_20250825" in claude(served, "openai", tools=[code]).error["message"]
    assert "no search engine" in claude(served, "openai", tools=[WEB_SEARCH]).error["message"]
    assert "sk-secret words" not in claude(served, "openai", tools=[{"type": "sk-secret words"}]).error["message"]


def test_with_its_only_tool_dropped_the_choice_of_it_goes_too(served: Served, upstream: AgentUpstream) -> None:
    more: Any = {"tools": [WEB_SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}}
    assert claude(served, "lenient-openai", **more).status == 200
    assert not upstream.last.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


def test_a_search_of_an_earlier_turn_is_dropped_where_the_settings_name_it(
    served: Served, upstream: AgentUpstream
) -> None:
    used = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    messages = [
        {"role": "user", "content": "Search."},
        {"role": "assistant", "content": [used, {"type": "text", "text": "Found."}]},
        {"role": "user", "content": "Thanks."},
    ]
    assert claude(served, "openai", messages=messages).error["param"] == "messages[1].content[0]"
    assert claude(served, "lenient-openai", messages=messages).status == 200
    assert "srvtoolu_1" not in json.dumps(upstream.last) and "Found." in json.dumps(upstream.last)


def test_what_a_chat_client_says_is_dropped_before_it_is_refused_too(served: Served, upstream: AgentUpstream) -> None:
    body = {"messages": [{"role": "user", "content": "hi", "name": "Ada"}], "logit_bias": {"1": 5}}
    for wire in ("anthropic", "responses"):
        assert ask(served, "/v1/chat/completions", wire, body).error["param"] == "logit_bias"
        assert ask(served, "/v1/chat/completions", f"lenient-{wire}", body).status == 200
        assert "Ada" not in json.dumps(upstream.last) and "logit_bias" not in upstream.last
    refused = ask(served, "/v1/chat/completions", "lenient-anthropic", {**body, "presence_penalty": 1})
    assert refused.error["param"] == "presence_penalty", "the settings name others"


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "web_search"}, *CODEX["tools"]]}, "tools[0]"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0]"),
        ({"service_tier": "priority"}, "service_tier"),
    ],
    ids=["web search", "code interpreter", "priority tier"],
)
def test_what_codex_may_ask_of_the_vendor_alone_is_refused_by_name(
    served: Served, upstream: AgentUpstream, wire: str, more: dict[str, Any], param: str
) -> None:
    answer = codex(served, wire, **more)
    assert (answer.status, answer.error["param"]) == (400, param)
    dropped = param in ("service_tier",) or more.get("tools", [{}])[0].get("type") == "web_search"
    assert codex(served, f"lenient-{wire}", **more).status == (200 if dropped else 400)


# ---- Codex's own kinds of tools -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_custom_tool_is_called_with_plain_text_whatever_the_wire(
    served: Served, upstream: AgentUpstream, wire: str, stream: bool
) -> None:
    upstream.calls = [("apply_patch", json.dumps({"input": PATCH}))]
    [item] = _items(served, wire, stream, {"input": "Fix it."})
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", PATCH)
    assert item["call_id"] and item["status"] == "completed"


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ({"command": ["ls", "-l"], "timeout_ms": 500}, ["ls", "-l"]),
        ({"command": "ls -l"}, ["bash", "-lc", "ls -l"]),
        ({"nonsense": 1}, []),
        ({"command": 1}, []),
        ({"command": {"ls": "-l"}}, []),
    ],
)
def test_the_local_shell_is_called_with_a_command(
    served: Served, upstream: AgentUpstream, wire: str, stream: bool, arguments: Any, command: list[str]
) -> None:
    upstream.calls = [("local_shell", json.dumps(arguments))]
    [item] = _items(served, wire, stream, {"input": "List."})
    assert (item["type"], item["action"]["type"], item["action"]["command"]) == ("local_shell_call", "exec", command)
    assert item["action"].get("timeout_ms") == arguments.get("timeout_ms")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_tool_in_a_namespace_is_called_by_the_name_that_the_client_knows(
    served: Served, upstream: AgentUpstream, wire: str, stream: bool
) -> None:
    """A model of the Responses wire uses its own name for it, other models that of the function."""
    upstream.calls = [("spawn" if wire == "responses" else "agents__spawn", '{"task": "x"}')]
    called = {"type": "function_call", "call_id": "c", "namespace": "agents", "name": "wait", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "done"}
    history = [{"role": "user", "content": "Go."}] + ([called, output] if wire != "responses" else [])
    if history[1:]:
        upstream.calls.insert(0, ("unused", ""))
    items = _items(served, wire, stream, {"tools": [*CODEX["tools"], AGENTS_TOOL], "input": history})
    if wire == "responses" and not stream:
        assert upstream.last["tools"][-1] == AGENTS_TOOL
        return  # the reply is the upstream's own
    [item] = items
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "agents", "spawn")
    assert json.loads(item["arguments"]) == {"task": "x"}
    assert wire == "responses" or "agents__wait" in json.dumps(upstream.last["messages"])


def test_the_model_is_told_the_grammar_of_a_custom_tool(served: Served, upstream: AgentUpstream) -> None:
    assert codex(served, "openai").status == 200
    tools = {tool["function"]["name"]: tool["function"] for tool in upstream.last["tools"]}
    assert "lark grammar:\nstart: begin_patch" in tools["apply_patch"]["description"]
    assert tools["apply_patch"]["parameters"]["required"] == ["input"]
    assert tools["local_shell"]["parameters"]["required"] == ["command"]


def test_calls_of_earlier_turns_are_calls_of_those_functions(served: Served, upstream: AgentUpstream) -> None:
    assert codex(served, "openai").status == 200
    messages = upstream.last["messages"]
    calls = [call["function"] for message in messages for call in message.get("tool_calls") or ()]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        ("apply_patch", {"input": "*** Begin Patch\n*** End Patch"}),
        ("local_shell", {"command": ["cat", "a.txt"], "timeout_ms": 1000, "working_directory": "/work", "env": {}}),
        ("view_image", {"path": "a.png"}),
    ]
    assert [m["tool_call_id"] for m in messages if m["role"] == "tool"] == ["call_1", "call_2", "call_3"]


def test_a_model_that_writes_the_patch_without_json_still_patches(served: Served, upstream: AgentUpstream) -> None:
    upstream.calls = [("apply_patch", PATCH)]
    [item] = _items(served, "openai", False, {"input": "Fix it."})
    assert item["input"] == PATCH


@pytest.mark.parametrize("choice", [{"type": "custom", "name": "apply_patch"}, {"type": "local_shell"}])
def test_a_client_may_force_such_a_tool(served: Served, upstream: AgentUpstream, choice: dict[str, str]) -> None:
    assert codex(served, "openai", tool_choice=choice).status == 200
    assert upstream.last["tool_choice"]["function"]["name"] == choice.get("name", "local_shell")


def test_the_output_of_a_call_without_an_id_is_refused(served: Served) -> None:
    answer = codex(served, "openai", input=[{"type": "custom_tool_call_output", "output": "x"}])
    assert (answer.status, answer.error["param"]) == (400, "input[0]")


@pytest.mark.long
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_openais_sdk_reads_the_stream_of_a_custom_tool(served: Served, upstream: AgentUpstream, wire: str) -> None:
    upstream.calls = [("apply_patch", json.dumps({"input": PATCH}))]
    tools: Any = CODEX["tools"]
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client:
        with client.responses.stream(model=f"{wire}/{MODEL}", input="Fix it.", tools=tools) as stream:
            kinds = [event.type for event in stream]
            [item] = stream.get_final_response().output
    assert item.type == "custom_tool_call" and item.input == PATCH
    assert kinds[2:-1] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
    ]


def test_anthropics_sdk_runs_the_same_request(served: Served) -> None:
    asked: Any = {**CLAUDE, "model": f"openai/{MODEL}", "max_tokens": 1_000, "stream": False}
    with Anthropic(base_url=served.url, api_key=served.key, max_retries=0) as client:
        reply = client.beta.messages.create(**asked, betas=["context-management-2025-06-27"])
    assert [block.type for block in reply.content] == ["text"] and reply.stop_reason == "end_turn"


def _items(served: Served, wire: str, stream: bool, more: dict[str, Any]) -> list[dict[str, Any]]:
    answer = ask(served, "/v1/responses", wire, CODEX, **more, stream=stream)
    assert answer.status == 200, answer.body
    if not stream:
        whole: Any = answer.json
        return [item for item in whole["output"] if item["type"] != "message"]
    events = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["type"] == "response.completed" and events[-1]["response"]["output"] == done
    return done
