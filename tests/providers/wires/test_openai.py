"""OpenAI's wire: what goes through unchanged, what is refused in words, and streams as upstreams really send them."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.errors import (
    BadBody,
    ContextLengthExceeded,
    SizewiseError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRejected,
)
from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, Reply, Usage
from sizewise.providers.wires.openai.request_response import (
    read_reply,
    read_request,
    write_error,
    write_reply,
    write_request,
)
from sizewise.providers.wires.openai.stream_in import OpenAiStreamReader
from sizewise.providers.wires.openai.usage_and_errors import read_error
from sizewise.providers.wires.sse import MAX_FRAME_BYTES, SseDecoder

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
unknown = st.dictionaries(st.text("abcxyz_", min_size=3, max_size=9).map("x_".__add__), anything, max_size=4)
messages = st.lists(
    st.builds(
        lambda role, content, more: {"role": role, "content": content, **more},
        st.sampled_from(["system", "developer", "user", "assistant"]),
        st.text(max_size=40) | st.just([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]),
        unknown,
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.long
@given(messages=messages, more=unknown, n=st.integers(1, 8), stop=st.none() | st.lists(st.text(max_size=3), max_size=3))
def test_a_request_is_written_again_as_it_was_read_but_for_the_model(
    messages: list[object],
    more: dict[str, object],
    n: int,
    stop: list[str] | None,
) -> None:
    body = {"model": "auto", "messages": messages, "n": n, "stop": stop, "temperature": 0.5, **more}
    chat, _ = read_request(json.dumps(body).encode())
    assert json.loads(write_request(chat, "tiny")) == body | {"model": "tiny"}


LENGTHY = '{"role":"user","content":"' + r"what is long, and said \n \"so\" " * 1000 + '"}'
REAL = '{"role":"user","content":"x"}'
HERE = '{"role":"user","content":"here the messages stood"}'


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"a","messages":[LENGTHY],"n":1}',
        '{"messages": [LENGTHY, REAL],\n "model": "a"}',
        '{"model":"a","messages":[{"role":"assistant","content":[{"type":"text","text":"LENGTHY"}]},REAL]}',
        '{"model":"a","messages":[{"role":"user","content":[{"type":"text","text":"\u00e9"}]},LENGTHY]}',
        '{"model":"a","messages":[LENGTHY],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]}',
        '{"model":"a","messages":[LENGTHY],"x":[{"y":"z"}]}',
        '{"model":"a","messages":[LENGTHY],"x":[{"messages":[{"y":"z"}]}]}',
        '{"x":{"messages":[LENGTHY]},"model":"a","messages":[REAL]}',
        '{"x":{"messages":[LENGTHY]},"model":"a","mess\\u0061ges":[REAL]}',
        '{"x":{"messages":[LENGTHY]},"model":"a","messages":[HERE]}',
        '{"x":{"messages":[LENGTHY]},"model":"a","mess\\u0061ges":[HERE]}',
        '{"messages":[LENGTHY],"model":"a","x":"],[{\\"messages\\":[\\"}]"}',
    ],
)
def test_a_long_body_is_read_as_a_short_one_wherever_its_messages_stand(body: str) -> None:
    text = body.replace('"LENGTHY"', f'"{"word " * 5000}"').replace("LENGTHY", LENGTHY)
    text = text.replace("REAL", REAL).replace("HERE", HERE)
    chat, _ = read_request(text.encode())
    said = json.loads(text)
    assert json.loads(write_request(chat, "b")) == said | {"model": "b"}
    assert [message.content for message in chat.messages if isinstance(message.content, str)] == [
        message["content"] for message in said["messages"] if isinstance(message["content"], str)
    ]


@pytest.mark.parametrize(
    ("body", "says", "param"),
    [
        ('{"model":7,"messages":[LENGTHY]}', "expected `str`", "model"),
        ('{"model":"a","messages":[LENGTHY,{"role":"king","content":"x"}]}', "'king'", "messages[1].role"),
        ('{"model":"a","messages":[LENGTHY,]}', "not JSON", None),
        ('{"model":"a","messages":[LENGTHY],}', "not JSON", None),
        ('{"messages":[REAL],"model":"a","messages":[LENGTHY]}', "written twice", "messages"),
        ('{"messages":[LENGTHY],"model":"a","messages":[REAL]}', "written twice", "messages"),
        ('{"model":"a","messages":[LENGTHY],"n":1000000000}', "<= 128", "n"),
        ('{"model":"a","messages":-[LENGTHY]}', "not JSON", None),
        ('{"model":"a","messages":null,"stop":[LENGTHY]}', "expected `array`", "messages"),
        ('{"model":"a","messages":[LENGTHY],"x":"\udcff"}', "not UTF-8", None),
        ('{"model":"a","messages":[{"role":"user","content":"\udcff"},LENGTHY]}', "not UTF-8", None),
    ],
)
def test_a_long_bad_body_is_refused_in_the_same_words(body: str, says: str, param: str | None) -> None:
    with pytest.raises(BadBody) as caught:
        read_request(body.replace("LENGTHY", LENGTHY).replace("REAL", REAL).encode(errors="surrogateescape"))
    assert says in caught.value.message and caught.value.param == param


def test_a_stream_always_asks_for_usage_and_keeps_other_options() -> None:
    body = {
        "model": "a",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }
    chat, _ = read_request(json.dumps(body).encode())
    assert not chat.include_usage
    written = json.loads(write_request(chat, "b"))
    assert written["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_our_own_object_is_taken_out_of_the_body() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":"x"}],"sizewise":{"policy":"cheap"}}'
    chat, ours = read_request(body)
    assert ours is not None and json.loads(bytes(ours)) == {"policy": "cheap"}
    assert b"sizewise" not in write_request(chat, "a")


@pytest.mark.parametrize(
    ("body", "says", "param"),
    [
        (b"", "not JSON", None),
        (b"{", "not JSON", None),
        (b"[]", "expected `object`", None),
        (b'{"model":"a"}', "missing required field `messages`", None),
        (b'{"model":7,"messages":[]}', "`model`", "model"),
        (b'{"model":"a","messages":[]}', "length >= 1", "messages"),
        (b'{"model":"a","messages":[{"role":"king","content":"x"}]}', "'king'", "messages[0].role"),
        (b'{"model":"a","messages":[{"role":"user","content":5}]}', "expected", "messages[0].content"),
        (b'{"model":"a","messages":[{"role":"user","content":"x"}],"temperature":3}', "<= 2", "temperature"),
        (b'{"model":"a","messages":[{"role":"user","content":"x"}],"n":1000000000}', "<= 128", "n"),
        (b'{"model":"a","messages":[{"role":"user","content":"\xff"}]}', "not UTF-8", None),
        (b'{"x":' + b"[" * 200_000, "nested too deeply", None),
    ],
)
def test_a_bad_body_is_refused_in_words(body: bytes, says: str, param: str | None) -> None:
    with pytest.raises(BadBody) as caught:
        read_request(body)
    assert says in caught.value.message and caught.value.param == param and caught.value.hint


def test_what_the_router_reads_is_typed() -> None:
    chat, _ = read_request(
        json.dumps(
            {
                "model": "auto",
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is this?"},
                            {"type": "image_url", "image_url": {"url": "data:,"}},
                        ],
                    },
                ],
                "max_tokens": 10,
                "max_completion_tokens": 20,
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "response_format": {"type": "json_object"},
                "logprobs": True,
            },
        ).encode(),
    )
    assert chat.last_user_text() == "What is this?" and chat.input_modalities() == {"image"}
    assert (chat.max_tokens, chat.tools, chat.schema, chat.logprobs) == (20, True, True, True)


def test_rewriting_the_words_keeps_unknown_fields() -> None:
    message = {"role": "user", "content": "my secret", "cache": 1}
    chat, _ = read_request(json.dumps({"model": "a", "messages": [message], "x": [1]}).encode())
    masked = chat.map_text(lambda text: text.replace("secret", "***"))
    assert masked.last_user_text() == "my ***"
    written = json.loads(write_request(masked, "a"))
    assert written == {"model": "a", "messages": [{**message, "content": "my ***"}], "x": [1]}


# ---- replies


def test_a_reply_that_nobody_changed_is_sent_on_byte_for_byte() -> None:
    message = b'{"role":"assistant","content":"hi","annotations":[]}'
    usage = b'{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":2}}'
    choice = b'{"index":0,"message":%b,"finish_reason":"stop"}' % message
    body = b'{ "id":"1","choices":[%b], "usage":%b, "system_fingerprint":"fp" }' % (choice, usage)
    reply = read_reply(body)
    assert reply.text == "hi" and reply.usage == Usage(3, 1, cached=2)
    assert write_reply(reply, "ours", 1) == body


def test_a_reply_of_our_own_is_a_full_chat_completion() -> None:
    reply = Reply((Choice(0, "hi", "stop"),), Usage(3, 1), "echo/small")
    shown = json.loads(write_reply(reply, "chatcmpl-1", 5))
    assert shown["choices"][0]["message"] == {"role": "assistant", "content": "hi", "refusal": None}
    assert shown["usage"]["total_tokens"] == 4 and shown["object"] == "chat.completion"


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"choices":[]}', b"<html>", b'{"choices":[{"index":0}]}'])
def test_a_garbled_reply_is_never_an_answer(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        read_reply(body)


# ---- streams


def frames(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks)


def delta(finish: str | None = None, index: int = 0, **delta: object) -> dict[str, object]:
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def read(data: bytes, cut: int = 1 << 20, strip_usage: bool = True) -> tuple[list[Event], Reply]:
    split, reader, events = SseDecoder(), OpenAiStreamReader(strip_usage), list[Event]()
    for start in range(0, len(data), cut):
        for payload in split.feed(data[start : start + cut]):
            events += reader.read_frame(payload)
    return events, reader.reply()


ORDINARY = (
    frames(
        delta(role="assistant", content=""), delta(content="Hé"), delta(content="llo"), delta("stop"),
        {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}},
    )
    + b"data: [DONE]\n\n"
)  # fmt: skip


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("space", [b"data: ", b"data:"])
def test_a_stream_reads_the_same_however_it_is_cut(cut: int, newline: bytes, space: bytes) -> None:
    data = ORDINARY.replace(b"data: ", space).replace(b"\n", newline)
    events, reply = read(b": hello" + newline * 2 + data + data[-14:], cut)
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Hé", "llo"]
    assert reply.text == "Héllo" and reply.choices[0].finish_reason == "stop" and reply.usage == Usage(4, 2)


def test_every_byte_of_the_upstreams_frames_is_passed_on_once() -> None:
    events, _ = read(ORDINARY)
    passed = b"".join(
        b"data: " + e.frame + b"\n\n" for e in events if isinstance(e, TextDelta | ChoiceFinished) and e.frame
    )
    assert passed == ORDINARY[: ORDINARY.index(b'data: {"choices": []')]


def test_words_and_finish_in_one_frame_are_two_events_and_one_frame() -> None:
    events, reply = read(frames(delta(content="a"), delta("length", content="b")))
    assert [type(e) for e in events] == [TextDelta, TextDelta, ChoiceFinished]
    assert events[1].frame == b"" and events[2].frame  # type: ignore[union-attr]  # Text and ChoiceFinished have one
    assert reply.text == "ab" and reply.choices[0].finish_reason == "length"


def test_usage_that_nobody_asked_for_is_not_passed_on() -> None:
    last = delta("stop") | {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    events, reply = read(frames(delta(content="a"), last))
    assert isinstance(events[-1], ChoiceFinished) and events[-1].frame is None and reply.usage == Usage(1, 1)
    events, _ = read(frames(delta(content="a"), last), strip_usage=False)
    assert isinstance(events[-1], ChoiceFinished) and events[-1].frame


def test_tool_calls_thoughts_and_unknown_parts_are_told_apart() -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"a":1}'}}
    events, reply = read(
        frames(
            delta(role="assistant", reasoning_content="hm"),
            delta(tool_calls=[call]),
            delta(tool_calls=[more]),
            delta(audio={"id": "a"}),
            delta("tool_calls"),
        ),
    )
    assert [type(e) for e in events] == [ReasoningDelta, ToolDelta, ToolDelta, RawDelta, ChoiceFinished]
    (made,) = reply.choices[0].tool_calls
    assert made.id == "c1" and made.function is not None and made.function.arguments == '{"a":1}'
    assert reply.choices[0].reasoning == "hm"


def test_log_probabilities_of_a_stream_are_joined() -> None:
    def one(token: str) -> dict[str, object]:
        choice = {"index": 0, "delta": {"content": token}, "logprobs": {"content": [{"token": token, "logprob": -0.5}]}}
        return {"choices": [choice]}

    _, reply = read(frames(one("a"), one("b"), delta("stop")))
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert [t["token"] for t in msgspec.json.decode(logprobs)["content"]] == ["a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        frames(delta(content="a")),
        frames(delta(content="a")) + b'data: {"choices":[{"ind',
        b"data: nonsense\n\n",
        frames(delta("stop", content="a"), delta(content="b", index=1)),
    ],
)
def test_a_stream_that_ends_too_early_is_never_a_stop(data: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        read(data)


def test_an_error_inside_a_stream_is_raised() -> None:
    with pytest.raises(UpstreamError, match="the upstream failed: HTTP 502") as raised:
        read(frames(delta(content="a"), {"error": {"message": "overloaded"}}))
    assert raised.value.withheld_text == "overloaded"


def test_an_endless_frame_is_refused() -> None:
    split = SseDecoder()
    with pytest.raises(UpstreamProtocolError):
        for _ in range(MAX_FRAME_BYTES // 65_536 + 2):
            split.feed(b"x" * 65_536)


# ---- errors


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown"),
    [
        (400, b'{"error":{"message":"no images"}}', UpstreamRejected, 400),
        (401, b'{"error":{"message":"bad key sk-123"}}', UpstreamError, 502),
        (429, b'{"error":"slow"}', UpstreamOverloaded, 429),
        (500, b"<html>", UpstreamError, 502),
        (302, b"", UpstreamError, 502),
        (400, b'{"error":{"message":"m","code":"context_length_exceeded"}}', ContextLengthExceeded, 400),
    ],
)
def test_an_upstreams_refusal_becomes_ours(status: int, body: bytes, kind: type[SizewiseError], shown: int) -> None:
    error = read_error(status, "7", body)
    assert type(error) is kind and error.status == shown
    assert "sk-123" not in error.message


def test_an_error_has_openais_shape_and_our_hint() -> None:
    shown = json.loads(write_error(ContextLengthExceeded("too long", "shorten it", param="messages")))["error"]
    assert shown["code"] == "context_length_exceeded" and shown["type"] == "invalid_request_error"
    assert shown["hint"] == "shorten it" and shown["param"] == "messages" and shown["docs"]
