"""The `send` an attempt gets: what it says is noted, then passed on, kept back or dropped; pure, decides none of it.

    passing   the client reads along: straight through from the second word on
    keeping   held: kept in the Try until the policy has decided, within bounds
    noting    the client waits for the whole: nothing is shown, so a failure in mid-answer can still fall back

`begins` is called before each event that shows the model at work, and may stop it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sizewise.errors import UpstreamGarbled
from sizewise.handler import Chosen, Event, Finished, Guarded, Send, Text, Thought, ToolDelta, Tried
from sizewise.routing.attempt_record import Said, Try
from sizewise.routing.request_rewrite import unframed

MAX_HELD = 8 * 1024 * 1024  # bytes of words and frames kept back for one attempt
MAX_HELD_EVENTS = 100_000

BESIDE = (Tried, Chosen, Guarded)
"""Events that are no part of what a model says."""

Begins = Callable[[], None]


def passing(one: Try, begins: Begins, show: Callable[[Try], Awaitable[None]], send: Send) -> Send:
    """`show` is awaited before the first event that the client sees."""
    heard = one.said.append
    shown = False

    async def first(event: Event) -> None:
        nonlocal shown
        if isinstance(event, BESIDE):
            return await nested(event, send)
        begins()
        if not shown:
            shown = True
            await show(one)
        hear(one, event)
        await send(unframed(event) if one.prefix else event)

    def relay(event: Event) -> Awaitable[None]:
        if shown:
            if event.__class__ is Text:
                heard(event.text)
                return send(event)
            if event.__class__ is Finished:
                return send(event)
        return first(event)

    return first if one.prefix else relay


def keeping(one: Try, begins: Begins, send: Send) -> Send:
    size = 0

    async def keep(event: Event) -> None:
        nonlocal size
        if isinstance(event, BESIDE):
            return await nested(event, send)
        begins()
        size += hear(one, event) + len(event.frame or b"")
        if size > MAX_HELD or len(one.events) >= MAX_HELD_EVENTS:
            raise UpstreamGarbled(f"{one.card.name} said more than can be held back ({MAX_HELD} bytes)")
        one.events.append(event)

    return keep


def noting(one: Try, begins: Begins, send: Send) -> Send:
    async def note(event: Event) -> None:
        if isinstance(event, BESIDE):
            return await nested(event, send)
        begins()
        hear(one, event)

    return note


async def nested(event: Tried | Chosen | Guarded, send: Send) -> None:
    """Whoever answers may be a router itself: its books are ours too, its choice is not the client's business."""
    if not isinstance(event, Chosen):
        await send(event)


def hear(one: Try, event: Said) -> int:
    """Notes what was said, for the books and for who might have to go on; returns its length in characters."""
    if isinstance(event, Text):
        one.said.append(event.text)
        return len(event.text)
    size = 0
    if isinstance(event, Thought):
        size = len(event.text)
    elif isinstance(event, ToolDelta):
        size = len(event.name) + len(event.json)
    one.odd += size
    one.plain = one.plain and isinstance(event, Finished)
    return size
