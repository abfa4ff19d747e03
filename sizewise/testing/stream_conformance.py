"""Conformance suite for how wires read streams: any chunking, spelling or ending; opens no socket.

CHECKS contains these checks and those of wire_conformance.py that need no request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw

from sizewise.errors import UpstreamProtocolError
from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.sse import SseDecoder
from sizewise.providers.wires.wire import Wire
from sizewise.testing import wire_conformance
from sizewise.testing.wire_conformance import WireCase, assert_reply, normalize_call

JOINT = b"\n\ndata: "  # joins upstream chunks that one event carries


def read_stream_events(wire: Wire, chunks: Iterable[bytes]) -> tuple[list[Event], Reply, bool]:
    """The events of a stream, its reply, and whether its end was seen; reads like HttpModel."""
    frames, reader, events = SseDecoder(), wire.read_stream(False), list[Event]()
    for chunk in chunks:
        for payload in frames.feed(chunk):
            events += reader.read_frame(payload)
        if reader.done:
            break
    return events, reader.reply(), reader.done


def reads_the_stream(spoken: WireCase) -> None:
    """Events, reply and the whole response agree, and the reader is done at the vendor's end mark."""
    events, reply, done = read_stream_events(spoken.wire, [spoken.stream])
    assert_reply(reply, spoken.expected)
    assert done, "the end event is missing"
    texts = "".join(event.text for event in events if isinstance(event, TextDelta))
    thoughts = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    finishes = [event.finish_reason for event in events if isinstance(event, ChoiceFinished)]
    assert (texts, thoughts, finishes) == (spoken.expected.text, spoken.expected.reasoning, [spoken.expected.finish])
    grown: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolDelta):
            call = grown.setdefault(event.index, ["", "", ""])
            call[:] = [call[0] or event.id, call[1] or event.name, call[2] + event.json]
    assert list(grown) == list(range(len(grown))), "tool calls are numbered from 0, in order"
    assert [normalize_call(*call) for call in grown.values()] == [
        normalize_call(*call) for call in spoken.expected.calls
    ]
    assert all(b"\n" not in piece for event in events for piece in _frame(event).split(JOINT)), "a frame has two lines"


def tolerates_any_chunking(spoken: WireCase) -> None:
    """Split at every byte, and sent byte by byte, with LF and CRLF."""
    for stream in (spoken.stream, spoken.stream.replace(b"\n", b"\r\n")):
        whole = read_stream_events(spoken.wire, [stream])
        for at in range(1, len(stream)):
            assert read_stream_events(spoken.wire, [stream[:at], stream[at:]]) == whole, f"cut at byte {at}"
        drips = [stream[at : at + 1] for at in range(len(stream))]
        assert read_stream_events(spoken.wire, drips) == whole, "byte by byte"


def tolerates_any_sse_spelling(spoken: WireCase) -> None:
    whole = read_stream_events(spoken.wire, [spoken.stream])
    for how, stream in _spelt(spoken.stream).items():
        heard = read_stream_events(spoken.wire, [stream])
        assert _unframed(heard[0]) == _unframed(whole[0]) and heard[1:] == whole[1:], how
        assert all(b"\n" not in piece for event in heard[0] for piece in _frame(event).split(JOINT)), how


def _spelt(stream: bytes) -> dict[str, bytes]:
    frames = [frame + b"\n\n" for frame in stream.split(b"\n\n") if frame]
    return {
        "CRLF": stream.replace(b"\n", b"\r\n"),
        "CR": stream.replace(b"\n", b"\r"),
        "comments between frames": b": hello\n\n" + b": ping\n\n".join(frames),
        "a comment in each frame": b"".join(b": ping\n" + frame for frame in frames),
        "no space after the colon": stream.replace(b"data: ", b"data:").replace(b"event: ", b"event:"),
        "several data lines": stream.replace(b"data: {", b"data: {\ndata: "),
        "ids, events and retry times": b"".join(b"id: 7\nretry: 10\n" + frame for frame in frames),
        "a field of a later day": b"".join(b"later\n" + frame for frame in frames),
        "empty lines between frames": b"\n\n".join(frames),
    }


