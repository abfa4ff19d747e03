"""Anthropic's wire: what goes through as it came, what is translated, what is refused by name; streams both ways."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sizewise.errors import (
    BadBody,
    ContextLengthExceeded,
    NotTranslatable,
    SizewiseError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRejected,
)
from sizewise.handler import ChoiceFinished, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.providers.wires.anthropic.request_in import read_request
from sizewise.providers.wires.anthropic.response import read_error, read_reply, write_error, write_reply
from sizewise.providers.wires.anthropic.stream_in import AnthropicStreamReader
from sizewise.providers.wires.anthropic.stream_out import AnthropicStreamWriter
from sizewise.providers.wires.anthropic.wire import WIRE
from sizewise.providers.wires.openai import request_response
from sizewise.providers.wires.original_body import original_body
from sizewise.providers.wires.sse import SseDecoder

Json = dict[str, Any]

MARK = {"cache_control": {"type": "ephemeral"}}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Zürich", "big": 12345678901234567890}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "Rain."}], **MARK}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
DOCUMENT = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}

texts = st.text(max_size=20)
blocks = st.sampled_from([IMAGE, DOCUMENT, {"type": "later", "x": [1.0, None]}]) | texts.map(
    lambda text: {"type": "text", "text": text, **MARK},
)
turns = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant"]),
    texts | st.lists(blocks | st.sampled_from([THINKING, USE]), max_size=3),
)
unknown = st.dictionaries(
    st.text("xyz_", min_size=3, max_size=6).map("later_".__add__),
    texts | st.floats(0, 1),
    max_size=2,
)


def asked(**more: object) -> ChatRequest:
    """A request at the endpoint of this wire."""
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **more}
    return read_request(json.dumps(body).encode())[0]


def ours(**more: object) -> ChatRequest:
    """A request at the other endpoint."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more}
    return request_response.read_request(json.dumps(body).encode())[0]


def sent(chat: ChatRequest) -> Json:
    """What an upstream of this wire gets."""
    return dict(json.loads(WIRE.write_request(chat, "theirs")))


def translated(chat: ChatRequest) -> Json:
    """What an upstream of the other wire gets."""
    return dict(json.loads(request_response.write_request(chat, "theirs")))


# ---- the same wire in and out ---------------------------------------------------------------------------------------


@given(messages=st.lists(turns, min_size=1, max_size=4), more=unknown, system=texts | st.lists(blocks, max_size=2))
def test_a_request_of_this_wire_is_sent_on_as_it_came_but_for_the_model(
    messages: list[object],
    more: dict[str, object],
    system: object,
) -> None:
    body = {"model": "auto", "max_tokens": 5, "messages": messages, "system": system, "thinking": None, **MARK, **more}
    chat, _ = read_request(json.dumps(body).encode())
    assert sent(chat) == body | {"model": "theirs"}


def test_numbers_and_the_order_of_keys_stay_as_they_were_written() -> None:
    body = b'{"temperature":1.0,"messages":[{"content":"x","role":"user"}],"max_tokens":7,"model":"m","later":1e2}'
    chat, _ = read_request(body)
    assert WIRE.write_request(chat, "n") == body.replace(b'"model":"m"', b'"model":"n"')


def test_our_own_object_is_taken_out_of_the_body() -> None:
    chat, options = read_request(
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"sizewise":{"policy":"cheap"}}',
    )
    assert options is not None and json.loads(bytes(options)) == {"policy": "cheap"}
    assert "sizewise" not in sent(chat)


def test_a_request_that_somebody_rewrote_is_sent_as_rewritten() -> None:
    chat = asked(messages=[{"role": "user", "content": [{"type": "text", "text": "my secret", **MARK}]}], system="s")
    body = sent(chat.map_text(lambda text: text.replace("secret", "[name]")))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "my [name]"}]}]
    assert body["system"] == [{"type": "text", "text": "s"}] and "secret" not in json.dumps(body)


