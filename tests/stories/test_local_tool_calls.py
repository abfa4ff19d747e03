"""Tool calls of a real small model: what is forced is a call of an offered tool that fits its schema, on every wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from sizewise.agents.written_calls import written_tool_calls
from sizewise.catalog.user_models import add_model, record_tools
from sizewise.providers.local.self_test import run_self_test
from tests.gateway.server_harness import refused
from tests.running_server import Answer, Served, serving
from tests.stories.test_first_light import LOCAL, only

pytestmark = pytest.mark.long

MODEL = "local/smollm2-135m"
SETTINGS = LOCAL + f'\n[models."{MODEL}"]\ntools = true\n'  # its template shows it no tools: what it fills in is chance
QUESTION = "What is the weather in Paris, and what is 12 plus 30?"


def function(name: str, parameters: Any) -> Any:
    return {"type": "function", "function": {"name": name, "description": f"to {name}", "parameters": parameters}}


def takes(**properties: Any) -> Any:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


NODE = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}
SHARED = takes(way={"$ref": "#/$defs/way"}) | {"$defs": {"way": {"enum": ["north", "south"]}}}
TOOLS = [
    function("get_weather", takes(city={"type": "string", "maxLength": 12}, unit={"enum": ["celsius", "kelvin"]})),
    function("add", takes(a={"type": "integer"}, b={"type": "integer"})),
    function("now", {"type": "object", "properties": {}}),
    function("go", SHARED),
    function("chain", NODE),
]
CAREFUL: Any = {"temperature": 0, "max_tokens": 90}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("tools")
    with serving(home, SETTINGS, SIZEWISE_CACHE=str(only(smollm_gguf, home / "cache"))) as served:
        yield served


def chat(local: Served, **more: Any) -> Answer:
    body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], **more}
    return local.ask("/v1/chat/completions", body, timeout=600)


def message(answer: Answer) -> Any:
    shown: Any = answer.json
    assert answer.status == 200, answer.body
    return shown["choices"][0]["message"]


def named(name: str) -> Any:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize("name", [each["function"]["name"] for each in TOOLS])
def test_the_named_tool_is_called_once(local: Served, name: str) -> None:
    answer = chat(local, tools=TOOLS, tool_choice=named(name), **CAREFUL)
    said = message(answer)
    (call,) = said["tool_calls"]
    assert call["function"]["name"] == name and said["content"] is None and call["id"]
    if name == "chain":  # a small model never ends one
        assert '"next"' in call["function"]["arguments"]
        return
    arguments = json.loads(call["function"]["arguments"])
    if name == "get_weather":
        assert arguments.keys() == {"city", "unit"} and arguments["unit"] in ("celsius", "kelvin")
    if name == "go":
        assert arguments["way"] in ("north", "south")
    if name == "now":
        assert arguments == {}


@pytest.mark.parametrize("parallel", [True, False])
def test_required_calls_are_of_offered_tools(local: Served, parallel: bool) -> None:
    asked = {"tools": TOOLS[:2], "tool_choice": "required", "parallel_tool_calls": parallel, **CAREFUL}
    answer = chat(local, **asked)
    calls = message(answer)["tool_calls"]
    assert calls and {call["function"]["name"] for call in calls} <= {"get_weather", "add"}
    assert parallel or len(calls) == 1
    assert len({call["id"] for call in calls}) == len(calls)


def test_a_streamed_call_is_the_whole_call(local: Served) -> None:
    asked = {"tools": TOOLS, "tool_choice": named("add"), **CAREFUL}
    whole = message(chat(local, **asked))["tool_calls"][0]["function"]
    with openai.OpenAI(base_url=f"{local.url}/v1", api_key=local.key, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": QUESTION}]
        with client.chat.completions.stream(model=MODEL, messages=messages, **asked) as stream:
            choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls" and not choice.message.content
    made = choice.message.tool_calls
    assert made is not None
    (call,) = made
    assert (call.function.name, call.function.arguments) == (whole["name"], whole["arguments"])


def test_a_call_that_is_cut_off_says_length(local: Served) -> None:
    answer = chat(local, tools=TOOLS, tool_choice=named("get_weather"), temperature=0, max_tokens=16)
    shown: Any = answer.json
    assert shown["choices"][0]["finish_reason"] == "length"
    for call in shown["choices"][0]["message"].get("tool_calls") or ():
        assert call["function"]["name"] == "get_weather"


def test_allowed_tools_alone_are_called(local: Served) -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("now")]}}
    calls = message(chat(local, tools=TOOLS, tool_choice=allowed, **CAREFUL))["tool_calls"]
    assert {call["function"]["name"] for call in calls} == {"now"}


def test_responses_and_messages_clients_get_their_forced_calls(local: Served) -> None:
    with openai.OpenAI(base_url=f"{local.url}/v1", api_key=local.key, max_retries=0) as client:
        tools: Any = [{"type": "function", **each["function"], "strict": False} for each in TOOLS[:2]]
        response = client.responses.create(
            model=MODEL, input=QUESTION, tools=tools, tool_choice={"type": "function", "name": "add"}, temperature=0
        )
        (item,) = response.output
        assert item.type == "function_call" and item.name == "add" and json.loads(item.arguments).keys() == {"a", "b"}
    with anthropic.Anthropic(base_url=local.url, api_key=local.key, max_retries=0) as other:
        asked: Any = {
            "model": MODEL,
            "max_tokens": 120,
            "messages": [{"role": "user", "content": QUESTION}],
            "tools": [{"name": f["name"], "input_schema": f["parameters"]} for f in (t["function"] for t in TOOLS[:2])],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        }
        blocks = other.messages.create(**asked)
        (block,) = blocks.content
        assert block.type == "tool_use" and block.name in ("get_weather", "add") and blocks.stop_reason == "tool_use"
        with other.messages.stream(**asked) as stream:
            (again,) = stream.get_final_message().content
        assert again.type == "tool_use" and again.name in ("get_weather", "add")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tool_choice": named("fly")}, "tool_choice"),
        ({"tools": [function("add", {"type": 7})], "tool_choice": "required"}, "tools[0].function.parameters.type"),
        ({"tools": [function("add", {"$ref": "https://x.example/a"})], "tool_choice": "required"}, None),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_with_its_place(local: Served, more: Any, param: str | None) -> None:
    error = refused(chat(local, **{"tools": TOOLS, **more, **CAREFUL}), 400, "bad_body")
    assert param is None or error["param"] == param


async def test_a_model_that_failed_its_self_test_is_not_asked_for_calls(tmp_path: Path, smollm_gguf: Path) -> None:
    await add_model(smollm_gguf, tmp_path, "mine")
    found = await run_self_test("local/mine", smollm_gguf, calls_of=lambda text: written_tool_calls(text, ["f"])[1])
    await record_tools("local/mine", tmp_path, found.tools, "self-test on this machine")
    config = """
[server]
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
tools = true
price = {input = "1", output = "1"}
[policies.default]
kind = "cheapest"
models = ["local/mine", "echo/small"]
"""
    with serving(tmp_path, config, SIZEWISE_CACHE=str(tmp_path / "cache")) as served:
        answer = served.chat("auto", QUESTION, tools=TOOLS)
        assert answer.headers["x-sizewise-model"] == "echo/small"
        assert "x-sizewise-attempts" not in answer.headers
        error = refused(served.chat("local/mine", QUESTION, tools=TOOLS), 400, "bad_request")
        assert "does not support tool calls" in error["message"]
