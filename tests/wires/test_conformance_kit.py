"""The kit of wires bites: a wire that errs in one thing only is caught, by the check that is there for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sizewise.errors import SizewiseError, UpstreamBusy
from sizewise.handler import Event, Finished, Text, ToolDelta
from sizewise.messages import Chat, Reply, Usage
from sizewise.providers.wires.openai.stream_in import Reader
from sizewise.providers.wires.wire import StreamReader
from sizewise.testing import stream_conformance, wire_conformance
from sizewise.testing.wire_conformance import Said, Spoken
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

    def frame(self, payload: bytes) -> list[Event]:
        events = self._inside.frame(payload)
        self.done = self._inside.done
        return [kept for event in events for kept in self._event(event)]

    def reply(self) -> Reply:
        if self._half and isinstance(self._inside, Reader):
            return self._inside.so_far()
        return self._inside.reply()


def streaming(event: Callable[[Event], list[Event]] = lambda event: [event], *, half: bool = False) -> Spoken:
    read = GOOD.wire.read_stream
    return replace(GOOD, wire=replace(GOOD.wire, read_stream=lambda strip: Bent(read(strip), event, half)))


def writing(change: Callable[[dict[str, Any]], object]) -> Spoken:
    """Requests that have something changed in them."""

    def write(chat: Chat, model: str) -> bytes:
        body = json.loads(GOOD.wire.write_request(chat, model))
        change(body)
        return json.dumps(body).encode()

    return replace(GOOD, wire=replace(GOOD.wire, write_request=write))


def refusing(error: Callable[[int, str | None, bytes], SizewiseError]) -> Spoken:
    return replace(GOOD, wire=replace(GOOD.wire, read_error=error))


def test_a_good_wire_passes() -> None:
    for check in stream_conformance.CHECKS:
        check(GOOD)
    wire_conformance.sends_on_as_it_came(GOOD, CHAT)
    wire_conformance.keeps_the_conversation(GOOD, CHAT)


@pytest.mark.parametrize(
    ("check", "wire"),
    [
        (stream_conformance.reads_the_stream, streaming(lambda event: [] if isinstance(event, Text) else [event])),
        (
            stream_conformance.reads_the_stream,
            streaming(lambda event: [event, event] if isinstance(event, Finished) else [event]),
        ),
        (
            stream_conformance.reads_the_stream,
            streaming(lambda e: [msgspec.structs.replace(e, id="")] if isinstance(e, ToolDelta) else [e]),
        ),
        (stream_conformance.takes_no_half_for_the_whole, streaming(half=True)),
        (stream_conformance.refuses_what_is_no_stream, streaming(half=True)),
        (wire_conformance.reads_the_whole, replace(GOOD, said=replace(GOOD.said, thought=""))),
        (stream_conformance.counts_once, replace(GOOD, said=replace(GOOD.said, usage=Usage(640, 60, 600, 30, 15)))),
        (stream_conformance.hears_the_end, replace(GOOD, ends=2)),
        (
            wire_conformance.tells_refusals_apart,
            refusing(lambda status, wait, body: UpstreamBusy("busy", "wait", retry_after=7.0)),
        ),
        (
            wire_conformance.tells_refusals_apart,
            refusing(lambda status, wait, body: _leaking(GOOD.wire.read_error(status, wait, body), body)),
        ),
        (
            wire_conformance.shows_the_key_once,
            replace(GOOD, wire=replace(GOOD.wire, headers=lambda key: [("a", key), ("b", key)])),
        ),
        (wire_conformance.shows_the_key_once, replace(GOOD, wire=replace(GOOD.wire, headers=lambda key: [("a", key)]))),
    ],
)
def test_a_wire_that_errs_is_caught(check: Callable[[Spoken], None], wire: Spoken) -> None:
    with pytest.raises(AssertionError):
        check(wire)


def _leaking(error: SizewiseError, body: bytes) -> SizewiseError:
    error.message += body.decode("latin-1")
    return error


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (wire_conformance.sends_on_as_it_came, lambda body: body.pop("later")),
        (wire_conformance.sends_on_as_it_came, lambda body: body.update(more=1)),
        (wire_conformance.sends_on_as_it_came, lambda body: body.update(later=[1, {"ä": None}])),
        (wire_conformance.keeps_the_conversation, lambda body: body["messages"].pop(0)),
        (wire_conformance.keeps_the_conversation, lambda body: body["messages"].reverse()),
        (wire_conformance.keeps_the_conversation, lambda body: body["messages"][3].update(tool_call_id="c2")),
        (wire_conformance.keeps_the_conversation, lambda body: body["messages"][2]["tool_calls"][0].update(id="c2")),
        (wire_conformance.keeps_the_conversation, lambda body: body["tools"][0]["function"].pop("parameters")),
        (wire_conformance.keeps_the_conversation, lambda body: body.pop("later")),
        (
            wire_conformance.keeps_the_conversation,
            lambda body: body["messages"].append({"role": "user", "content": "And?"}),
        ),
    ],
)
def test_a_wire_that_changes_what_was_asked_is_caught(
    check: Callable[[Spoken, bytes], None], change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(AssertionError):
        check(writing(change), CHAT)


def test_a_wire_that_does_not_refuse_what_it_cannot_say_is_caught() -> None:
    with pytest.raises(AssertionError):
        wire_conformance.keeps_the_conversation(replace(GOOD, cannot=frozenset({"later"})), CHAT)


def test_a_stream_that_says_something_else_than_its_whole_answer_is_caught() -> None:
    said = Said("Other", "stop", Usage(1, 1))
    for check in (wire_conformance.reads_the_whole, stream_conformance.reads_the_stream):
        with pytest.raises(AssertionError):
            check(replace(GOOD, said=said))
