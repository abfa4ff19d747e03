"""The official `anthropic` SDK, unmodified, with any model behind the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from sizewise.testing.upstream import FakeOpenAI
from tests.fakes import fake_anthropic as double
from tests.gateway.server_harness import booked
from tests.running_server import Served, serving, until

SECRET = "sk-ant-secret"
HELLO: Any = [{"role": "user", "content": "one two three"}]
TOOLS: Any = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
FUNCTIONS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
MARK = {"cache_control": {"type": "ephemeral"}}


def settings(other: str, theirs: str) -> str:
    """The double of FakeAnthropic's server under two names, for whole replies and for streams: each feels its own
    pulse."""
    names = json.dumps([*double.SCRIPTS, *double.ERRORS, *double.MID])
    row = f'[providers.{{}}]\nwire = "anthropic"\nbase_url = "{theirs}"\nkey = "env:THEIR_KEY"\nplace = "machine"\n'
    row += f"models = {names}\n"
    return f"""
[server]
embedded = false
discover = false
max_body_bytes = 100_000
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
logprobs = true
parameters = 100_000_000
[models."echo/large"]
logprobs = true
parameters = 70_000_000_000
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/large"]
[providers.other]
base_url = "{other}"
place = "machine"
models = ["well", "counted", "error-mid", "refuses"]
{row.format("theirs")}{row.format("flow")}
[providers.far]
wire = "anthropic"
base_url = "{theirs}"
key = "env:THEIR_KEY"
models = ["well"]
headers = {{anthropic-beta = "pinned-1"}}
[models."theirs/well"]
price = {{input = "3", output = "15", cached = "0.3", cache_write = "3.75", cache_write_1h = "6"}}
"""


@contextlib.contextmanager
def upstreams() -> Iterator[tuple[FakeOpenAI, double.FakeAnthropic]]:
    """Servers of both wires, in an event loop of their own."""
    ready: queue.Queue[tuple[FakeOpenAI, double.FakeAnthropic, asyncio.AbstractEventLoop, asyncio.Event]] = (
        queue.Queue()
    )

    async def serve() -> None:
        over = asyncio.Event()
        async with FakeOpenAI() as other, double.FakeAnthropic() as theirs:
            ready.put((other, theirs, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    other, theirs, loop, over = ready.get(timeout=60)
    try:
        yield other, theirs
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)


class Both:
    """A server, the upstreams behind it, and both SDKs in front of it."""

    def __init__(self, served: Served, other: FakeOpenAI, theirs: double.FakeAnthropic) -> None:
        self.served, self.other, self.theirs = served, other, theirs
        self.anthropic = Anthropic(base_url=served.url, api_key=served.key, max_retries=0)
        self.openai = OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = tmp_path_factory.mktemp("anthropic")
    with upstreams() as (other, theirs), serving(home, settings(other.url, theirs.url), THEIR_KEY=SECRET) as served:
        made = Both(served, other, theirs)
        yield made
        made.anthropic.close()
        made.openai.close()
        said = "".join(served.said)
        assert "Traceback" not in said and "unforeseen" not in said and SECRET not in said, said


def streamed(client: Anthropic, model: str, **more: Any) -> anthropic.types.Message:
    with client.messages.stream(model=model, max_tokens=50, messages=HELLO, **more) as stream:
        return stream.get_final_message()


def words(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


# ---- its SDK in front of any model ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("echo/small", "one two three", (3, 3)),
        ("auto", "one two three", (3, 3)),
        ("other/well", "Hello from the upstream.", (7, 5)),
        ("theirs/well", "Good day.", (10, 20)),
    ],
)
def test_a_message_and_its_stream_say_the_same(both: Both, model: str, text: str, tokens: tuple[int, int]) -> None:
    whole = both.anthropic.messages.create(model=model, max_tokens=50, messages=HELLO)
    flowing = streamed(both.anthropic, model)
    for message in (whole, flowing):
        assert words(message) == text
        assert (message.role, message.type, message.stop_reason) == ("assistant", "message", "end_turn")
        assert (message.usage.input_tokens, message.usage.output_tokens) == tokens
        assert message.usage.cache_creation is not None or model == "theirs/well"


def test_events_come_in_the_order_that_the_wire_promises(both: Both) -> None:
    events = list(both.anthropic.messages.create(model="echo/small", max_tokens=9, messages=HELLO, stream=True))
    kinds = [event.type for event in events]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_the_async_client_streams_too(both: Both) -> None:
    async with anthropic.AsyncAnthropic(base_url=both.served.url, api_key=both.served.key) as client:
        async with client.messages.stream(model="echo/small", max_tokens=9, messages=HELLO) as stream:
            assert "".join([text async for text in stream.text_stream]) == "one two three"


def test_headers_say_who_answered_why_and_at_what_cost(both: Both) -> None:
    raw = both.anthropic.messages.with_raw_response.create(model="auto", max_tokens=50, messages=HELLO)
    assert raw.headers["x-sizewise-model"] == "echo/small" and raw.headers["x-sizewise-why"]
    assert raw.parse().model == "echo/small" and raw.headers["request-id"] == raw.headers["x-sizewise-trace"]


def test_wishes_come_in_the_body_or_as_headers(both: Both) -> None:
    said: list[Any] = [{"extra_body": {"sizewise": {"max-ms": 0}}}, {"extra_headers": {"x-sizewise-max-ms": "0"}}]
    for more in said:
        with pytest.raises(anthropic.BadRequestError) as caught:
            both.anthropic.messages.create(model="auto", max_tokens=50, messages=HELLO, **more)
        assert "sizewise" in caught.value.message


def test_a_limit_of_tokens_ends_the_message_for_it(both: Both) -> None:
    message = both.anthropic.messages.create(model="echo/small", max_tokens=2, messages=HELLO)
    assert (words(message), message.stop_reason) == ("one two", "max_tokens")


def test_a_tool_is_called_whole_and_streamed(both: Both) -> None:
    request: Any = {"max_tokens": 50, "tools": TOOLS}
    request["messages"] = [{"role": "user", "content": '[[tool weather {"city": "Zürich"}]] Go'}]
    whole = both.anthropic.messages.create(model="echo/small", **request)
    with both.anthropic.messages.stream(model="echo/small", **request) as stream:
        flowing = stream.get_final_message()
    for message in (whole, flowing):
        block: Any = message.content[0]
        assert len(message.content) == 1 and block.type == "tool_use" and message.stop_reason == "tool_use"
        assert (block.id, block.name, block.input) == ("call_echo", "weather", {"city": "Zürich"})


def test_reasoning_of_any_model_is_a_thinking_block(both: Both) -> None:
    asked: Any = [{"role": "user", "content": "[[think well now]] Yes"}]
    whole = both.anthropic.messages.create(model="echo/small", max_tokens=50, messages=asked)
    assert [block.type for block in whole.content] == ["thinking", "text"]


def test_a_conversation_with_tools_reaches_a_model_of_the_other_wire(both: Both) -> None:
    both.anthropic.messages.create(
        model="other/well",
        max_tokens=50,
        system="Be kind.",
        tools=TOOLS,
        messages=[
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Rain."}]},
        ],
    )
    body: Any = both.other.received.bodies[-1]
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["tools"][0]["function"]["name"] == "weather" and "sizewise_origin" not in body


def test_tokens_from_a_cache_are_told_as_this_wire_tells_them(both: Both) -> None:
    usage = streamed(both.anthropic, "other/counted").usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (400, 600, 50)


# ---- the same wire in and out ---------------------------------------------------------------------------------------


def test_the_upstream_gets_the_clients_own_body_and_our_key(both: Both) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    body: Any = {
        "model": "theirs/well",
        "max_tokens": 2000,
        "system": [{"type": "text", "text": "Be kind.", **MARK}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi", **MARK}]},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "Hello"}]},
            {"role": "user", "content": "And?"},
        ],
    }
    both.anthropic.messages.create(**body, extra_body={"later": {"x": 1}})
    assert both.theirs.received.bodies[-1] == {**body, "model": "well", "later": {"x": 1}}
    headers = both.theirs.received.headers[-1]
    assert headers["x-api-key"] == SECRET and headers["anthropic-version"] and "authorization" not in headers


@pytest.mark.parametrize("model", ["thinks", "cites", "searches", "stops", "calls", "declines"])
def test_every_block_comes_through_whole_and_streamed(both: Both, model: str) -> None:
    blocks, reason, sequence = double.SCRIPTS[model]
    offered: Any = (
        {"tools": TOOLS} if model in ("thinks", "calls") else {}
    )  # a call that nobody offered is not passed on
    whole = both.anthropic.messages.create(model=f"theirs/{model}", max_tokens=50, messages=HELLO, **offered)
    flowing = streamed(both.anthropic, f"theirs/{model}", **offered)
    for message in (whole, flowing):
        shown = [block.to_dict() for block in message.content]
        for block in shown:
            block.pop("caller", None)
            block["citations"] = block.get("citations") or None
        assert shown == [{**block, "citations": block.get("citations")} for block in blocks]
        assert (message.stop_reason, message.stop_sequence) == (reason, sequence)


def test_what_it_cost_is_booked_with_the_tokens_of_its_cache(both: Both) -> None:
    raw = both.anthropic.messages.with_raw_response.create(model="theirs/well", max_tokens=50, messages=HELLO)
    trace = raw.headers["x-sizewise-trace"]
    cost = (10 * 3_000_000 + 600 * 300_000 + 30 * 6_000_000 + 20 * 15_000_000) / 1e12
    assert float(raw.headers["x-sizewise-cost-usd"]) == pytest.approx(cost)
    until(lambda: booked(both.served.home, trace))
    (record,) = booked(both.served.home, trace)
    assert (record["door"], record["model"], record["status"]) == ("messages", "theirs/well", 200)


# ---- the other SDK in front of this wire ----------------------------------------------------------------------------


def test_the_other_sdk_talks_to_a_model_of_this_wire(both: Both) -> None:
    reply = both.openai.chat.completions.create(model="theirs/well", messages=HELLO)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("Good day.", "stop")
    assert reply.usage is not None and reply.usage.prompt_tokens == 640
    chunks = list(
        both.openai.chat.completions.create(
            model="theirs/well",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
        ),
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Good day."
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 660


def test_the_other_sdk_gets_calls_and_sends_their_results_back(both: Both) -> None:
    reply = both.openai.chat.completions.create(model="theirs/calls", messages=HELLO, tools=FUNCTIONS)
    message = reply.choices[0].message
    calls: Any = message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Zürich", "Oslo"]
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "Rain."} for call in calls]
    history: Any = [*HELLO, message.model_dump(exclude_none=True), *results]
    both.openai.chat.completions.create(model="theirs/calls", messages=history, tools=FUNCTIONS)
    turns: Any = both.theirs.received.bodies[-1]["messages"]
    assert [block["type"] for block in turns[1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["tool_use_id"] for block in turns[2]["content"]] == ["toolu_double", "toolu_second"]


def test_the_other_sdk_sees_parallel_calls_grow(both: Both) -> None:
    asked = both.openai.chat.completions.create(model="theirs/calls", messages=HELLO, tools=FUNCTIONS, stream=True)
    grown: dict[int, str] = {}
    for chunk in asked:
        for call in chunk.choices[0].delta.tool_calls or ():
            function = call.function
            grown[call.index] = grown.get(call.index, "") + ((function and function.arguments) or "")
    assert [json.loads(text)["city"] for _, text in sorted(grown.items())] == ["Zürich", "Oslo"]


def test_a_bare_signature_is_no_empty_thought_to_the_other_sdk(both: Both) -> None:
    asked = both.openai.chat.completions.create(model="flow/thinks", messages=HELLO, tools=FUNCTIONS, stream=True)
    extras = [chunk.choices[0].delta.model_extra or {} for chunk in asked if chunk.choices]
    thoughts = [extra.get("reasoning_content") for extra in extras]
    assert "" not in thoughts and "".join(thought or "" for thought in thoughts) == "They greet me."


@pytest.mark.parametrize("effort", ["low", "none"])
def test_an_effort_of_either_wire_is_one_to_the_other(both: Both, effort: Any) -> None:
    both.openai.chat.completions.create(model="theirs/well", messages=HELLO, reasoning_effort=effort)
    body = both.theirs.received.bodies[-1]
    said = {name: body.get(name) for name in ("thinking", "output_config")}
    none = {"thinking": {"type": "disabled"}, "output_config": None}
    assert said == (none if effort == "none" else {"thinking": None, "output_config": {"effort": "low"}})


@pytest.mark.parametrize(
    "said",
    [{"output_config": {"effort": "medium"}}, {"thinking": {"type": "enabled", "budget_tokens": 8_000}}],
)
def test_how_much_to_think_reaches_a_model_of_the_other_wire(both: Both, said: Any) -> None:
    both.anthropic.messages.create(model="other/well", max_tokens=9_000, messages=HELLO, **said)
    body = both.other.received.bodies[-1]
    assert body["reasoning_effort"] == "medium" and "thinking" not in body and "output_config" not in body


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("nobody/knows", anthropic.NotFoundError, "model_not_found"),
        ("theirs/locked", anthropic.InternalServerError, "upstream_error"),
        ("theirs/busy", anthropic.RateLimitError, "upstream_busy"),
        ("theirs/overloaded", anthropic.InternalServerError, "upstream_busy"),
        ("theirs/long", anthropic.BadRequestError, "context_length_exceeded"),
        ("theirs/refuses", anthropic.BadRequestError, "upstream_refused"),
        ("theirs/broken", anthropic.InternalServerError, "upstream_error"),
        ("other/refuses", anthropic.BadRequestError, "upstream_refused"),
    ],
)
def test_a_refusal_is_the_sdks_own_error_with_our_code_and_hint(
    both: Both,
    model: str,
    error: type[anthropic.APIStatusError],
    code: str,
    stream: bool,
) -> None:
    model = model.replace("theirs/", "flow/") if stream else model
    with pytest.raises(error) as caught:
        both.anthropic.messages.create(model=model, max_tokens=50, messages=HELLO, stream=stream)
    body: Any = caught.value.body
    assert body["type"] == "error" and body["error"]["code"] == code and body["error"]["hint"]
    assert SECRET not in caught.value.message and caught.value.request_id


@pytest.mark.parametrize("model", ["theirs/error-mid", "theirs/reset-mid", "theirs/end-mid", "other/error-mid"])
def test_a_stream_that_breaks_off_ends_with_one_error_event(both: Both, model: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        streamed(both.anthropic, model)
    body: Any = caught.value.body
    assert body["error"]["code"] == "stream_interrupted"


@pytest.mark.parametrize("model", ["theirs/error-mid", "theirs/reset-mid", "theirs/end-mid"])
def test_the_other_sdk_hears_of_it_too(both: Both, model: str) -> None:
    with pytest.raises(openai.APIError):
        list(both.openai.chat.completions.create(model=model, messages=HELLO, stream=True))


def test_what_cannot_be_translated_is_refused_and_never_dropped(both: Both) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        both.anthropic.messages.create(
            model="other/well",
            max_tokens=2000,
            messages=HELLO,
            extra_body={"speed": "fast"},
        )
    body: Any = caught.value.body
    assert (body["error"]["code"], body["error"]["param"]) == ("not_translatable", "speed")
    with pytest.raises(openai.BadRequestError) as other:
        both.openai.chat.completions.create(model="theirs/well", messages=HELLO, presence_penalty=0.5)
    assert (other.value.code, other.value.param) == ("not_translatable", "presence_penalty")


def test_a_wrong_key_a_bad_body_and_one_too_large_are_refused_in_this_endpoints_words(both: Both) -> None:
    with Anthropic(base_url=both.served.url, api_key="sk-wrong", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError) as locked:
            stranger.messages.create(model="auto", max_tokens=5, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError) as bad:
        both.anthropic.messages.create(model="auto", max_tokens=0, messages=HELLO)
    with pytest.raises(anthropic.RequestTooLargeError) as large:
        both.anthropic.messages.create(
            model="auto",
            max_tokens=5,
            messages=[{"role": "user", "content": "x" * 100_000}],
        )
    kinds = [error.value.body["error"]["type"] for error in (locked, bad, large)]  # type: ignore[index]  # the SDK says object
    assert kinds == ["authentication_error", "invalid_request_error", "request_too_large"]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "code"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error", "bad_request"),
        ("POST", "/v1/messages/batches", 404, "not_found_error", "not_found"),
        ("GET", "/v1/messages/count_tokens", 405, "invalid_request_error", "bad_request"),
        ("POST", "/v1/messages/", 404, "not_found_error", "not_found"),
    ],
)
def test_what_is_not_there_is_refused_in_this_endpoints_words(
    both: Both,
    method: str,
    path: str,
    status: int,
    kind: str,
    code: str,
) -> None:
    answer = both.served.ask(path, {"model": "x"} if method == "POST" else None)
    shown: Any = answer.json
    assert (answer.status, shown["type"], shown["error"]["type"]) == (status, "error", kind), answer.body
    assert (shown["error"]["code"], shown["request_id"]) == (code, answer.headers["request-id"])
    assert ("allow" in answer.headers) == (status == 405)


def test_elsewhere_the_other_wires_words_stay(both: Both) -> None:
    answer = both.served.ask("/v1/messengers", {})
    assert answer.status == 404 and set(answer.json) == {"error"} and "request-id" not in answer.headers  # type: ignore[call-overload]  # JSON


# ---- headers of this wire -------------------------------------------------------------------------------------------

BETA: Any = {"anthropic-beta": "context-1m-2025-08-07", "anthropic-version": "2026-01-01"}


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_client_says_of_versions_reaches_a_model_of_this_wire_and_no_other(both: Both, stream: bool) -> None:
    request: Any = {"max_tokens": 9, "messages": HELLO, "stream": stream, "extra_headers": BETA}
    list(both.anthropic.messages.create(model="theirs/well", **request))
    headers = both.theirs.received.headers[-1]
    assert {name: headers[name] for name in BETA} == BETA
    list(both.anthropic.messages.create(model="other/well", **request))
    assert not [name for name in both.other.received.headers[-1] if name.startswith("anthropic")]


def test_a_version_is_always_said_and_what_the_settings_pin_stays(both: Both) -> None:
    both.openai.chat.completions.create(model="theirs/well", messages=HELLO, extra_headers=BETA)
    headers = both.theirs.received.headers[-1]
    assert headers["anthropic-version"] == "2023-06-01" and "anthropic-beta" not in headers
    both.anthropic.messages.create(model="far/well", max_tokens=9, messages=HELLO, extra_headers=BETA)
    headers = both.theirs.received.headers[-1]
    assert (headers["anthropic-beta"], headers["anthropic-version"]) == ("pinned-1", "2026-01-01")


# ---- counting -------------------------------------------------------------------------------------------------------


def test_a_model_of_this_wire_has_its_tokens_counted_by_its_vendor(both: Both) -> None:
    request: Any = {"messages": [*HELLO, {"role": "assistant", "content": "ok"}], "system": "Be kind.", "tools": TOOLS}
    count = both.anthropic.messages.count_tokens(model="theirs/well", **request, extra_headers=BETA)
    assert count.input_tokens == 200
    assert both.theirs.received.paths[-1] == "/v1/messages/count_tokens"
    assert both.theirs.received.bodies[-1] == {"model": "well", **request}
    headers = both.theirs.received.headers[-1]
    assert (headers["anthropic-beta"], headers["x-api-key"]) == (BETA["anthropic-beta"], SECRET)


def test_a_count_that_the_vendor_refuses_is_refused(both: Both) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        both.anthropic.messages.count_tokens(model="theirs/refuses", messages=HELLO)
    body: Any = caught.value.body
    assert body["error"]["code"] == "upstream_refused"


def test_what_must_not_leave_is_not_counted_elsewhere_either(both: Both) -> None:
    before = len(both.theirs.received.bodies)
    for wish in ({"x-sizewise-data-class": "confidential"}, {"x-sizewise-online": "deny"}):
        with pytest.raises(anthropic.PermissionDeniedError):
            both.anthropic.messages.count_tokens(model="far/well", messages=HELLO, extra_headers=wish)
    assert len(both.theirs.received.bodies) == before
    assert both.anthropic.messages.count_tokens(model="far/well", messages=HELLO).input_tokens == 100
