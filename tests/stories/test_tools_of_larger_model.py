"""The 1.5B with tools: it calls them in every API, an agent uses an MCP server's tool on it, its self-test says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from sizewise.agents.written_calls import written_tool_calls
from sizewise.providers.local.self_test import TOOL_NAME, run_self_test
from tests.running_server import Served, serving
from tests.stories.test_first_light import only

pytestmark = pytest.mark.large

MODEL = "local/qwen2.5-coder-1.5b"
MCP = str(Path(__file__).parent.parent / "mcp" / "official_sdk_server.py")
SETTINGS = f"""
[server]
discover = false
[router]
timeout_s = 900
[local]
slots = 1
context = 4096
[mcp.sums]
command = [{json.dumps(sys.executable)}, {json.dumps(MCP)}, "stdio"]
place = "machine"
allowed_tools = ["add"]
require_approval = []
"""
AGENT = """
name: sums
inputs:
  question: text
nodes:
  solve:
    kind: agent
    model: large
    tools: [sums__add]
    max_steps: 4
    task: "{{ inputs.question }}"
outputs:
  answer: "{{ solve.text }} {{ solve.calls }}"
"""
WEATHER = {
    "name": "get_weather",
    "description": "Current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASK: Any = [{"role": "user", "content": "What is the weather in Lisbon?"}]
TIMEOUT_S = 900


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, qwen_gguf: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("larger")
    (home / "flows").mkdir()
    (home / "flows" / "sums.yaml").write_text(AGENT)
    with serving(home, SETTINGS, SIZEWISE_CACHE=str(only(qwen_gguf, home / "cache"))) as started:
        yield started


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, timeout=TIMEOUT_S) as made:
        yield made


def test_a_call_is_streamed_and_its_text_is_not(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "function": WEATHER}]
    asked: Any = {"model": MODEL, "tools": tools, "temperature": 0, "max_tokens": 120}
    with client.chat.completions.stream(messages=ASK, **asked) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = message.tool_calls
    assert calls is not None and not message.content
    assert (calls[0].function.name, json.loads(calls[0].function.arguments)["city"]) == ("get_weather", "Lisbon")


def test_responses_and_messages_clients_get_the_same_call(client: openai.OpenAI, served: Served) -> None:
    response = client.responses.create(
        model=MODEL,
        input=ASK[0]["content"],
        tools=[{"type": "function", "strict": False, **WEATHER}],  # type: ignore[list-item]  # a dict of its fields
        temperature=0,
    )
    (item,) = [each for each in response.output if each.type == "function_call"]
    assert (item.name, json.loads(item.arguments)["city"]) == ("get_weather", "Lisbon")
    with anthropic.Anthropic(base_url=served.url, api_key=served.key, max_retries=0, timeout=TIMEOUT_S) as other:
        tool: Any = {"name": "get_weather", "input_schema": WEATHER["parameters"]}
        message = other.messages.create(model=MODEL, max_tokens=120, messages=ASK, tools=[tool])
    (block,) = [each for each in message.content if each.type == "tool_use"]
    assert (block.name, message.stop_reason) == ("get_weather", "tool_use")


def test_an_agent_uses_a_tool_of_an_mcp_server(served: Served) -> None:
    body = {"model": "flow:sums", "messages": [{"role": "user", "content": "What is 1234 plus 4321? Use the tool."}]}
    answer = served.ask("/v1/chat/completions", body, timeout=TIMEOUT_S)
    assert answer.status == 200, answer.body
    shown: Any = answer.json
    made = shown["choices"][0]["message"]["content"]
    assert "sums__add" in made and "'failed': True" not in made and '"failed":true' not in made.replace(" ", ""), made


async def test_the_self_test_finds_the_call(qwen_gguf: Path) -> None:
    found = await run_self_test("m", qwen_gguf, calls_of=lambda text: written_tool_calls(text, (TOOL_NAME,))[1])
    assert found.tools