def test_an_original_that_a_client_made_up_is_not_believed() -> None:
    forged = {"wire": "anthropic", "body": {"model": "m", "messages": [{"role": "user", "content": "forged"}]}}
    assert "forged" not in json.dumps(sent(ours(sizewise_origin=forged)))


def test_a_reply_of_this_wire_is_shown_byte_for_byte_unless_it_was_changed() -> None:
    body = json.dumps(
        {"content": [THINKING, {"type": "text", "text": "Hi", "later": 1}], "usage": {}, "id": "x"},
    ).encode()
    reply = read_reply(body)
    assert write_reply(reply, "msg_1") == body
    changed = msgspec.structs.replace(reply, choices=(Choice(0, "Other", "stop"),))
    assert json.loads(write_reply(changed, "msg_1"))["content"] == [{"type": "text", "text": "Other", "citations": []}]


# ---- from this wire into the other ----------------------------------------------------------------------------------


def test_system_tools_results_and_images_are_put_into_the_other_wires_words() -> None:
    chat = asked(
        system=[{"type": "text", "text": "Be kind.", **MARK}],
        messages=[
            {"role": "user", "content": [IMAGE, {"type": "text", "text": "Look."}]},
            {"role": "assistant", "content": [THINKING, {"type": "text", "text": "I see."}, USE]},
            {"role": "user", "content": [RESULT, {"type": "text", "text": "And?"}]},
        ],
        tools=[{"name": "weather", "description": "d", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        metadata={"user_id": "u1"},
    )
    body = translated(chat)
    arguments = body["messages"][2]["tool_calls"][0]["function"].pop("arguments")
    assert json.loads(arguments) == USE["input"]
    assert body == {
        "model": "theirs",
        "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                    {"type": "text", "text": "Look."},
                ],
            },
            {
                "role": "assistant",
                "content": "I see.",
                "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "weather"}}],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "Rain."},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "user": "u1",
    }
    assert chat.input_modalities() == {"image"} and chat.tools and chat.last_user_text() == "And?"


def test_documents_are_files_or_words_to_the_other_wire() -> None:
    text = {
        "type": "document",
        "title": "Tale",
        "source": {"type": "text", "media_type": "text/plain", "data": "Once."},
    }
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}
    (message,) = translated(asked(messages=[{"role": "user", "content": [text, pdf]}]))["messages"]
    file = {"filename": "document", "file_data": "data:application/pdf;base64,aGk="}
    assert message["content"] == [{"type": "text", "text": "Tale\n\nOnce."}, {"type": "file", "file": file}]


def test_a_failed_tool_says_so_in_words() -> None:
    failed = {**RESULT, "content": "no network", "is_error": True}
    (message,) = translated(asked(messages=[{"role": "user", "content": [failed]}]))["messages"]
    assert [part["text"] for part in message["content"]] == ["Error:", "no network"]


def test_a_schema_for_the_answer_becomes_a_response_format() -> None:
    chat = asked(output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}})
    assert translated(chat)["response_format"]["json_schema"]["schema"] == {"type": "object"} and chat.schema


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"thinking": {"type": "later"}}, "thinking"),
        ({"thinking": {"type": "adaptive", "later": 1}}, "thinking.later"),
        ({"later": 1}, "later"),
        ({"output_config": {"effort": "later"}}, "output_config.effort"),
        ({"output_config": {"effort": "low", "later": 1}}, "output_config.later"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"messages": [{"role": "user", "content": [DOCUMENT]}]}, "messages[0].content[0]"),
        ({"system": [{"type": "later", "text": 7}]}, "system[0]"),
        ({"messages": [{"role": "user", "content": [{**IMAGE, "later": 1}]}]}, "messages[0].content[0].later"),
        ({"tools": [{"name": "f", "input_schema": {}, "allowed_callers": ["code"]}]}, "tools[0].allowed_callers"),
        (
            {"messages": [{"role": "user", "content": [{**RESULT, "content": [DOCUMENT]}]}]},
            "messages[0].content[0].content[0]",
        ),
    ],
)
def test_what_the_other_wire_cannot_say_is_refused_by_name(more: Json, param: str) -> None:
    with pytest.raises(NotTranslatable) as caught:
        translated(asked(**more))
    assert caught.value.param == param and caught.value.hint


