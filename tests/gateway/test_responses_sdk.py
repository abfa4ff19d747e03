"""The official `openai` SDK's FakeResponses, unchanged, in front of any model; and other SDKs in front of that wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseFailedEvent
from pydantic import BaseModel

from sizewise.testing.upstream import FakeOpenAI
from tests.fakes import fake_anthropic as claude
from tests.fakes import fake_responses as double
from tests.gateway.server_harness import booked
from tests.running_server import Served, serving, until

SECRET = "sk-responses-secret"
HELLO: Any = [{"role": "user", "content": "one two three"}]
TOOL: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
FUNCTION: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def offering(model: str) -> dict[str, Any]:
    """A call that nobody offered is not passed on, and these doubles always call."""
    return {"tools": [TOOL]} if model.endswith(("/calls", "/thinks")) else {}


def settings(other: str, theirs: str, third: str) -> str:
    """The double of a FakeResponses server under two names, for whole replies and for streams: each feels its own
    pulse."""
    names = json.dumps([*double.SCRIPTS, *double.ERRORS, *double.MID, *double.ODD])
    row = f'[providers.{{}}]\nwire = "responses"\nbase_url = "{theirs}"\nkey = "env:THEIR_KEY"\nplace = "machine"\n'
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
[providers.third]
wire = "anthropic"
base_url = "{third}"
place = "machine"
models = ["well", "thinks", "calls"]
{row.format("theirs")}{row.format("flow")}
[models."theirs/well"]
price = {{input = "3", output = "15", cached = "0.3", cache_write = "3.75"}}
"""


@contextlib.contextmanager
def upstreams() -> Iterator[tuple[FakeOpenAI, double.FakeResponses, claude.FakeAnthropic]]:
    """Servers of three wires, in an event loop of their own."""
    ready: queue.Queue[tuple[Any, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        over = asyncio.Event()
        async with FakeOpenAI() as other, double.FakeResponses() as theirs, claude.FakeAnthropic() as third:
            ready.put(((other, theirs, third), asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    servers, loop, over = ready.get(timeout=60)
    try:
        yield servers
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)


class All:
    """A server, the upstreams behind it, and the SDKs in front of it."""

    def __init__(self, served: Served, other: FakeOpenAI, theirs: double.FakeResponses) -> None:
        self.served, self.other, self.theirs = served, other, theirs
        self.openai = OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0)
        self.anthropic = Anthropic(base_url=served.url, api_key=served.key, max_retries=0)

    def ask(self, model: str, input: Any = "one two three", **more: Any) -> Response:
        made: Response = self.openai.responses.create(model=model, input=input, **offering(model), **more)
        return made

    def events(self, model: str, input: Any = "one two three", **more: Any) -> list[Any]:
        return list(self.openai.responses.create(model=model, input=input, stream=True, **offering(model), **more))

    def flow(self, model: str, input: Any = "one two three", **more: Any) -> Response:
        last = self.events(model, input, **more)[-1]
        made: Response = last.response
        return made


@pytest.fixture(scope="module")
def all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[All]:
    home = tmp_path_factory.mktemp("responses")
    with upstreams() as (other, theirs, third):
        with serving(home, settings(other.url, theirs.url, third.url), THEIR_KEY=SECRET) as served:
            made = All(served, other, theirs)
            yield made
            made.openai.close()
            made.anthropic.close()
            said = "".join(served.said)
            assert "Traceback" not in said and "unforeseen" not in said and SECRET not in said, said


def shown(item: Any) -> dict[str, Any]:
    """An item without what differs between our naming and theirs."""
    found: dict[str, Any] = item.to_dict()
    if found["type"] in ("message", "function_call"):
        found.pop("id")
    return found


# ---- its SDK in front of any model ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("echo/small", "one two three", (3, 3)),
        ("auto", "one two three", (3, 3)),
        ("other/well", "Hello from the upstream.", (7, 5)),
        ("third/well", "Good day.", (640, 20)),
        ("theirs/well", "Good day.", (640, 20)),
    ],
)
def test_a_response_and_its_stream_say_the_same(all: All, model: str, text: str, tokens: tuple[int, int]) -> None:
    for response in (all.ask(model), all.flow(model)):
        assert response.output_text == text
        assert (response.object, response.status, response.error) == ("response", "completed", None)
        assert response.model == ("echo/small" if model == "auto" else model) and response.id.startswith("resp_")
        usage: Any = response.usage
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (*tokens, sum(tokens))
        assert usage.input_tokens_details.cache_write_tokens >= 0 and usage.output_tokens_details.reasoning_tokens >= 0


