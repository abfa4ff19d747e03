"""How every wire must read streams as they really come: cut anywhere, spelt anyhow, ended badly; opens no socket.

CHECKS holds these and those of kit.py, all that a wire passes without a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw

from sizewise.errors import UpstreamGarbled
from sizewise.handler import Event, Extra, Finished, Text, Thought, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.sse import Frames
from sizewise.providers.wires.wire import Wire
from sizewise.testing import wire_conformance
from sizewise.testing.wire_conformance import Spoken, as_json, says

JOINT = b"\n\ndata: "  # between the upstream's chunks where one event carries several


def hear(wire: Wire, chunks: Iterable[bytes]) -> tuple[list[Event], Reply, bool]:
    """A stream's events, its reply, and whether its end was said; read as providers/http.py reads it."""
    frames, reader, events = Frames(), wire.read_stream(False), list[Event]()
    for chunk in chunks:
        for payload in frames.feed(chunk):
            events += reader.frame(payload)
        if reader.done:
            break
    return events, reader.reply(), reader.done


def reads_the_stream(spoken: Spoken) -> None:
    """Its events say what its reply says, which is what the whole answer said; it is over when the vendor says so."""
    events, reply, done = hear(spoken.wire, [spoken.stream])
    says(reply, spoken.said)
    assert done, "the end was not heard"
    texts = "".join(event.text for event in events if isinstance(event, Text))
    thoughts = "".join(event.text for event in events if isinstance(event, Thought))
    finishes = [event.reason for event in events if isinstance(event, Finished)]
    assert (texts, thoughts, finishes) == (spoken.said.text, spoken.said.thought, [spoken.said.finish])
    grown: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolDelta):
            call = grown.setdefault(event.index, ["", "", ""])
            call[:] = [call[0] or event.id, call[1] or event.name, call[2] + event.json]
    assert list(grown) == list(range(len(grown))), "calls are numbered from 0, in order"
    assert [as_json(*call) for call in grown.values()] == [as_json(*call) for call in spoken.said.calls]
    assert all(b"\n" not in piece for event in events for piece in _frame(event).split(JOINT)), "a frame has two lines"


def hears_the_same_at_any_cut(spoken: Spoken) -> None:
    """Cut in two at every byte, and drip by drip, also where lines end as in HTTP."""
    for stream in (spoken.stream, spoken.stream.replace(b"\n", b"\r\n")):
        whole = hear(spoken.wire, [stream])
        for at in range(1, len(stream)):
            assert hear(spoken.wire, [stream[:at], stream[at:]]) == whole, f"cut at byte {at}"
        drips = [stream[at : at + 1] for at in range(len(stream))]
        assert hear(spoken.wire, drips) == whole, "byte by byte"


def hears_the_same_however_it_is_spelt(spoken: Spoken) -> None:
    whole = hear(spoken.wire, [spoken.stream])
    for how, stream in _spelt(spoken.stream).items():
        heard = hear(spoken.wire, [stream])
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


def hears_the_end(spoken: Spoken) -> None:
    """With its end mark, without, with two, and whatever comes behind it."""
    frames = [frame + b"\n\n" for frame in spoken.stream.split(b"\n\n") if frame]
    words, ends = frames[: len(frames) - spoken.ends], frames[len(frames) - spoken.ends :]
    events, reply, _ = hear(spoken.wire, frames)
    assert not ends or hear(spoken.wire, words) == (events, reply, False), "without its end mark"
    for how, more in (("twice", ends), ("with words behind", frames), ("with rubbish behind", [b"data: {\n\n"])):
        assert hear(spoken.wire, [b"".join([*frames, *more])]) == (events, reply, True), f"an end mark {how}"
        assert hear(spoken.wire, [*frames, *more]) == (events, reply, True), f"an end mark {how}, later"


def takes_no_half_for_the_whole(spoken: Spoken) -> None:
    """Cut off anywhere, however cleanly: garbled, or all that was said. Never a shorter answer that looks complete."""
    for at in range(len(spoken.stream)):
        try:
            _, reply, _ = hear(spoken.wire, [spoken.stream[:at]])
        except UpstreamGarbled:
            continue
        says(reply, spoken.said, books=False)
        assert reply.usage.estimated or reply.usage == spoken.said.usage, f"cut at byte {at}, the books are wrong"


def counts_once(spoken: Spoken) -> None:
    """However often the usage is told, for vendors tell it as it grows."""
    frames = [frame + b"\n\n" for frame in spoken.stream.split(b"\n\n") if frame]
    at = len(frames) - spoken.ends - 1
    again = [*frames[:at], *[frames[at]] * 3, *frames[at + 1 :]]
    events, reply, _ = hear(spoken.wire, again)
    assert reply.usage == spoken.said.usage, f"{reply.usage} is not {spoken.said.usage}"
    assert sum(isinstance(event, Finished) for event in events) == 1


def refuses_what_is_no_stream(spoken: Spoken) -> None:
    junk = [b"data: {\n\n", b"data: []\n\n", b"data: nonsense\n\n", b"data: " + b"[" * 20_000 + b"\n\n"]
    for frames in ([], [b"\n\n"], [b": only a comment\n\n"], *([each] for each in junk)):
        try:
            hear(spoken.wire, frames)
        except UpstreamGarbled:
            continue
        raise AssertionError(f"{frames!r} was taken for an answer")


CHECKS: tuple[Callable[[Spoken], None], ...] = (
    wire_conformance.reads_the_whole,
    reads_the_stream,
    wire_conformance.refuses_what_is_no_reply,
    hears_the_same_at_any_cut,
    hears_the_same_however_it_is_spelt,
    hears_the_end,
    takes_no_half_for_the_whole,
    counts_once,
    refuses_what_is_no_stream,
    wire_conformance.tells_refusals_apart,
    wire_conformance.shows_the_key_once,
)


def _frame(event: Event) -> bytes:
    return (event.frame or b"") if isinstance(event, Text | ToolDelta | Thought | Extra | Finished) else b""


def _unframed(events: list[Event]) -> list[Event]:
    """Without the bytes that they came in."""
    framed = (Text, ToolDelta, Thought, Finished)
    plain = [msgspec.structs.replace(each, frame=None) if isinstance(each, framed) else each for each in events]
    return [
        Extra(
            each.choice, {name: Raw(msgspec.json.encode(msgspec.json.decode(raw))) for name, raw in each.fields.items()}
        )
        if isinstance(each, Extra)
        else each
        for each in plain
    ]
