"""Request coalescing (single-flight): one call in progress that several clients can follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from msgspec.structs import replace

from sizewise.errors import UpstreamProtocolError
from sizewise.handler import AttemptFinished, Event, ModelSelected, Send
from sizewise.messages import Reply
from sizewise.reply_events import ContentEvent, coalesce, events_of

MAX_BUFFER_BYTES = 16 * 1024 * 1024
"""Characters and frame bytes buffered per call."""

EVENTS_AT_ONCE = 64
"""Events relayed between two turns of the event loop: who joins late gets thousands at once."""


class SingleFlight:
    """The events of a call so far, buffered for clients that follow it. Its task continues when a client leaves."""

    def __init__(
        self,
        digest: bytes,
        streaming: bool,
        work: Callable[[SingleFlight], Coroutine[object, None, Reply]],
    ) -> None:
        """`digest` of the request; `streaming`: whether content is sent as events; `work` makes the call."""
        self.digest = digest
        self.streaming = streaming
        self.events: list[Event] = []
        self._size = 0
        self._changed = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(work(self))
        self.task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[Reply]) -> None:
        self._changed.set()
        if not task.cancelled():
            task.exception()  # raised to the followers, if there are any

    async def publish(self, event: Event) -> None:
        """The call's own `send`. Raises UpstreamProtocolError for a reply too large to replay."""
        if isinstance(event, ContentEvent):
            self._size += len(event.frame or b"") + _content_length(event)
            if self._size > MAX_BUFFER_BYTES:
                raise UpstreamProtocolError(
                    f"the answer is too large to be stored for an idempotency key (more than {MAX_BUFFER_BYTES} bytes)",
                )
        self.events.append(event)
        self._changed.set()
        self._changed.clear()

    @property
    def model_selected(self) -> ModelSelected | None:
        return next((event for event in self.events if isinstance(event, ModelSelected)), None)

    @property
    def content_events(self) -> tuple[ContentEvent, ...]:
        return tuple(coalesce(self.events)) if self.streaming else ()

    @property
    def cost_free(self) -> bool:
        """Whether the call certainly cost nothing; an unknown cost is not nothing."""
        return all(event.cost == 0 for event in self.events if isinstance(event, AttemptFinished))

    async def wait_next(self, seen: int) -> bool:
        """Waits for more than `seen` events; False if the call has ended without more."""
        while len(self.events) <= seen and not self.task.done():
            await self._changed.wait()
        return len(self.events) > seen


class Leader:
    """The client that started the call. It gets every event, and its record gets every attempt, even if it has left.

    The first cancellation means that the client left, and the call continues. The second means that the server stops,
    and cancels the call.
    """

    def __init__(self, call: SingleFlight, send: Send) -> None:
        self._call = call
        self._send = send
        self._seen = 0

    async def relay(self) -> Reply:
        try:
            await self._relay_events(lambda event: True)
        except BaseException:
            await self._relay_attempts()
            raise
        return self._call.task.result()

    async def _relay_attempts(self) -> None:
        try:
            await self._relay_events(_is_attempt)
        except asyncio.CancelledError:
            self._call.task.cancel()
            await asyncio.wait({self._call.task})
            await self._relay_events(_is_attempt)

    async def _relay_events(self, predicate: Callable[[Event], bool]) -> None:
        while await self._call.wait_next(self._seen):
            event = self._call.events[self._seen]
            self._seen += 1
            if predicate(event):
                await self._send(event)
            if not self._seen % EVENTS_AT_ONCE:
                await asyncio.sleep(0)


class SingleFlightFollower:
    """A client that joined a call in flight: it gets the content but no attempts."""

    def __init__(self, call: SingleFlight, send: Send, streaming: bool, reason: str) -> None:
        self._call = call
        self._send = send
        self._streaming = streaming
        self._why = reason

    async def relay(self) -> Reply:
        call, seen = self._call, 0
        while await call.wait_next(seen):
            event = call.events[seen]
            seen += 1
            if isinstance(event, ModelSelected):
                await self._send(replace(event, reason=f"{self._why}: {event.reason}", attempts=0))
            elif self._streaming and isinstance(event, ContentEvent):
                await self._send(event)
            if not seen % EVENTS_AT_ONCE:
                await asyncio.sleep(0)
        reply = await asyncio.shield(call.task)
        if self._streaming and not call.streaming:
            for word in events_of(reply):
                await self._send(word)
        return reply


def _is_attempt(event: Event) -> bool:
    return isinstance(event, AttemptFinished)


def _content_length(word: ContentEvent) -> int:
    said = (getattr(word, name, "") for name in ("text", "json"))
    return sum(map(len, said))