def test_tokens_from_a_cache_are_told(all: All) -> None:
    usage: Any = all.ask("theirs/well").usage
    assert (usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens) == (600, 30)
    usage = all.flow("other/counted").usage
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (600, 20)


def test_events_come_in_the_order_that_the_wire_promises(all: All) -> None:
    kinds = [event.type.removeprefix("response.") for event in all.events("echo/small", "[[think hm ok]] one two")]
    assert kinds == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done"),
        *("content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done"),
        "completed",
    ]


MODELS = [
    *("echo/small", "other/well", "third/thinks", "third/calls"),
    *(f"theirs/{name}" for name in (*double.SCRIPTS, "silent", "empty-end")),
]


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_is_well_formed_event_by_event(all: All, model: str) -> None:
    """Numbered without a gap; each item and part opens once, grows, and closes as the whole that the end repeats."""
    events = all.events(model)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[0].response.status == "in_progress" and events[0].response.output == []
    items: dict[int, Any] = {}
    closed: dict[int, Any] = {}
    parts: dict[tuple[int, str, int], str] = {}
    for event in events[2:-1]:
        kind = event.type.removeprefix("response.")
        place = event.output_index
        if kind == "output_item.added":
            assert place == len(items)
            items[place] = event.item
        elif kind == "output_item.done":
            assert place not in closed and event.item.id == items[place].id and event.item.type == items[place].type
            closed[place] = event.item
        else:
            assert place in items and place not in closed and event.item_id == items[place].id, kind
            list_of = "summary" if "summary" in kind else "content"
            index = (place, list_of, getattr(event, f"{list_of}_index", 0) or 0)
            if kind.endswith("part.added"):
                assert index not in parts
                parts[index] = ""
            elif kind == "function_call_arguments.delta":
                parts[index] = parts.get(index, "") + event.delta
            elif kind.endswith(".delta"):
                parts[index] += event.delta
            elif kind in ("output_text.done", "reasoning_text.done", "reasoning_summary_text.done"):
                assert parts[index] == event.text
            elif kind == "refusal.done":
                assert parts[index] == event.refusal
            elif kind == "function_call_arguments.done":
                assert parts.get(index, "") == event.arguments
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert items.keys() == closed.keys()
    final = events[-1].response
    assert [item.to_dict() for item in final.output] == [closed[place].to_dict() for place in sorted(closed)]
    assert final.id == events[0].response.id and final.model == events[0].response.model


def test_no_frame_has_an_id_and_each_has_its_event(all: All) -> None:
    answer = all.served.ask("/v1/responses", {"model": "echo/small", "input": "x", "stream": True})
    frames = answer.body.decode().removesuffix("\n\n").split("\n\n")
    for frame in frames:
        event, data = frame.split("\n")
        assert event.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]
    assert answer.headers["content-type"].startswith("text/event-stream") and b"[DONE]" not in answer.body


def test_the_stream_helper_accumulates_to_the_final_response(all: All) -> None:
    for model in ("echo/small", "theirs/thinks", "theirs/calls", "theirs/searches", "third/calls"):
        with all.openai.responses.stream(model=model, input="one two three", **offering(model)) as stream:
            snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
            final = stream.get_final_response()
        assert snapshots and final.status == "completed" and snapshots[-1] in final.output_text


async def test_the_async_client_streams_too(all: All) -> None:
    async with AsyncOpenAI(base_url=f"{all.served.url}/v1", api_key=all.served.key) as client:
        async with client.responses.stream(model="echo/small", input="one two") as stream:
            assert (await stream.get_final_response()).output_text == "one two"


class Place(BaseModel):
    city: str
    days: int


def test_a_structured_answer_is_parsed_by_the_sdk(all: All) -> None:
    asked = '[[say {"city": "Zürich", "days": 2}]]'
    made = all.openai.responses.parse(model="echo/small", input=asked, text_format=Place)
    assert made.output_parsed == Place(city="Zürich", days=2)
    with all.openai.responses.stream(model="echo/small", input=asked, text_format=Place) as stream:
        assert stream.get_final_response().output_parsed == Place(city="Zürich", days=2)


def test_headers_say_who_answered_and_a_stream_says_it_at_its_end(all: All) -> None:
    raw = all.openai.responses.with_raw_response.create(model="auto", input="one")
    assert raw.headers["x-sizewise-model"] == "echo/small" and raw.headers["x-sizewise-why"]
    assert raw.headers["x-sizewise-cost-usd"] and raw.headers["x-request-id"] == raw.headers["x-sizewise-trace"]
    ours: Any = all.flow("auto").to_dict()["sizewise"]
    assert ours["model"] == "echo/small" and ours["why"] and ours["trace"] and ours["cost_usd"]


