"""The kit of wires bites: a wire that errs in one thing only is caught, by the check that is there for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sizewise.errors import SizewiseError, UpstreamOverloaded
from sizewise.handler import ChoiceFinished, Event, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Reply, Usage
from sizewise.providers.wires.openai.stream_in import OpenAiStreamReader
from sizewise.providers.wires.wire import StreamReader
from sizewise.testing import stream_conformance, wire_conformance
from sizewise.testing.wire_conformance import ExpectedReply, WireCase
from tests.wires.wire_cases import speaking

GOOD = speaking("openai")
CHAT = json.dumps(
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "later": [1.0, {"ä": None}],
    },
    ensure_ascii=False,
).encode()


class Bent:
    """A reader of streams with one thing changed."""

    def __init__(self, inside: StreamReader, event: Callable[[Event], list[Event]], half: bool) -> None:
        self._inside, self._event, self._half = inside, event, half
        self.done = False

    def read_frame(self, payload: bytes) -> list[Event]:
        events = self._inside.read_frame(payload)
        self.done = self._inside.done
        return [kept for event in events for kept in self._event(event)]

    def reply(self) -> Reply:
        if self._half and isinstance(self._inside, OpenAiStreamReader):
            return self._inside.partial_reply()
        return self._inside.reply()


def _read_reply_with_id(body: bytes) -> Reply:
    reply = GOOD.wire.read_reply(body)
    return msgspec.structs.replace(reply, id=reply.id or "None")


def streaming(event: Callable[[Event], list[Event]] = lambda event: [event], *, half: bool = False) -> WireCase:
    read = GOOD.wire.read_stream
    return replace(GOOD, wire=replace(GOOD.wire, read_stream=lambda strip: Bent(read(strip), event, half)))


def writing(change: Callable[[dict[str, Any]], object]) -> WireCase:
    """Requests that have something changed in them."""

    def write(chat: ChatRequest, model: str) -> bytes:
        body = json.loads(GOOD.wire.write_request(chat, model))
        change(body)
        return json.dumps(body).encode()

    return replace(GOOD, wire=replace(GOOD.wire, write_request=write))


def refusing(error: Callable[[int, str | None, bytes], SizewiseError]) -> WireCase:
    return replace(GOOD, wire=replace(GOOD.wire, read_error=error))


@pytest.mark.long
def test_a_good_wire_passes() -> None:
    for check in stream_conformance.CHECKS:
        check(GOOD)
    wire_conformance.passes_requests_through(GOOD, CHAT)
    wire_conformance.round_trips_conversations(GOOD, CHAT)


@pytest.mark.parametrize(
    ("check", "wire"),
    [
        (stream_conformance.reads_the_stream, streaming(lambda event: [] if isinstance(event, TextDelta) else [event])),
        (
            stream_conformance.reads_the_stream,
            streaming(lambda event: [event, event] if isinstance(event, ChoiceFinished) else [event]),
        ),
        (
            stream_conformance.reads_the_stream,
            streaming(lambda e: [msgspec.structs.replace(e, id="")] if isinstance(e, ToolDelta) else [e]),
        ),
        (stream_conformance.detects_truncation, streaming(half=True)),
        (stream_conformance.refuses_malformed_streams, streaming(half=True)),
        (wire_conformance.reads_responses, replace(GOOD, expected=replace(GOOD.expected, reasoning=""))),
        (
            stream_conformance.counts_usage_once,
            replace(GOOD, expected=replace(GOOD.expected, usage=Usage(640, 60, 600, 30, 15))),
        ),
        (stream_conformance.detects_the_end, replace(GOOD, end_frames=2)),
        (
            wire_conformance.maps_error_statuses,
            refusing(lambda status, wait, body: UpstreamOverloaded("busy", "wait", retry_after=7.0)),
        ),
        (
            wire_conformance.maps_error_statuses,
            refusing(lambda status, wait, body: _leaking(GOOD.wire.read_error(status, wait, body), body)),
        ),
        (
            wire_conformance.maps_error_statuses,
            refusing(
                lambda status, wait, body: _leaking(
                    GOOD.wire.read_error(status, wait, body), body if status == 503 else b""
                )
            ),
        ),
        (
            wire_conformance.reads_responses_without_ids_and_usage,
            replace(GOOD, wire=replace(GOOD.wire, read_reply=_read_reply_with_id)),
        ),
        (
            wire_conformance.never_leaks_the_key,
            replace(GOOD, wire=replace(GOOD.wire, headers=lambda key: [("a", key), ("b", key)])),
        ),
        (
            wire_conformance.never_leaks_the_key,
            replace(GOOD, wire=replace(GOOD.wire, headers=lambda key: [("a", key)])),
        ),
    ],
)
def test_a_wire_that_errs_is_caught(check: Callable[[WireCase], None], wire: WireCase) -> None:
    with pytest.raises(AssertionError):
        check(wire)


def _leaking(error: SizewiseError, body: bytes) -> SizewiseError:
    error.message += body.decode("latin-1")
    return error


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (wire_conformance.passes_requests_through, lambda body: body.pop("later")),
        (wire_conformance.passes_requests_through, lambda body: body.update(more=1)),
        (wire_conformance.passes_requests_through, lambda body: body.update(later=[1, {"ä": None}])),
        (wire_conformance.round_trips_conversations, lambda body: body["messages"].pop(0)),
        (wire_conformance.round_trips_conversations, lambda body: body["messages"].reverse()),
        (wire_conformance.round_trips_conversations, lambda body: body["messages"][3].update(tool_call_id="c2")),
        (wire_conformance.round_trips_conversations, lambda body: body["messages"][2]["tool_calls"][0].update(id="c2")),
        (wire_conformance.round_trips_conversations, lambda body: body["tools"][0]["function"].pop("parameters")),
        (wire_conformance.round_trips_conversations, lambda body: body.pop("later")),
        (
            wire_conformance.round_trips_conversations,
            lambda body: body["messages"].append({"role": "user", "content": "And?"}),
        ),
    ],
)
def test_a_wire_that_changes_what_was_asked_is_caught(
    check: Callable[[WireCase, bytes], None],
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(AssertionError):
        check(writing(change), CHAT)


def test_a_wire_that_does_not_refuse_what_it_cannot_say_is_caught() -> None:
    with pytest.raises(AssertionError):
        wire_conformance.round_trips_conversations(replace(GOOD, unsupported_fields=frozenset({"later"})), CHAT)


def test_a_stream_that_says_something_else_than_its_whole_answer_is_caught() -> None:
    said = ExpectedReply("Other", "stop", Usage(1, 1))
    for check in (wire_conformance.reads_responses, stream_conformance.reads_the_stream):
        with pytest.raises(AssertionError):
            check(replace(GOOD, expected=said))
