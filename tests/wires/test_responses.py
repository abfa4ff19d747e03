"""The Responses wire: what goes through as it came, what is translated, what is refused by name; streams both ways."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sizewise.errors import BadBody, NotTranslatable, SizewiseError, UpstreamOverloaded, UpstreamProtocolError
from sizewise.handler import ChoiceFinished, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.providers.wires.anthropic import request_in, request_out
from sizewise.providers.wires.openai import request_response
from sizewise.providers.wires.responses.request_in import read_request
from sizewise.providers.wires.responses.response import read_reply
from sizewise.providers.wires.responses.response_object import ResponseEnvelope
from sizewise.providers.wires.responses.stream_in import RAW_EVENT_FIELD, ResponsesStreamReader
from sizewise.providers.wires.responses.stream_out import ResponsesStreamWriter
from sizewise.providers.wires.responses.wire import WIRE
from sizewise.providers.wires.sse import SseDecoder
from tests.running_server import Served, serving
from tests.wires.record_requests import BETWEEN, RecordingUpstream, double

Json = dict[str, Any]
HERE = Path(__file__).parent

SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbGVk"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "Rain."}
TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
FRAME = ResponseEnvelope("resp_" + "0" * 48, 1, {})


def asked(before: list[Raw] | None = None, **more: object) -> ChatRequest:
    """A request at the endpoint of this wire."""
    return read_request(json.dumps({"model": "m", "input": "Hi", **more}).encode()).to_chat(before or [])


def ours(**more: object) -> ChatRequest:
    """A request at the chat endpoint."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}
    return request_response.read_request(json.dumps(body).encode())[0]


def sent(chat: ChatRequest) -> Json:
    """What an upstream of this wire gets."""
    return dict(json.loads(WIRE.write_request(chat, "theirs")))


def translated(chat: ChatRequest) -> Json:
    """What an upstream of the chat wire gets."""
    return dict(json.loads(request_response.write_request(chat, "theirs")))


# ---- the same wire in and out ---------------------------------------------------------------------------------------


def test_numbers_and_the_order_of_keys_stay_as_they_were_written() -> None:
    body = b'{"temperature":1.0,"input":[{"content":"x","role":"user"}],"store":false,"model":"m","later":1e2}'
    assert WIRE.write_request(read_request(body).to_chat([]), "n") == body.replace(b'"model":"m"', b'"model":"n"')


def test_our_own_object_and_the_previous_id_are_taken_out_of_the_body() -> None:
    request = read_request(b'{"model":"m","input":"x","sizewise":{"policy":"cheap"},"previous_response_id":"resp_1"}')
    assert request.sizewise is not None and json.loads(bytes(request.sizewise)) == {"policy": "cheap"}
    assert sent(request.to_chat([])).keys() == {"model", "input", "store"}


def test_what_a_request_builds_on_stands_before_it() -> None:
    before = [Raw(json.dumps(item).encode()) for item in ({"role": "user", "content": "x"}, SEALED, CALL)]
    chat = asked(before, input=[RESULT], instructions="Be kind.")
    assert sent(chat)["input"] == [{"role": "user", "content": "x"}, SEALED, CALL, RESULT]
    assert [message.role for message in chat.messages] == ["system", "user", "assistant", "tool"]


def test_a_request_that_somebody_rewrote_is_sent_as_rewritten() -> None:
    chat = asked(input=[{"role": "user", "content": "my secret"}, SEALED], instructions="s")
    body = sent(chat.map_text(lambda text: text.replace("secret", "[name]")))
    assert body["input"] == [{"role": "user", "content": "my [name]"}] and "secret" not in json.dumps(body)


@pytest.mark.parametrize(
    "item",
    [{"type": "reasoning", "id": "rs_7", "summary": []}, {**SEALED, "encrypted_content": ""}],
)
def test_reasoning_that_is_only_pointed_to_is_left_out_where_nothing_is_stored(item: Json) -> None:
    items = [{"role": "user", "content": "x"}, item]
    assert sent(asked(input=items))["input"] == items[:1]
    assert sent(asked(input=items, store=True))["input"] == items


def test_names_that_only_we_know_are_left_out() -> None:
    thought = {
        "type": "reasoning",
        "id": "rs_sw1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm"}],
    }
    call = {**CALL, "id": "fc_sw1"}
    assert sent(asked(input=[{"role": "user", "content": "x"}, thought, call, RESULT]))["input"][1:] == [CALL, RESULT]


# ---- from this wire into others -------------------------------------------------------------------------------------