def test_wishes_come_in_the_body_or_as_headers(all: All) -> None:
    said: list[Any] = [{"extra_body": {"sizewise": {"max-ms": 0}}}, {"extra_headers": {"x-sizewise-max-ms": "0"}}]
    for more in said:
        with pytest.raises(openai.BadRequestError) as caught:
            all.ask("auto", **more)
        assert "sizewise" in caught.value.message


@pytest.mark.parametrize("model", ["echo/small", "theirs/cut"])
def test_a_limit_of_tokens_leaves_the_response_incomplete(all: All, model: str) -> None:
    whole = all.ask(model, max_output_tokens=2)
    events = all.events(model, max_output_tokens=2)
    assert events[-1].type == "response.incomplete"
    for response in (whole, events[-1].response):
        assert response.status == "incomplete"
        assert response.to_dict()["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response.output[-1].to_dict()["status"] == "incomplete" and response.output_text


def test_what_was_asked_for_is_repeated_in_the_response(all: All) -> None:
    asked: Any = {"instructions": "Be kind.", "metadata": {"a": "b"}, "temperature": 0.5, "tools": [TOOL], "user": "u"}
    for response in (all.ask("echo/small", **asked), all.flow("echo/small", **asked)):
        found = response.to_dict()
        assert {name: found[name] for name in asked} == asked and found["truncation"] == "disabled"


def test_a_tool_is_called_and_its_result_reaches_a_model_of_another_wire(all: All) -> None:
    asked = '[[tool weather {"city": "Zürich"}]] Go'
    for response in (all.ask("echo/small", asked, tools=[TOOL]), all.flow("echo/small", asked, tools=[TOOL])):
        (call,) = response.output
        assert call.type == "function_call" and call.status == "completed"
        assert (call.call_id, call.name, json.loads(call.arguments)) == ("call_echo", "weather", {"city": "Zürich"})
    result = {"type": "function_call_output", "call_id": "call_echo", "output": "Rain."}
    history: Any = [{"role": "user", "content": "Go"}, call.to_dict(), result]
    all.ask("other/well", history, tools=[TOOL], instructions="Be kind.")
    body: Any = all.other.received.bodies[-1]
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["tools"][0]["function"]["name"] == "weather" and "sizewise_origin" not in body
    assert all.ask("third/well", history, tools=[TOOL]).output_text == "Good day."


# ---- the same wire in and out ---------------------------------------------------------------------------------------


def test_the_upstream_gets_the_clients_own_body_and_our_key(all: All) -> None:
    sealed = {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "c2VhbGVk"}
    body: Any = {
        "model": "theirs/well",
        "input": [{"role": "user", "content": "Hi"}, sealed, {"role": "user", "content": "And?"}],
        "tools": [{"type": "web_search"}],
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["web_search_call.action.sources", "reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "store": False,
    }
    all.openai.responses.create(**body, extra_body={"later": {"x": 1}})
    assert all.theirs.received.bodies[-1] == {**body, "model": "well", "later": {"x": 1}}
    assert all.theirs.received.headers[-1]["authorization"] == f"Bearer {SECRET}"


def test_nothing_is_stored_upstream_unless_the_client_says_so(all: All) -> None:
    all.ask("theirs/well", reasoning={"effort": "low"})
    sent = all.theirs.received.bodies[-1]
    assert sent["store"] is False and sent["include"] == ["reasoning.encrypted_content"]
    all.ask("theirs/well", reasoning={"effort": "low"}, store=True)
    assert all.theirs.received.bodies[-1]["store"] is True and "include" not in all.theirs.received.bodies[-1]
    all.openai.chat.completions.create(model="theirs/well", messages=HELLO)
    assert all.theirs.received.bodies[-1]["store"] is False


@pytest.mark.parametrize("model", double.SCRIPTS)
def test_every_item_comes_through_whole_and_streamed(all: All, model: str) -> None:
    items, reason = double.SCRIPTS[model]
    expected = [
        {name: item[name] for name in item if name != "id" or item["type"] in ID_BEARING_ITEMS} for item in items
    ]
    for response in (all.ask(f"theirs/{model}"), all.flow(f"theirs/{model}")):
        assert [shown(item) for item in response.output] == expected
        details = response.incomplete_details
        assert (details.reason if details else None) == reason


ID_BEARING_ITEMS = ("reasoning", "web_search_call")
"""Items whose id the vendor looks at when they come back."""


def test_sealed_reasoning_comes_back_to_its_model_with_the_next_turn(all: All) -> None:
    for first in (all.ask("theirs/thinks"), all.flow("theirs/thinks")):
        result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "Rain."}
        all.ask("theirs/well", [result], previous_response_id=first.id)
        body: Any = all.theirs.received.bodies[-1]
        assert "previous_response_id" not in body
        kinds = [item["type"] for item in body["input"]]
        assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
        assert body["input"][1] == double.REASONING
        assert all.ask("echo/small", "again", previous_response_id=first.id).output_text == "again"


def test_reasoning_of_another_model_is_not_sent_to_this_one(all: All) -> None:
    first = all.ask("echo/small", "[[think hm]] Yes")
    assert [item.type for item in first.output] == ["reasoning", "message"]
    all.ask("theirs/well", "And?", previous_response_id=first.id)
    body: Any = all.theirs.received.bodies[-1]
    assert [item["type"] for item in body["input"]] == ["message", "message", "message"]
    assert not any("id" in item for item in body["input"])


def test_what_it_cost_is_booked_with_the_tokens_of_its_cache(all: All) -> None:
    raw = all.openai.responses.with_raw_response.create(model="theirs/well", input="Hi")
    trace = raw.headers["x-sizewise-trace"]
    cost = (10 * 3_000_000 + 600 * 300_000 + 30 * 3_750_000 + 20 * 15_000_000) / 1e12
    assert float(raw.headers["x-sizewise-cost-usd"]) == pytest.approx(cost)
    until(lambda: booked(all.served.home, trace))
    (record,) = booked(all.served.home, trace)
    assert (record["door"], record["model"], record["status"]) == ("responses", "theirs/well", 200)


# ---- other SDKs in front of this wire -------------------------------------------------------------------------------


def test_a_chat_client_talks_to_a_model_of_this_wire(all: All) -> None:
    reply = all.openai.chat.completions.create(model="theirs/well", messages=HELLO)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("Good day.", "stop")
    assert reply.usage is not None and reply.usage.prompt_tokens == 640
    chunks = list(
        all.openai.chat.completions.create(
            model="theirs/well",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
        ),
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Good day."
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 660


def test_a_chat_client_gets_calls_and_sealed_reasoning_and_sends_them_back(all: All) -> None:
    message = (
        all.openai.chat.completions.create(model="theirs/thinks", messages=HELLO, tools=[FUNCTION]).choices[0].message
    )
    calls: Any = message.tool_calls
    assert json.loads(calls[0].function.arguments) == {"city": "Zürich"}
    result: Any = {"role": "tool", "tool_call_id": calls[0].id, "content": "Rain."}
    history: Any = [*HELLO, message.model_dump(exclude_none=True), result]
    all.openai.chat.completions.create(model="theirs/thinks", messages=history, tools=[FUNCTION])
    items: Any = all.theirs.received.bodies[-1]["input"]
    assert [item.get("type", item.get("role")) for item in items] == [
        *("user", "reasoning", "message", "function_call", "function_call_output"),
    ]
    assert items[1] == double.REASONING


def test_a_chat_client_sees_parallel_calls_grow(all: All) -> None:
    grown: dict[int, str] = {}
    asked = all.openai.chat.completions.create(model="theirs/calls", messages=HELLO, tools=[FUNCTION], stream=True)
    for chunk in asked:
        for call in chunk.choices[0].delta.tool_calls or ():
            function = call.function
            grown[call.index] = grown.get(call.index, "") + ((function and function.arguments) or "")
    assert [json.loads(text)["city"] for _, text in sorted(grown.items())] == ["Zürich", "Oslo"]


def test_an_anthropic_client_talks_to_a_model_of_this_wire(all: All) -> None:
    for model in ("theirs/well", "theirs/silent", "theirs/empty-end"):
        whole = all.anthropic.messages.create(model=model, max_tokens=50, messages=HELLO)
        with all.anthropic.messages.stream(model=model, max_tokens=50, messages=HELLO) as stream:
            flowing = stream.get_final_message()
        for message in (whole, flowing):
            assert [block.text for block in message.content if block.type == "text"] == ["Good day."]
            assert message.stop_reason == "end_turn" and message.usage.cache_read_input_tokens == 600
    tools: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
    called = all.anthropic.messages.create(model="theirs/calls", max_tokens=50, messages=HELLO, tools=tools)
    assert [block.type for block in called.content] == ["text", "tool_use", "tool_use"]


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("nobody/knows", openai.NotFoundError, "model_not_found"),
        ("theirs/locked", openai.InternalServerError, "upstream_error"),
        ("theirs/busy", openai.RateLimitError, "rate_limit_exceeded"),
        ("theirs/long", openai.BadRequestError, "context_length_exceeded"),
        ("theirs/refuses", openai.BadRequestError, "invalid_value"),
        ("theirs/broken", openai.InternalServerError, "upstream_error"),
        ("theirs/failed", openai.InternalServerError, "upstream_error"),
        ("other/refuses", openai.BadRequestError, "upstream_refused"),
    ],
)
def test_a_refusal_keeps_its_status_with_our_code_and_hint(
    all: All,
    model: str,
    error: type[openai.APIStatusError],
    code: str,
    stream: bool,
) -> None:
    model = model.replace("theirs/", "flow/") if stream else model
    with pytest.raises(error) as caught:
        all.ask(model, stream=stream)
    body: Any = caught.value.body
    assert caught.value.code == code and body["hint"] and SECRET not in caught.value.message
    assert caught.value.request_id