def detects_the_end(spoken: WireCase) -> None:
    """With its end mark, without it, with two, and with data after it."""
    frames = [frame + b"\n\n" for frame in spoken.stream.split(b"\n\n") if frame]
    words, ends = frames[: len(frames) - spoken.end_frames], frames[len(frames) - spoken.end_frames :]
    events, reply, _ = read_stream_events(spoken.wire, frames)
    assert not ends or read_stream_events(spoken.wire, words) == (events, reply, False), "without its end mark"
    for how, more in (("twice", ends), ("with words behind", frames), ("with rubbish behind", [b"data: {\n\n"])):
        assert read_stream_events(spoken.wire, [b"".join([*frames, *more])]) == (events, reply, True), (
            f"an end mark {how}"
        )
        assert read_stream_events(spoken.wire, [*frames, *more]) == (events, reply, True), f"an end mark {how}, later"


def detects_truncation(spoken: WireCase) -> None:
    """Cut off anywhere, even cleanly: an error or the whole reply, never a shorter reply that looks complete."""
    for at in range(len(spoken.stream)):
        try:
            _, reply, _ = read_stream_events(spoken.wire, [spoken.stream[:at]])
        except UpstreamProtocolError:
            continue
        assert_reply(reply, spoken.expected, check_usage=False)
        assert reply.usage.estimated or reply.usage == spoken.expected.usage, f"cut at byte {at}, the usage is wrong"


def counts_usage_once(spoken: WireCase) -> None:
    """Repeated usage counts once: some vendors send it cumulatively."""
    frames = [frame + b"\n\n" for frame in spoken.stream.split(b"\n\n") if frame]
    at = len(frames) - spoken.end_frames - 1
    again = [*frames[:at], *[frames[at]] * 3, *frames[at + 1 :]]
    events, reply, _ = read_stream_events(spoken.wire, again)
    assert reply.usage == spoken.expected.usage, f"{reply.usage} is not {spoken.expected.usage}"
    assert sum(isinstance(event, ChoiceFinished) for event in events) == 1


def refuses_malformed_streams(spoken: WireCase) -> None:
    junk = [b"data: {\n\n", b"data: []\n\n", b"data: nonsense\n\n", b"data: " + b"[" * 20_000 + b"\n\n"]
    for frames in ([], [b"\n\n"], [b": only a comment\n\n"], *([each] for each in junk)):
        try:
            read_stream_events(spoken.wire, frames)
        except UpstreamProtocolError:
            continue
        raise AssertionError(f"{frames!r} was accepted as an answer")


CHECKS: tuple[Callable[[WireCase], None], ...] = (
    wire_conformance.reads_responses,
    reads_the_stream,
    wire_conformance.reads_responses_without_ids_and_usage,
    wire_conformance.refuses_malformed_responses,
    tolerates_any_chunking,
    tolerates_any_sse_spelling,
    detects_the_end,
    detects_truncation,
    counts_usage_once,
    refuses_malformed_streams,
    wire_conformance.maps_error_statuses,
    wire_conformance.never_leaks_the_key,
)


def _frame(event: Event) -> bytes:
    return (
        (event.frame or b"")
        if isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta | ChoiceFinished)
        else b""
    )


def _unframed(events: list[Event]) -> list[Event]:
    """The events without their original bytes."""
    framed = (TextDelta, ToolDelta, ReasoningDelta, ChoiceFinished)
    plain = [msgspec.structs.replace(each, frame=None) if isinstance(each, framed) else each for each in events]
    return [
        RawDelta(
            each.choice,
            {name: Raw(msgspec.json.encode(msgspec.json.decode(raw))) for name, raw in each.fields.items()},
        )
        if isinstance(each, RawDelta)
        else each
        for each in plain
    ]
