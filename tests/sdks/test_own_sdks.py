"""What the vendors' own SDKs for Python say unasked, in front of every wire: a hint is no reason to refuse."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, beta_tool
from openai import OpenAI

from tests.sdks.conftest import Able

TOOL: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED: Any = [{"role": "user", "content": "What is the weather in 'Bonn'?"}]


@beta_tool
def weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.

    """
    return f"rain over {city}"


def test_anthropics_runner_of_tools_comes_to_an_answer(able: Able) -> None:
    with Anthropic(base_url=able.url, api_key=able.key, max_retries=0) as client:
        runner = client.beta.messages.tool_runner(model=able.model, max_tokens=100, messages=ASKED, tools=[weather])
        answers = list(runner)
    assert [block.type for answer in answers for block in answer.content] == ["tool_use", "text"]
    assert getattr(answers[-1].content[0], "text", "") == "rain over Bonn"


def test_a_conversation_that_the_server_should_keep_is_refused_so_that_the_sdk_understands(able: Able) -> None:
    with Anthropic(base_url=able.url, api_key=able.key, max_retries=0) as client:
        with pytest.raises(anthropic.BadRequestError) as caught:
            client.beta.messages.create(
                model=able.model,
                max_tokens=9,
                messages=ASKED,
                extra_body={"thread": {"type": "create"}},
            )
    body: Any = caught.value.body
    assert body["error"]["details"]["error_code"] == "thread_unsupported_request"
    assert (body["error"]["code"], body["error"]["param"]) == ("not_translatable", "thread")


def test_a_tool_may_say_how_its_arguments_should_travel(able: Able) -> None:
    tools: Any = [{"name": "weather", "input_schema": TOOL, "eager_input_streaming": True}]
    with Anthropic(base_url=able.url, api_key=able.key, max_retries=0) as client:
        reply = client.messages.create(model=able.model, max_tokens=9, messages=ASKED, tools=tools)
    assert [block.type for block in reply.content] == ["tool_use"]


def test_the_result_of_a_tool_may_bear_the_tools_name(able: Able) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
    history: Any = [
        *ASKED,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "name": "weather", "content": "rain"},
    ]
    with OpenAI(base_url=f"{able.url}/v1", api_key=able.key, max_retries=0) as client:
        reply = client.chat.completions.create(model=able.model, messages=history)
    assert reply.choices[0].message.content == "rain"