def test_a_response_that_has_not_begun_is_no_answer(all: All) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        all.ask("theirs/queued")
    assert "queued" in caught.value.message


MIDS = [*(f"theirs/{name}" for name in double.MID), "other/error-mid"]


@pytest.mark.parametrize("model", MIDS)
def test_a_stream_that_breaks_off_ends_with_an_error_event_and_a_failed_response(all: All, model: str) -> None:
    with pytest.raises(openai.APIError) as caught:
        all.events(model)
    body: Any = caught.value.body
    assert body["code"] == "stream_interrupted" and body["hint"]
    answer = all.served.ask("/v1/responses", {"model": model, "input": "x", "stream": True})
    events = [json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    assert kinds[-2:] == ["error", "response.failed"] and kinds.count("error") == 1
    assert not {"response.completed", "response.incomplete"} & set(kinds)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-2]["code"] == "stream_interrupted" and events[-2]["message"]
    failed = ResponseFailedEvent.model_validate(events[-1], strict=True).response
    assert failed.status == "failed" and failed.error is not None and failed.error.code == "server_error"
    assert events[-2]["message"] in failed.error.message and failed.id == events[0]["response"]["id"]


@pytest.mark.parametrize("model", [f"theirs/{name}" for name in double.MID])
def test_a_chat_client_hears_of_it_too(all: All, model: str) -> None:
    with pytest.raises(openai.APIError):
        list(all.openai.chat.completions.create(model=model, messages=HELLO, stream=True))


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"truncation": "later"}, "truncation"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input[0].content[0]"),
    ],
)
def test_what_cannot_be_translated_is_refused_and_never_dropped(all: All, more: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        all.openai.responses.create(**{"model": "other/well", "input": "x", **more})
    assert (caught.value.code, caught.value.param) == ("not_translatable", param)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ],
)
def test_state_on_the_vendors_side_is_refused_for_it_lies_under_our_key(all: All, more: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        all.openai.responses.create(**{"model": "theirs/well", "input": "x", **more})
    assert (caught.value.code, caught.value.param) == ("not_translatable", param)


def test_a_chat_client_is_told_what_this_wire_cannot_say(all: All) -> None:
    for param, value in (("presence_penalty", 0.5), ("logit_bias", {"1": 5}), ("guided_regex", "a+")):
        asked: Any = {"model": "theirs/well", "messages": HELLO, "extra_body": {param: value}}
        with pytest.raises(openai.BadRequestError) as caught:
            all.openai.chat.completions.create(**asked)
        assert (caught.value.code, caught.value.param) == ("not_translatable", param)


def test_a_wrong_key_a_bad_body_and_one_too_large_are_refused_in_words(all: All) -> None:
    with OpenAI(base_url=f"{all.served.url}/v1", api_key="sk-wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            stranger.responses.create(model="auto", input="x")
        with pytest.raises(openai.AuthenticationError):
            stranger.responses.retrieve("resp_1")
    asked: list[tuple[Any, str]] = [
        ({"input": 7}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"x": 1}]}, "input[0]"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0]"),
        ({"input": [{"type": "function_call"}]}, "input[0]"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "temperature": 3}, "temperature"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0]"),
    ]
    for more, param in asked:
        with pytest.raises(openai.BadRequestError) as bad:
            all.openai.responses.create(**{"model": "auto", **more})
        assert (bad.value.code, bad.value.param) == ("bad_body", param), more
    with pytest.raises(openai.APIStatusError) as large:
        all.ask("auto", "x" * 100_000)
    assert large.value.status_code == 413