def test_items_tools_and_shapes_are_put_into_the_chat_wires_words() -> None:
    image = {"type": "input_image", "image_url": "https://e.org/a.png", "detail": "low"}
    pdf = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}
    chat = asked(
        instructions="Be kind.",
        input=[
            {"role": "developer", "content": "Short."},
            {"role": "user", "content": [{"type": "input_text", "text": "Look."}, image, pdf]},
            SEALED,
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "content": [{"type": "output_text", "text": "So."}],
            },
            CALL,
            {**CALL, "call_id": "c2"},
            RESULT,
            {**RESULT, "call_id": "c2", "output": [{"type": "input_text", "text": "Sun."}]},
        ],
        tools=[TOOL],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        max_output_tokens=9,
        temperature=0.5,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "p", "schema": {"type": "object"}, "strict": True}},
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
        safety_identifier="u1",
        metadata={"a": "b"},
        truncation="disabled",
    )
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    assert translated(chat) == {
        "model": "theirs",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": "Short."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look."},
                    {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf["file_data"]}},
                ],
            },
            {"role": "assistant", "content": "So.", "tool_calls": [call, {**call, "id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
            {"role": "tool", "tool_call_id": "c2", "content": "Sun."},
        ],
        "tools": [{"type": "function", "function": {k: v for k, v in TOOL.items() if k != "type"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "max_tokens": 9,
        "temperature": 0.5,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "p", "schema": {"type": "object"}, "strict": True},
        },
        "user": "u1",
    }
    assert chat.input_modalities() == {"image", "file"} and chat.tools and chat.schema and chat.max_tokens == 9


def test_log_probabilities_are_asked_for_in_either_way() -> None:
    assert translated(asked(include=["message.output_text.logprobs"]))["logprobs"] is True
    chat = asked(top_logprobs=3)
    assert translated(chat)["top_logprobs"] == 3 and chat.logprobs


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"later": 1}, "later"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"include": ["later"]}, "include[0]"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"tools": [{"type": "custom", "name": "x", "later": 1}]}, "tools[0].later"),
        ({"tools": [{**TOOL, "later": True}]}, "tools[0].later"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "code_interpreter_call", "id": "w"}]}, "input[1]"),
        ({"input": [{"role": "user", "content": "x", "later": 1}]}, "input[0].later"),
        ({"input": [{"role": "user", "content": [{"type": "later"}]}]}, "input[0].content[0]"),
        ({"input": [{**RESULT, "output": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].output[0]"),
    ],
)
def test_what_other_wires_cannot_say_is_refused_by_name(more: Json, param: str) -> None:
    chat = asked(**more)
    for write in (request_response.write_request, request_out.write_request):
        with pytest.raises(NotTranslatable) as caught:
            write(chat, "theirs")
        assert caught.value.param == param and caught.value.hint


@pytest.mark.parametrize("depth", [*range(940, 1030, 3), 100_000])
def test_what_is_nested_too_deeply_is_refused_at_any_depth(depth: int) -> None:
    schema = b"[" * depth + b"]" * depth
    body = b'{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":' + schema + b"}]}"
    with contextlib.suppress(BadBody):
        read_request(body).to_chat([])


# ---- from others into this wire -------------------------------------------------------------------------------------


def test_a_chat_with_all_it_can_have_is_put_into_this_wires_words() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chat = ours(
        messages=[
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "x"}],
            },
            {"role": "assistant", "content": "So.", "reasoning_content": "Hm.", "reasoning_items": [SEALED]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
            {"role": "user", "content": "And?"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        tool_choice="required",
        max_completion_tokens=9,
        reasoning_effort="low",
        verbosity="low",
        response_format={"type": "json_object"},
        logprobs=True,
        stream=True,
        n=1,
        seed=None,
        user="u",
    )
    assert sent(chat) == {
        "model": "theirs",
        "instructions": "Be kind.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "u", "detail": "auto"},
                    {"type": "input_text", "text": "x"},
                ],
            },
            SEALED,
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So."}]},
            CALL,
            RESULT,
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}],
        "tool_choice": "required",
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "stream": True,
        "user": "u",
        "store": False,
    }


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": "x"}, "stop"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"later": 1}, "later"),
        ({"store": True}, "store"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0]"),
        ({"messages": [{"role": "user", "name": "Ann", "content": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
    ],
)
def test_what_this_wire_cannot_say_is_refused_by_name(more: Json, param: str) -> None:
    with pytest.raises(NotTranslatable) as caught:
        sent(ours(**more))
    assert caught.value.param == param and caught.value.hint


NAMES = (
    *("type", "text", "function", "name", "arguments", "parameters", "image_url", "url", "file", "file_data", "id"),
    *("role", "content", "output", "call_id", "summary", "encrypted_content", "format", "schema", "json_schema"),
    *(
        "item",
        "response",
        "delta",
        "output_index",
        "part",
        "error",
        "code",
        "message",
        "status",
        "usage",
        "annotations",
    ),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "text", "function", "message", "{", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
KINDS = (
    *("message", "function_call", "function_call_output", "reasoning", "item_reference", "web_search_call"),
    *("input_text", "output_text", "input_image", "input_file", "refusal", "function", "json_schema"),
)
things = st.builds(
    lambda kind, thing: {**thing, "type": kind},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(NAMES), anything),
)
asking = ("tools", "tool_choice", "text", "reasoning", "include", "metadata", "instructions", "response_format", "stop")
fields = st.dictionaries(st.sampled_from(asking), anything | st.lists(things, max_size=1), max_size=3)


@pytest.mark.long
@given(input=st.lists(things, max_size=3), content=st.lists(things, max_size=2), more=fields)
def test_no_body_however_odd_is_more_than_refused(input: list[Any], content: list[Any], more: Json) -> None:
    message = {"role": "user", "content": content}
    body = json.dumps(
        {"model": "m", "max_tokens": 1, "input": [*input, message], "messages": [message], **more},
    ).encode()
    endpoints: list[Callable[[], ChatRequest]] = [
        lambda: read_request(body).to_chat([]),
        lambda: request_response.read_request(body)[0],
        lambda: request_in.read_request(body)[0],
    ]
    for read in endpoints:
        try:
            chat = read()
            for write in (WIRE.write_request, request_response.write_request, request_out.write_request):
                with contextlib.suppress(SizewiseError):
                    write(chat, "theirs")
        except SizewiseError as error:
            assert error.status == 400


# ---- replies and streams --------------------------------------------------------------------------------------------


def stream(*events: Json) -> ResponsesStreamReader:
    reader = ResponsesStreamReader(False)
    for event in events:
        reader.read_frame(json.dumps(event).encode())
    return reader


CREATED = {"type": "response.created", "response": {"output": []}}
ITEM = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m", "content": []}}
WORD = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"}
LAST = {
    "type": "response.completed",
    "response": {
        "id": "r",
        "model": "up",
        "output": [{"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hel"}]}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
}


@pytest.mark.parametrize("events", [(), (CREATED,), (CREATED, ITEM, WORD)])
def test_a_stream_that_ends_too_early_is_garbled(events: tuple[Json, ...]) -> None:
    with pytest.raises(UpstreamProtocolError):
        stream(*events).reply()


@pytest.mark.parametrize(
    "payload",
    [
        *(b"x", b"[]", b"{}", b'{"type":7}', b'{"type":"response.output_text.delta","delta":{}}', b'{"choices":[]}'),
        *(
            b'{"type":"response.output_item.added","item":{}}',
            b'{"type":"response.completed","response":{"output":[7]}}',
        ),
    ],
)
def test_what_is_no_event_is_garbled(payload: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        stream(CREATED).read_frame(payload)


def test_events_of_a_later_day_are_passed_over() -> None:
    reader = stream(CREATED, {"type": "response.later", "delta": {"x": 1}, "text": 7}, ITEM, WORD, LAST)
    reply = reader.reply()
    assert reader.done and (reply.text, reply.usage, reply.model) == ("Hel", Usage(3, 2), "up")


@pytest.mark.long
@given(events=st.lists(anything | things, max_size=4), output=st.lists(anything | things, max_size=3))
def test_no_answer_however_odd_is_more_than_garbled(events: list[Any], output: list[Any]) -> None:
    with contextlib.suppress(SizewiseError):
        FRAME.completed(read_reply(json.dumps({"output": output}).encode()), 1)
    for kind in ("output_item.added", "output_item.done", "output_text.delta", "completed", "failed", "later.added"):
        written = ResponsesStreamWriter(FRAME)
        reader = ResponsesStreamReader(False)
        with contextlib.suppress(SizewiseError):
            for each in (CREATED, ITEM, *events):
                told = each if isinstance(each, dict) else {"item": each, "delta": each}
                for event in reader.read_frame(json.dumps({**told, "type": f"response.{kind}"}).encode()):
                    written.write(event)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, UpstreamOverloaded),
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "slow"}}, UpstreamOverloaded),
        ({"error": {"code": "rate_limit_exceeded", "message": "slow"}}, UpstreamOverloaded),
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, UpstreamOverloaded),
    ],
)
def test_a_failure_in_mid_stream_is_one_of_our_errors(event: Json, error: type[SizewiseError]) -> None:
    with pytest.raises(error):
        stream(CREATED, event)


