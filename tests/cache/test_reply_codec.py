"""An answer told again says what it said: every choice, thought, call and field, and packed as unpacked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec import Raw

from sizewise.cache.reply_codec import StoredReply, decode_reply, encode_reply
from sizewise.handler import ChoiceFinished, Event, ModelSelected, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.providers.wires.anthropic.response import read_reply as read_message
from sizewise.providers.wires.openai.request_response import read_reply
from sizewise.reply_events import coalesce, events_of

CHOSEN = ModelSelected("m", "named in the request", 1, "fixed")
BODY = b"""{"id": "x", "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "choices": [
 {"index": 0, "finish_reason": "tool_calls", "logprobs": {"content": [{"token": "a", "logprob": -0.1}]},
  "message": {"role": "assistant", "content": "a", "refusal": null, "annotations": [{"url": "u"}],
   "reasoning_content": "hm", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f",
   "arguments": "{}"}}, {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "i"}}]}},
 {"index": 1, "finish_reason": "stop", "message": {"content": "b", "role": "assistant"}}]}"""


def test_a_whole_reply_is_told_choice_by_choice_with_all_that_is_in_it() -> None:
    events = list(events_of(read_reply(BODY)))
    assert events[:3] == [
        ReasoningDelta(0, "hm"),
        TextDelta(0, "a", Raw(b'{"content": [{"token": "a", "logprob": -0.1}]}')),
        ToolDelta(0, 0, "c1", "f", "{}"),
    ]
    custom, rest = events[3:5]
    assert isinstance(custom, RawDelta) and b'"index":1' in bytes(custom.fields["tool_calls"])
    assert isinstance(rest, RawDelta) and list(rest.fields) == ["annotations"]
    assert events[5:] == [ChoiceFinished(0, "tool_calls"), TextDelta(1, "b"), ChoiceFinished(1, "stop")]


def test_signed_thoughts_keep_their_signatures() -> None:
    body = b"""{"id": "m", "stop_reason": "end_turn", "content": [{"type": "thinking", "thinking": "one", "signature":
     "s1"}, {"type": "thinking", "thinking": "two", "signature": "s2"}, {"type": "text", "text": "Hi"}]}"""
    events = list(events_of(read_message(body)))
    assert events[:3] == [ReasoningDelta(0, "one", "s1"), ReasoningDelta(0, "two", "s2"), TextDelta(0, "Hi")]


def test_a_stream_is_gathered_without_its_frames_and_without_losing_a_word() -> None:
    logprobs = Raw(b"{}")
    heard: list[Event] = [
        CHOSEN,
        ReasoningDelta(0, "h", frame=b"1"),
        ReasoningDelta(0, "m"),
        ReasoningDelta(0, "", "signed"),
        ReasoningDelta(0, "new"),
        TextDelta(0, "a", frame=b"2"),
        TextDelta(0, "b"),
        TextDelta(1, "x"),
        TextDelta(0, "c", logprobs),
        ToolDelta(0, 0, "id", "f", "{"),
        ToolDelta(0, 0, json="}"),
        ToolDelta(0, 1, "id2", "g"),
        ToolDelta(0, 1, json="{}"),
        ChoiceFinished(0, "tool_calls", frame=b"3"),
    ]
    assert coalesce(heard) == [
        ReasoningDelta(0, "hm"),
        ReasoningDelta(0, "", "signed"),
        ReasoningDelta(0, "new"),
        TextDelta(0, "ab"),
        TextDelta(1, "x"),
        TextDelta(0, "c", logprobs),
        ToolDelta(0, 0, "id", "f", "{}"),
        ToolDelta(0, 1, "id2", "g", "{}"),
        ChoiceFinished(0, "tool_calls"),
    ]


RAW = some.sampled_from([None, Raw(b'{"content":[]}'), Raw(b"[1]")])
TEXT = some.text()
CHOICES = some.builds(
    Choice,
    some.integers(0, 3),
    TEXT,
    some.sampled_from([None, "stop", "length"]),
    some.lists(some.builds(ToolCall, some.none() | some.builds(FunctionCall, TEXT, TEXT), TEXT)).map(tuple),
    TEXT,
    RAW,
    RAW,
)
REPLIES = some.builds(
    Reply,
    some.lists(CHOICES, max_size=3).map(tuple),
    some.builds(Usage, some.integers(0, 10**9), some.integers(0, 10**9), estimated=some.booleans()),
    TEXT,
    TEXT,
    some.dictionaries(TEXT, some.just(Raw(b'{"a":1}')), max_size=2),
    some.none() | some.binary(),
    some.lists(some.lists(some.floats(allow_nan=False, allow_infinity=False)).map(tuple), max_size=2).map(tuple),
    TEXT,
)
WORDS = some.one_of(
    some.builds(TextDelta, some.integers(0, 3), TEXT, RAW),
    some.builds(ReasoningDelta, some.integers(0, 3), TEXT, TEXT),
    some.builds(ToolDelta, some.integers(0, 3), some.integers(0, 3), TEXT, TEXT, TEXT),
    some.builds(RawDelta, some.integers(0, 3), some.dictionaries(TEXT, some.just(Raw(b"[1]")), max_size=2)),
    some.builds(ChoiceFinished, some.integers(0, 3), TEXT),
)


@pytest.mark.long
@given(REPLIES, some.lists(WORDS, max_size=5).map(tuple))
def test_what_is_packed_comes_back_as_it_was(reply: Reply, words: tuple[TextDelta, ...]) -> None:
    answer = StoredReply(CHOSEN, reply, words)
    assert decode_reply(encode_reply(answer)) == answer


def test_a_stream_of_megabytes_is_joined_once() -> None:
    words = ["a word of a long answer "] * 200_000
    (whole,) = coalesce([TextDelta(0, each) for each in words])
    assert isinstance(whole, TextDelta)
    assert whole.text == "".join(words)