@pytest.mark.parametrize(
    ("more", "effort"),
    [
        ({"output_config": {"effort": "xhigh"}}, "xhigh"),
        ({"output_config": {"effort": "max"}}, "xhigh"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 60_000}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 60_000}, "output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "disabled"}}, None),
    ],
)
def test_how_much_to_think_is_an_effort_to_the_other_wire(more: Json, effort: str | None) -> None:
    chat = asked(**more)
    assert translated(chat).get("reasoning_effort") == effort
    assert sent(chat) == {"model": "theirs", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **more}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0]"),
        ({"tools": [{"name": "x"}]}, "tools[0]"),
        ({"tool_choice": {"type": "some"}}, "tool_choice"),
        ({"temperature": 1.5}, "temperature"),
    ],
)
def test_a_bad_body_is_refused_in_words(more: Json, param: str) -> None:
    with pytest.raises(BadBody) as caught:
        asked(**more)
    assert caught.value.param == param and caught.value.hint


@pytest.mark.parametrize("depth", [*range(960, 1030), 100_000])
def test_what_is_nested_too_deeply_is_refused_at_any_depth(depth: int) -> None:
    schema = b"[" * depth + b"]" * depth
    body = (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f","input_schema":'
    )
    try:
        read_request(body + schema + b"}]}")
    except BadBody as error:
        assert "nested too deeply" in error.message


# ---- from the other wire into this one ------------------------------------------------------------------------------


