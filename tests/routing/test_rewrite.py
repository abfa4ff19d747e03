"""What the router changes in a request and undoes in the reply; everything unknown stays."""

from __future__ import annotations

import json

from msgspec import Raw

from sizewise.handler import ChoiceFinished, RawDelta, ReasoningDelta, TextDelta
from sizewise.messages import Choice, Reply, Usage
from sizewise.providers.wires.openai.request_response import read_reply, write_request
from sizewise.routing.request_rewrite import (
    mark_degraded,
    reply_without_logprobs,
    resume_request,
    with_logprobs,
    without_frame,
    without_logprobs,
)
from tests.routing.router_harness import chat

PROBABLE = {"content": [{"token": "hi", "logprob": -0.1}]}
BODY = {
    "id": "1",
    "object": "chat.completion",
    "x_new": [1, 2.50],
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "x": 1},
            "finish_reason": "stop",
            "logprobs": PROBABLE,
        },
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


def test_log_probabilities_are_asked_for_and_all_else_stays() -> None:
    asked = json.loads(write_request(with_logprobs(chat("hi", temperature=0.5, x_new={"a": 1})), "m"))
    assert asked["logprobs"] is True and asked["temperature"] == 0.5 and asked["x_new"] == {"a": 1}


def test_log_probabilities_that_nobody_asked_for_leave_no_trace() -> None:
    reply = reply_without_logprobs(read_reply(json.dumps(BODY).encode()))
    assert reply.choices[0].logprobs is None and reply.body is not None
    expected = json.loads(json.dumps(BODY))
    expected["choices"][0]["logprobs"] = None
    assert json.loads(reply.body) == expected


def test_frames_lose_them_too_also_where_several_chunks_travel_together() -> None:
    chunk = json.dumps(
        {"id": "1", "x_new": 1, "choices": [{"index": 0, "delta": {"content": "hi"}, "logprobs": PROBABLE}]},
    ).encode()
    event = without_logprobs(TextDelta(0, "hi", Raw(b"{}"), chunk + b"\n\ndata: " + chunk))
    assert isinstance(event, TextDelta) and event.logprobs is None and event.frame is not None
    first, second = event.frame.split(b"\n\ndata: ")
    assert first == second and json.loads(first)["choices"][0]["logprobs"] is None and json.loads(first)["x_new"] == 1


def test_events_without_frames_pass() -> None:
    for event in (TextDelta(0, "hi"), ReasoningDelta(0, "hm"), ChoiceFinished(0, "stop", b""), RawDelta(0, {}, None)):
        assert without_logprobs(event) == event
    assert without_frame(TextDelta(0, "hi", frame=b"{}")) == TextDelta(0, "hi")


def test_a_resumed_request_ends_with_what_was_said_and_has_the_rest_of_its_length() -> None:
    asked = resume_request(chat("tell me", max_tokens=100, x_new=1), "Once upon", 2)
    body = json.loads(write_request(asked, "m"))
    assert body["messages"][-1] == {"role": "assistant", "content": "Once upon"}
    assert (body["max_tokens"], asked.max_tokens, body["x_new"]) == (98, 98, 1)
    assert resume_request(chat("tell me", max_tokens=2), "Once upon", 9).max_tokens == 1
    assert resume_request(chat("tell me"), "Once", 1).max_tokens is None


def test_a_marked_reply_keeps_the_other_fields_of_its_body() -> None:
    reply = mark_degraded(read_reply(json.dumps(BODY).encode()), "doubtful")
    assert reply.degraded == "doubtful" and reply.body is None
    assert json.loads(bytes(reply.fields["x_new"])) == [1, 2.5]
    assert mark_degraded(Reply((Choice(),), Usage()), "doubtful").degraded == "doubtful"
