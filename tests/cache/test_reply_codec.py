"""An answer told again says what it said: every choice, thought, call and field, and packed as unpacked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from msgspec import Raw

from sizewise.cache.reply_codec import Answer, packed, unpacked
from sizewise.handler import Chosen, Event, Extra, Finished, Text, Thought, ToolDelta
from sizewise.messages import Choice, Function, Reply, ToolCall, Usage
from sizewise.providers.wires.anthropic.response import read_reply as read_message
from sizewise.providers.wires.openai.request_response import read_reply
from sizewise.reply_events import gathered, told

CHOSEN = Chosen("m", "asked for by name", 1, "fixed")
BODY = b"""{"id": "x", "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "choices": [
 {"index": 0, "finish_reason": "tool_calls", "logprobs": {"content": [{"token": "a", "logprob": -0.1}]},
  "message": {"role": "assistant", "content": "a", "refusal": null, "annotations": [{"url": "u"}],
   "reasoning_content": "hm", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f",
   "arguments": "{}"}}, {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "i"}}]}},
 {"index": 1, "finish_reason": "stop", "message": {"content": "b", "role": "assistant"}}]}"""


def test_a_whole_reply_is_told_choice_by_choice_with_all_that_is_in_it() -> None:
    events = list(told(read_reply(BODY)))
    assert events[:3] == [
        Thought(0, "hm"),
        Text(0, "a", Raw(b'{"content": [{"token": "a", "logprob": -0.1}]}')),
        ToolDelta(0, 0, "c1", "f", "{}"),
    ]
    custom, rest = events[3:5]
    assert isinstance(custom, Extra) and b'"index":1' in bytes(custom.fields["tool_calls"])
    assert isinstance(rest, Extra) and list(rest.fields) == ["annotations"]
    assert events[5:] == [Finished(0, "tool_calls"), Text(1, "b"), Finished(1, "stop")]


def test_signed_thoughts_keep_their_signatures() -> None:
    body = b"""{"id": "m", "stop_reason": "end_turn", "content": [{"type": "thinking", "thinking": "one", "signature":
     "s1"}, {"type": "thinking", "thinking": "two", "signature": "s2"}, {"type": "text", "text": "Hi"}]}"""
    events = list(told(read_message(body)))
    assert events[:3] == [Thought(0, "one", "s1"), Thought(0, "two", "s2"), Text(0, "Hi")]


def test_a_stream_is_gathered_without_its_frames_and_without_losing_a_word() -> None:
    logprobs = Raw(b"{}")
    heard: list[Event] = [
        CHOSEN,
        Thought(0, "h", frame=b"1"),
        Thought(0, "m"),
        Thought(0, "", "signed"),
        Thought(0, "new"),
        Text(0, "a", frame=b"2"),
        Text(0, "b"),
        Text(1, "x"),
        Text(0, "c", logprobs),
        ToolDelta(0, 0, "id", "f", "{"),
        ToolDelta(0, 0, json="}"),
        ToolDelta(0, 1, "id2", "g"),
        ToolDelta(0, 1, json="{}"),
        Finished(0, "tool_calls", frame=b"3"),
    ]
    assert gathered(heard) == [
        Thought(0, "hm"),
        Thought(0, "", "signed"),
        Thought(0, "new"),
        Text(0, "ab"),
        Text(1, "x"),
        Text(0, "c", logprobs),
        ToolDelta(0, 0, "id", "f", "{}"),
        ToolDelta(0, 1, "id2", "g", "{}"),
        Finished(0, "tool_calls"),
    ]


RAW = some.sampled_from([None, Raw(b'{"content":[]}'), Raw(b"[1]")])
TEXT = some.text()
CHOICES = some.builds(
    Choice,
    some.integers(0, 3),
    TEXT,
    some.sampled_from([None, "stop", "length"]),
    some.lists(some.builds(ToolCall, some.none() | some.builds(Function, TEXT, TEXT), TEXT)).map(tuple),
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
    some.builds(Text, some.integers(0, 3), TEXT, RAW),
    some.builds(Thought, some.integers(0, 3), TEXT, TEXT),
    some.builds(ToolDelta, some.integers(0, 3), some.integers(0, 3), TEXT, TEXT, TEXT),
    some.builds(Extra, some.integers(0, 3), some.dictionaries(TEXT, some.just(Raw(b"[1]")), max_size=2)),
    some.builds(Finished, some.integers(0, 3), TEXT),
)


@given(REPLIES, some.lists(WORDS, max_size=5).map(tuple))
def test_what_is_packed_comes_back_as_it_was(reply: Reply, words: tuple[Text, ...]) -> None:
    answer = Answer(CHOSEN, reply, words)
    assert unpacked(packed(answer)) == answer