def test_a_conversation_with_tools_and_images_is_put_into_this_wires_words() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    body = sent(
        ours(
            messages=[
                {"role": "developer", "content": "Be kind."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look.", **MARK},
                        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                        {
                            "type": "file",
                            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
                        },
                    ],
                },
                {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}], "refusal": None},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "tool", "tool_call_id": "c2", "content": "two"},
                {"role": "user", "content": "Go on."},
            ],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            tool_choice={"type": "function", "function": {"name": "f"}},
            max_completion_tokens=77,
            stop="END",
            stream=True,
            reasoning_effort="low",
            n=1,
            logprobs=False,
            seed=None,
        ),
    )
    text = {"type": "text", "text": "Look.", **MARK}
    web = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}
    use = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
    results = [
        {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": said}]}
        for id, said in (("c1", "one"), ("c2", "two"))
    ]
    assert body == {
        "model": "theirs",
        "system": [{"type": "text", "text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [text, web, IMAGE, {**pdf, "title": "a.pdf"}]},
            {"role": "assistant", "content": [use, {**use, "id": "c2"}]},
            {"role": "user", "content": [*results, {"type": "text", "text": "Go on."}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"},
        "max_tokens": 77,
        "stop_sequences": ["END"],
        "stream": True,
        "output_config": {"effort": "low"},
    }


def test_no_effort_at_all_is_no_thinking() -> None:
    assert sent(ours(reasoning_effort="none"))["thinking"] == {"type": "disabled"}


def test_what_a_client_says_of_the_output_in_both_vocabularies_is_all_sent() -> None:
    body = sent(ours(reasoning_effort="low", output_config={"later": 1}))
    assert body["output_config"] == {"effort": "low", "later": 1}


def test_an_unsaid_limit_is_said_because_the_wire_wants_one() -> None:
    assert sent(ours())["max_tokens"] == 4096


def test_signed_reasoning_travels_through_a_client_of_the_other_wire_and_back() -> None:
    reply = read_reply(json.dumps({"content": [THINKING, USE], "stop_reason": "tool_use"}).encode())
    message = json.loads(request_response.write_reply(reply, "x", 1))["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm." and message["thinking_blocks"] == [THINKING]
    body = sent(ours(messages=[{"role": "user", "content": "x"}, message]))
    assert body["messages"][1]["content"] == [THINKING, USE]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"temperature": 1.5}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "later"}, "reasoning_effort"),
        ({"later": 1}, "later"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0]"),
        ({"messages": [{"role": "user", "name": "Ann", "content": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]},
                ],
            },
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_what_this_wire_cannot_say_is_refused_by_name(more: Json, param: str) -> None:
    with pytest.raises(NotTranslatable) as caught:
        sent(ours(**more))
    assert caught.value.param == param and caught.value.hint


def test_a_custom_tool_of_a_chat_is_refused_with_what_works_instead() -> None:
    with pytest.raises(NotTranslatable) as caught:
        sent(ours(tools=[{"type": "custom", "custom": {"name": "apply_patch"}}]))
    assert "'tools[0]' of type 'custom'" in caught.value.message
    assert "a function with one text parameter `input`" in caught.value.hint and "/v1/responses" in caught.value.hint


NAMES = (
    *("type", "text", "function", "name", "arguments", "parameters", "image_url", "url", "file", "file_data", "id"),
    *("json_schema", "schema", "source", "input", "input_schema", "tool_use_id", "content", "format", "user_id"),
    *("delta", "index", "content_block", "usage", "message", "media_type", "data", "citations", "thinking"),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "text", "function", "tool_use", "{"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
kinds = st.sampled_from(["text", "image_url", "file", "image", "document", "tool_use", "tool_result", "thinking"])
parts = st.builds(lambda kind, part: {**part, "type": kind}, kinds, st.dictionaries(st.sampled_from(NAMES), anything))
asking = ("tools", "tool_choice", "response_format", "user", "output_config", "metadata", "thinking", "stop")
fields = st.dictionaries(st.sampled_from(asking), anything | st.lists(parts, max_size=1), max_size=3)
roles = st.sampled_from(["user", "assistant", "tool"])


@pytest.mark.long
@given(role=roles, content=st.lists(parts), calls=st.none() | st.lists(parts, max_size=2), more=fields)
def test_no_body_however_odd_is_more_than_refused(role: str, content: list[Any], calls: Any, more: Json) -> None:
    message = {"role": role, "content": content, "tool_calls": calls}
    body = json.dumps({"model": "m", "max_tokens": 1, "messages": [message], **more}).encode()
    for read in (read_request, request_response.read_request):
        try:
            chat, _ = read(body)
            for write in (WIRE.write_request, request_response.write_request):
                with contextlib.suppress(SizewiseError):
                    write(chat, "theirs")
        except SizewiseError as error:
            assert error.status == 400


@pytest.mark.long
@given(events=st.lists(anything | parts, max_size=5), content=st.lists(anything | parts, max_size=3))
def test_no_answer_however_odd_is_more_than_garbled(events: list[Any], content: list[Any]) -> None:
    with contextlib.suppress(UpstreamProtocolError):
        write_reply(read_reply(json.dumps({"content": content}).encode()), "m")
    with contextlib.suppress(UpstreamProtocolError):
        stream(START, *({**BLOCK, "content_block": each} for each in events), LAST).reply()
    with contextlib.suppress(UpstreamProtocolError):
        stream(START, BLOCK, *({**WORD, "delta": each} for each in events), LAST).reply()


# ---- replies and refusals -------------------------------------------------------------------------------------------


def test_tokens_from_and_to_the_cache_count_as_read() -> None:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 30, "output_tokens": 20}
    details = {"output_tokens_details": {"thinking_tokens": 5}}
    reply = read_reply(json.dumps({"content": [], "usage": {**usage, **details}}).encode())
    assert reply.usage == Usage(640, 20, 600, 30, 5)
    shown = json.loads(write_reply(msgspec.structs.replace(reply, fields={}), "m"))["usage"]
    assert {name: shown[name] for name in usage} == usage and shown["output_tokens_details"] == {"thinking_tokens": 5}


def test_a_reply_without_usage_is_an_estimate() -> None:
    assert read_reply(b'{"content": []}').usage.estimated


def test_a_reply_of_the_other_wire_is_what_strict_clients_want() -> None:
    calls = (ToolCall(FunctionCall("f", '{"a": 1}'), "c1"), ToolCall(FunctionCall("g", ""), "c2"))
    shown = json.loads(write_reply(Reply((Choice(0, "Hi", "tool_calls", calls, "Hm."),), Usage(1, 2), "m"), "msg_1"))
    direct = {"caller": {"type": "direct"}}
    assert shown["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Hi", "citations": []},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}, **direct},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}, **direct},
    ]
    assert (shown["id"], shown["type"], shown["role"], shown["stop_reason"]) == (
        "msg_1",
        "message",
        "assistant",
        "tool_use",
    )
    assert shown["usage"]["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}


def test_arguments_that_are_no_json_are_no_tool_use() -> None:
    with pytest.raises(UpstreamProtocolError):
        write_reply(Reply((Choice(0, "", "tool_calls", (ToolCall(FunctionCall("f", "{"), "c"),)),), Usage()), "m")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"content": [{}]}', b'{"content": [{"type": "text"}]}', b"<html>", b"[" * 10_000],
)
def test_what_is_no_message_is_garbled(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        read_reply(body)


@pytest.mark.parametrize(
    ("status", "kind", "words", "error", "shown"),
    [
        (401, "authentication_error", "invalid x-api-key sk-ant-1", UpstreamError, 502),
        (403, "permission_error", "no", UpstreamError, 502),
        (400, "invalid_request_error", "bad image", UpstreamRejected, 400),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextLengthExceeded, 400),
        (404, "not_found_error", "model: x", UpstreamRejected, 404),
        (429, "rate_limit_error", "slow down", UpstreamOverloaded, 429),
        (529, "overloaded_error", "Overloaded", UpstreamOverloaded, 503),
        (500, "api_error", "oops", UpstreamError, 502),
    ],
)
def test_a_refusal_becomes_one_of_our_errors(
    status: int,
    kind: str,
    words: str,
    error: type[SizewiseError],
    shown: int,
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": words}}).encode()
    found = read_error(status, "7", body)
    assert type(found) is error and found.status == shown and "sk-ant" not in found.message
    assert found.retry_after == (7 if error is UpstreamOverloaded else None)
    with pytest.raises(error):
        AnthropicStreamReader(False).read_frame(body)


def test_our_errors_have_this_wires_shape_with_our_code_and_hint() -> None:
    shown = json.loads(write_error(ContextLengthExceeded("too long", "shorten it"), "abc"))
    assert shown["type"] == "error" and shown["request_id"] == "abc"
    assert shown["error"]["type"] == "invalid_request_error" and shown["error"]["code"] == "context_length_exceeded"
    assert shown["error"]["hint"] == "shorten it" and shown["error"]["docs"] == "docs/errors/context_length_exceeded.md"


# ---- streams --------------------------------------------------------------------------------------------------------


def stream(*events: Json) -> AnthropicStreamReader:
    reader = AnthropicStreamReader(False)
    for event in events:
        reader.read_frame(json.dumps(event).encode())
    return reader


START = {"type": "message_start", "message": {"id": "m1", "model": "up", "content": [], "usage": {"input_tokens": 3}}}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
WORD = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}
LAST = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}


