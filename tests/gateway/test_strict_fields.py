"""Fields that strict clients require, null or not, in every translation: no client of a typed language may fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_responses import FakeResponses
from tests.gateway.server_harness import beside, frames
from tests.running_server import ECHO, Served, serving

Json = dict[str, Any]
MESSAGE = {
    *("id", "type", "role", "model", "content", "usage", "container"),
    *("stop_reason", "stop_sequence", "stop_details"),
}
USAGE = {
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"),
    *("output_tokens_details", "server_tool_use", "service_tier", "inference_geo"),
}
FINAL_USAGE = USAGE - {"cache_creation", "service_tier", "inference_geo"}
"""At the end of a stream, where the API has fewer."""
NUMBERS = {"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "top_logprobs": 0}
TOOL: Json = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
ANTHROPIC = [f"anthropic/{name}" for name in ("well", "calls", "thinks", "declines", "cut")]
RESPONSES = [f"responses/{name}" for name in ("well", "calls", "thinks", "declines", "filtered")]
REFUSED = ("anthropic/declines", "responses/declines", "responses/filtered")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with beside(FakeAnthropic) as anthropic, beside(FakeResponses) as responses:
        rows = "".join(
            f'[providers.{wire}]\nwire = "{wire}"\nbase_url = "{up.url}"\nplace = "machine"\n'
            f"models = {[name.partition('/')[2] for name in models]}\n"
            for wire, up, models in (("anthropic", anthropic, ANTHROPIC), ("responses", responses, RESPONSES))
        )
        with serving(tmp_path_factory.mktemp("strict"), ECHO + rows) as server:
            yield server


def events(body: bytes) -> list[Json]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


def messages(served: Served, model: str, **more: object) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 99, **more}
    answer = served.ask("/v1/messages", body)
    assert answer.status == 200, answer.body
    return answer.body


def responses(served: Served, model: str, **more: object) -> bytes:
    answer = served.ask("/v1/responses", {"model": model, "input": "hello", "store": False, **more})
    assert answer.status == 200, answer.body
    return answer.body


@pytest.mark.parametrize("model", ["echo/small", *ANTHROPIC, *RESPONSES])
def test_a_chat_message_says_whether_it_is_a_refusal(served: Served, model: str) -> None:
    whole: Any = served.chat(model).json
    (choice,) = whole["choices"]
    assert {"role", "content", "refusal"} <= choice["message"].keys()
    assert {"finish_reason", "index", "logprobs"} <= choice.keys()
    assert {"id", "object", "created", "model", "usage"} <= whole.keys()
    assert choice["message"]["refusal"] == ("I cannot." if model == "responses/declines" else None)


@pytest.mark.parametrize("model", ["echo/small", *ANTHROPIC, *RESPONSES])
def test_a_chat_stream_has_all_fields_in_every_chunk(served: Served, model: str) -> None:
    for chunk in frames(served.chat(model, stream=True).body)[:-1]:
        assert {"id", "object", "created", "model", "choices"} <= chunk.keys()
        assert all({"index", "delta", "finish_reason", "logprobs"} <= choice.keys() for choice in chunk["choices"])


@pytest.mark.parametrize("model", ["echo/small", *RESPONSES])
def test_a_message_of_another_wire_has_every_field(served: Served, model: str) -> None:
    message = json.loads(messages(served, model))
    assert message.keys() >= MESSAGE and message["usage"].keys() >= USAGE
    if message["stop_reason"] == "refusal":
        assert message["stop_details"]["type"] == "refusal" and "category" in message["stop_details"]
    else:
        assert message["stop_details"] is None


@pytest.mark.parametrize("model", ["echo/small", *ANTHROPIC, *RESPONSES])
def test_a_message_stream_has_every_field_at_its_start_and_end(served: Served, model: str) -> None:
    told = events(messages(served, model, stream=True))
    start, end = told[0], told[-2]
    assert start["message"].keys() >= MESSAGE and start["message"]["usage"].keys() >= USAGE
    assert end["type"] == "message_delta" and end["usage"].keys() == FINAL_USAGE
    assert end["delta"].keys() >= {"stop_reason", "stop_sequence", "stop_details", "container"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["echo/small", *ANTHROPIC])
def test_a_response_of_another_wire_has_numbers_where_the_request_had_none(
    served: Served, model: str, stream: bool
) -> None:
    body = responses(served, model, stream=stream, tools=[TOOL, {**TOOL, "name": "strictly", "strict": True}])
    wholes = [event["response"] for event in events(body) if "response" in event] if stream else [json.loads(body)]
    assert len(wholes) == (3 if stream else 1)
    for whole in wholes:
        assert {name: whole[name] for name in NUMBERS} == NUMBERS
        assert [tool["strict"] for tool in whole["tools"]] == [False, True]
        assert all(tool.keys() >= {"type", "name", "parameters", "strict"} for tool in whole["tools"])


def test_a_response_repeats_the_numbers_of_the_request(served: Served) -> None:
    whole = json.loads(responses(served, "echo/small", temperature=0.2, top_p=0.5))
    assert (whole["temperature"], whole["top_p"]) == (0.2, 0.5)