@pytest.mark.long
def test_calls_told_in_turns_each_grow_in_their_own_item() -> None:
    written = ResponsesStreamWriter(FRAME)
    for index, id, text in ((0, "c0", "{"), (1, "c1", "{"), (0, "", "}"), (1, "", "}")):
        written.write(ToolDelta(0, index, id, "f" if id else "", text))
    written.close_items(Reply((Choice(0, "", "tool_calls"),), Usage()))
    assert [(item["call_id"], item["arguments"]) for item in written.items] == [("c0", "{}"), ("c1", "{}")]
    assert len({item["id"] for item in written.items}) == 2


words = st.text(min_size=1, max_size=8)
said = st.lists(
    st.one_of(
        words.map(lambda text: TextDelta(0, text)),
        words.map(lambda text: ReasoningDelta(0, text)),
        words.map(lambda text: ReasoningDelta(0, "", text)),
        st.just(RawDelta(0, {"audio": Raw(b"{}")})),
        st.just(RawDelta(0, {"refusal": Raw(b"null")})),
        st.just(RawDelta(0, {"refusal": Raw(b'"No."')})),
    ),
    max_size=6,
)


@pytest.mark.long
@given(said=said, calls=st.lists(st.dictionaries(words, words, max_size=2), max_size=3), usage=st.integers(0, 99))
def test_a_stream_that_we_wrote_is_read_again_as_it_was(said: list[Any], calls: list[Json], usage: int) -> None:
    events = list(said)
    for number, arguments in enumerate(calls):
        text = json.dumps(arguments)
        events += [ToolDelta(0, number, f"id{number}", "f", text[:3]), ToolDelta(0, number, json=text[3:])]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    tools = tuple(ToolCall(FunctionCall("f", json.dumps(each)), f"id{number}") for number, each in enumerate(calls))
    finish = "tool_calls" if calls else "stop"
    reply = Reply((Choice(0, text, finish, tools),), Usage(usage + 9, 7, 4, 5), "m")
    written = ResponsesStreamWriter(FRAME)
    data = written.start("m") + b"".join(map(written.write, events)) + written.close_items(reply)
    data += written.finish(FRAME.completed(reply, 2, written.items))
    reader, heard = ResponsesStreamReader(False), list[Any]()
    for payload in SseDecoder().feed(data):
        heard += reader.read_frame(payload)
    choice = reader.reply().choices[0]
    assert reader.done and reader.reply().usage == reply.usage
    assert (choice.text, choice.tool_calls, choice.finish_reason) == (text, tools, finish)
    assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == text
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert "".join(event.text for event in heard if isinstance(event, ReasoningDelta)) == thought
    assert [event for event in heard if isinstance(event, ChoiceFinished)] == [ChoiceFinished(0, finish)]
    assert RAW_EVENT_FIELD not in json.dumps(msgspec.to_builtins(reader.reply().choices[0].text))