@pytest.mark.parametrize("events", [(), (START,), (START, BLOCK, WORD)])
def test_a_stream_that_ends_too_early_is_garbled(events: tuple[Json, ...]) -> None:
    with pytest.raises(UpstreamProtocolError):
        stream(*events).reply()


@pytest.mark.parametrize(
    "payload",
    [b"x", b"[]", b'{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"x"}}', b'{"index":1}'],
)
def test_what_is_no_event_is_garbled(payload: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        stream(START).read_frame(payload)


def test_pings_and_events_of_a_later_day_are_passed_over() -> None:
    reader = stream(START, {"type": "ping"}, BLOCK, {"type": "later", "x": 1}, WORD, LAST, {"type": "message_stop"})
    reply = reader.reply()
    assert reader.done and (reply.text, reply.usage, reply.model) == ("Hel", Usage(3, 2), "up")


def test_arguments_cut_by_the_limit_of_tokens_are_kept_as_written() -> None:
    use = {**BLOCK, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}
    piece = {**WORD, "delta": {"type": "input_json_delta", "partial_json": '{"a": '}}
    reply = stream(START, use, piece, {**LAST, "delta": {"stop_reason": "max_tokens"}}).reply()
    assert reply.choices[0].tool_calls == (ToolCall(FunctionCall("f", '{"a": '), "t"),)
    assert reply.choices[0].finish_reason == "length"


words = st.text(min_size=1, max_size=8)
said = st.lists(
    st.one_of(
        words.map(lambda text: [TextDelta(0, text)]),
        words.map(lambda text: [ReasoningDelta(0, text), ReasoningDelta(0, "", f"signed {len(text)}")]),
        st.just([RawDelta(0, {"audio": Raw(b"{}")})]),
        st.just([RawDelta(0, {"refusal": Raw(b"null")})]),
    ),
    max_size=6,
)


@pytest.mark.long
@given(said=said, calls=st.lists(st.dictionaries(words, words, max_size=2), max_size=3), usage=st.integers(0, 99))
def test_a_stream_that_we_wrote_is_read_again_as_it_was(
    said: list[list[Any]],
    calls: list[dict[str, str]],
    usage: int,
) -> None:
    events = [event for group in said for event in group]
    for number, arguments in enumerate(calls):
        text = json.dumps(arguments)
        events += [ToolDelta(0, number, f"id{number}", "f", text[:3]), ToolDelta(0, number, json=text[3:])]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    tools = tuple(
        ToolCall(FunctionCall("f", msgspec.json.encode(each).decode()), f"id{number}")
        for number, each in enumerate(calls)
    )
    finish = "tool_calls" if calls else "stop"
    written = AnthropicStreamWriter("msg_1")
    data = written.start("m") + b"".join(map(written.write, events))
    data += written.finish(Reply((Choice(0, text, finish, tools, thought),), Usage(usage + 9, 7, 4, 5), "m"), {})
    reader, heard = AnthropicStreamReader(False), list[Any]()
    for payload in SseDecoder().feed(data):
        heard += reader.read_frame(payload)
    reply = reader.reply()
    choice = reply.choices[0]
    assert reader.done and reply.usage == Usage(usage + 9, 7, 4, 5)
    assert (choice.text, choice.reasoning, choice.tool_calls, choice.finish_reason) == (text, thought, tools, finish)
    assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == text
    assert [event for event in heard if isinstance(event, ChoiceFinished)] == [ChoiceFinished(0, finish)]


def blocks_of(data: bytes) -> list[Json]:
    """The blocks of a stream as a strict client puts them together: each is whole before the next begins."""
    found: list[Json] = []
    for payload in SseDecoder().feed(data):
        event = json.loads(payload)
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(found) and not (found and found[-1]["open"]), "a block in a block"
                found.append({**event["content_block"], "json": "", "open": True})
            case "content_block_delta":
                assert event["index"] == len(found) - 1 and found[-1]["open"], "a delta outside its block"
                delta = event["delta"]
                found[-1]["text"] = found[-1].get("text", "") + delta.get("text", "")
                found[-1]["json"] += delta.get("partial_json", "")
            case "content_block_stop":
                assert event["index"] == len(found) - 1
                found[-1]["open"] = False
    assert not any(block["open"] for block in found)
    return found


def shown(events: list[Any], calls: int, finish: str = "tool_calls") -> tuple[list[Json], bytes]:
    """The blocks that a client sees, and what it saw before the end."""
    written = AnthropicStreamWriter("m")
    early = written.start("up") + b"".join(map(written.write, events))
    tools = tuple(ToolCall(FunctionCall("f", "{}"), f"c{number}") for number in range(calls))
    return blocks_of(early + written.finish(Reply((Choice(0, "", finish, tools),), Usage()), {})), early


@pytest.mark.long
@given(data=st.data(), calls=st.lists(st.dictionaries(words, words, max_size=2), min_size=1, max_size=4))
def test_calls_told_in_turns_are_shown_one_after_the_other(data: st.DataObject, calls: list[dict[str, str]]) -> None:
    left = {n: [ToolDelta(0, n, f"c{n}", "f"), *_pieces(n, arguments)] for n, arguments in enumerate(calls)}
    events: list[Any] = []
    while any(left.values()):
        events.append(left[data.draw(st.sampled_from([n for n in left if left[n]]))].pop(0))
        if data.draw(st.booleans()):
            events.append(TextDelta(0, "x"))
    blocks, _ = shown(events, len(calls))
    uses = {block["id"]: json.loads(block["json"] or "{}") for block in blocks if block["type"] == "tool_use"}
    assert uses == {f"c{number}": arguments for number, arguments in enumerate(calls)}
    assert sum(block["type"] == "tool_use" for block in blocks) == len(calls)
    said = "".join(block["text"] for block in blocks if block["type"] == "text")
    assert len(said) == sum(isinstance(event, TextDelta) for event in events)


def _pieces(number: int, arguments: dict[str, str]) -> list[ToolDelta]:
    text = json.dumps(arguments)
    return [ToolDelta(0, number, json=text[at : at + 5]) for at in range(0, len(text), 5)]


def test_a_second_call_does_not_wait_longer_than_for_the_first() -> None:
    first, second = ToolDelta(0, 0, "c0", "f", '{"a": 1}'), ToolDelta(0, 1, "c1", "f", '{"b"')
    _, early = shown([first, second], 2)
    assert b"c1" in early
    _, held = shown([ToolDelta(0, 0, "c0", "f", '{"a"'), second], 2)
    assert b"c1" not in held


def test_a_call_that_was_cut_by_the_limit_is_shown_as_far_as_it_came() -> None:
    blocks, _ = shown([ToolDelta(0, 0, "c0", "f", '{"a')], 1, "length")
    assert blocks[0]["json"] == '{"a'


def test_a_call_that_goes_on_after_its_arguments_were_whole_is_garbled() -> None:
    written = AnthropicStreamWriter("m")
    for number in (0, 1):
        written.write(ToolDelta(0, number, f"c{number}", "f", "{}"))
    assert written.write(ToolDelta(0, 0, json="\n")) == b""
    with pytest.raises(UpstreamProtocolError):
        written.write(ToolDelta(0, 0, json="{}"))


@pytest.mark.parametrize(("given", "told"), [({}, "{}"), ({"a": 1}, '{"a":1}')])
def test_a_call_without_deltas_has_the_arguments_it_began_with(given: Json, told: str) -> None:
    use = {**BLOCK, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": given}}
    reader, heard = AnthropicStreamReader(False), list[Any]()
    ended = {**LAST, "delta": {"stop_reason": "tool_use"}}
    for event in (START, use, {"type": "content_block_stop", "index": 0}, ended):
        heard += reader.read_frame(json.dumps(event).encode())
    assert "".join(event.json for event in heard if isinstance(event, ToolDelta)) == told
    (call,) = reader.reply().choices[0].tool_calls
    assert call.function is not None and json.loads(call.function.arguments) == given


def test_requests_that_only_look_alike_in_the_other_wires_words_are_known_apart() -> None:
    def alike(headers: dict[str, str] | None = None, **more: object) -> bool:
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **more}
        found = original_body(read_request(json.dumps(body).encode(), headers)[0].fields, "anthropic")
        assert found is not None
        return found.is_lossless

    assert alike() and alike(thinking={"type": "disabled"}) and alike(output_config={"effort": "low"})
    assert not alike(thinking={"type": "enabled", "budget_tokens": 2_000})
    assert not alike({"anthropic-beta": "x"}) and not alike(later=1)
