"""Stream relay: the `send` of an attempt, which records events and passes, holds or drops them.

    passing     streamed: to the client as events arrive, from the second content event without checks
    holding     held: in the AttemptRecord until the policy decides, within limits
    recording   not streamed: nothing is sent, so a failure in mid-answer can still fall back

`on_event` is called before each content event, and may cancel the attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sizewise.attempt_progress import AttemptStage, ProgressUpdate
from sizewise.errors import UpstreamProtocolError
from sizewise.handler import (
    AttemptFinished,
    ChoiceFinished,
    Event,
    GuardrailTriggered,
    ModelSelected,
    ReasoningDelta,
    Send,
    TextDelta,
    ToolDelta,
)
from sizewise.routing.attempt_record import AttemptRecord, ModelEvent
from sizewise.routing.request_rewrite import without_frame
from sizewise.routing.requirements import text_bytes

MAX_HELD = 8 * 1024 * 1024  # bytes of text and frames held for one attempt
MAX_HELD_EVENTS = 100_000

SIDE_EVENTS = (AttemptFinished, ModelSelected, GuardrailTriggered, AttemptStage, ProgressUpdate)
"""Events that are not content."""

OnModelEvent = Callable[[], None]


def passing_send(
    attempt: AttemptRecord,
    on_event: OnModelEvent,
    begin_delivery: Callable[[AttemptRecord], Awaitable[None]],
    send: Send,
) -> Send:
    """`begin_delivery` is awaited before the first event that the client sees."""
    heard = attempt.text_parts.append
    shown = False

    async def first(event: Event) -> None:
        nonlocal shown
        if isinstance(event, SIDE_EVENTS):
            return await forward_side_event(attempt, event, send)
        on_event()
        if not shown:
            shown = True
            await begin_delivery(attempt)
        record_event(attempt, event)
        await send(without_frame(event) if attempt.resumed_from else event)

    def relay(event: Event) -> Awaitable[None]:
        if shown:
            if event.__class__ is TextDelta:
                heard(event.text)
                return send(event)
            if event.__class__ is ChoiceFinished:
                return send(event)
        return first(event)

    return first if attempt.resumed_from else relay


def holding_send(attempt: AttemptRecord, on_event: OnModelEvent, send: Send) -> Send:
    size = 0

    async def keep(event: Event) -> None:
        nonlocal size
        if isinstance(event, SIDE_EVENTS):
            return await forward_side_event(attempt, event, send)
        on_event()
        size += record_event(attempt, event) + len(event.frame or b"")
        if size > MAX_HELD or len(attempt.held_events) >= MAX_HELD_EVENTS:
            raise UpstreamProtocolError(
                f"the answer of {attempt.card.name} is longer than can be held ({MAX_HELD} bytes)"
            )
        attempt.held_events.append(event)

    return keep


def recording_send(attempt: AttemptRecord, on_event: OnModelEvent, send: Send) -> Send:
    async def note(event: Event) -> None:
        if isinstance(event, SIDE_EVENTS):
            return await forward_side_event(attempt, event, send)
        on_event()
        record_event(attempt, event)

    return note


async def forward_side_event(
    attempt: AttemptRecord,
    event: AttemptFinished | ModelSelected | GuardrailTriggered | AttemptStage | ProgressUpdate,
    send: Send,
) -> None:
    """The handler may be a router itself: its attempts are reported with ours, its selection is hidden."""
    if isinstance(event, AttemptStage):
        attempt.record_stage(event)
    elif not isinstance(event, ModelSelected):
        await send(event)


def record_event(attempt: AttemptRecord, event: ModelEvent) -> int:
    """Records the content, for accounting and for a resume; returns its length in characters."""
    if isinstance(event, TextDelta):
        attempt.text_parts.append(event.text)
        return len(event.text)
    other = ""
    if isinstance(event, ReasoningDelta):
        other = event.text
    elif isinstance(event, ToolDelta):
        other = event.name + event.json
    attempt.other_bytes += text_bytes(other)
    attempt.is_plain_text = attempt.is_plain_text and isinstance(event, ChoiceFinished)
    return len(other)