# ---- the very bytes -------------------------------------------------------------------------------------------------

RECORDED = HERE / "responses.http"
ROW = '[server]\nembedded = false\ndiscover = false\n[providers.up]\nwire = "responses"\nmodels = ["a-model"]\n'
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
ENDPOINTS: dict[str, Json] = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 16, "reasoning_effort": "low"},
    "/v1/messages": {"messages": MESSAGES[1:], "system": "Be brief.", "max_tokens": 16},
    "/v1/responses": {"input": "Say hello.", "instructions": "Be brief.", "max_output_tokens": 16},
}


def recorded(served: Served, here: RecordingUpstream) -> str:
    """What an upstream of this wire gets from a client of each endpoint, whole and as a stream."""
    for path, body in ENDPOINTS.items():
        for more in ({}, {"stream": True}):
            served.ask(path, {"model": "up/a-model", **body, **more})
    text = BETWEEN.join(each.decode().replace("\r\n", "\n") for each in here.seen)
    lines = [line for line in text.split("\n") if not line.startswith("user-agent")]
    return "\n".join(lines).replace(here.url.removeprefix("http://"), "up.example") + "\n"


@pytest.mark.long
def test_an_upstream_gets_the_very_bytes_that_were_recorded(tmp_path: Path) -> None:
    with double() as here, serving(tmp_path, f'{ROW}base_url = "{here.url}/v1"\n') as served:
        found = recorded(served, here)
    if not RECORDED.exists():  # delete it to record anew
        RECORDED.write_text(found)
    assert found == RECORDED.read_text()
