"""One call under way that several clients may follow from its start; knows no key, no store and no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from msgspec.structs import replace

from sizewise.errors import UpstreamGarbled
from sizewise.handler import Chosen, Event, Send, Tried
from sizewise.messages import Reply
from sizewise.reply_events import Word, gathered, told

MOST = 16 * 1024 * 1024
"""Characters and bytes of frames that are kept of one call while it goes."""


class Call:
    """What was said so far, kept for whoever comes late. Its task runs on when a client leaves."""

    def __init__(self, digest: bytes, streams: bool, work: Callable[[Call], Coroutine[object, None, Reply]]) -> None:
        """`digest` of the request; `streams`: whether the words come as events; `work` makes the call, once."""
        self.digest = digest
        self.streams = streams
        self.events: list[Event] = []
        self._size = 0
        self._news = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(work(self))
        self.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Reply]) -> None:
        self._news.set()
        if not task.cancelled():
            task.exception()  # whoever followed has seen it; where nobody did, there is nobody to tell

    async def put(self, event: Event) -> None:
        """The call's own `send`. Raises UpstreamGarbled beyond MOST: what cannot be kept cannot be given again."""
        if isinstance(event, Word):
            self._size += len(event.frame or b"") + _length(event)
            if self._size > MOST:
                raise UpstreamGarbled(f"the answer is larger than can be kept for an idempotency key ({MOST} bytes)")
        self.events.append(event)
        self._news.set()
        self._news.clear()

    @property
    def chosen(self) -> Chosen | None:
        return next((event for event in self.events if isinstance(event, Chosen)), None)

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(gathered(self.events)) if self.streams else ()

    @property
    def free(self) -> bool:
        """Whether it has cost nothing for sure: an unknown price of some tokens is not nothing."""
        return all(event.cost == 0 for event in self.events if isinstance(event, Tried))

    async def next(self, seen: int) -> bool:
        """Waits for more than `seen` events; False when there will be no more."""
        while len(self.events) <= seen and not self.task.done():
            await self._news.wait()
        return len(self.events) > seen


class Owner:
    """The client for whom the call is made: it gets everything, and its record the books, even when it has left.

    Cancelled once, its client has left, and the call goes on. Cancelled twice, the server stops, and so does the call.
    """

    def __init__(self, call: Call, send: Send) -> None:
        self._call = call
        self._send = send
        self._seen = 0

    async def listen(self) -> Reply:
        try:
            await self._pass(lambda event: True)
        except BaseException:
            await self._leave()
            raise
        return self._call.task.result()

    async def _leave(self) -> None:
        try:
            await self._pass(_booked)
        except asyncio.CancelledError:
            self._call.task.cancel()
            await asyncio.wait({self._call.task})
            await self._pass(_booked)

    async def _pass(self, wanted: Callable[[Event], bool]) -> None:
        while await self._call.next(self._seen):
            event = self._call.events[self._seen]
            self._seen += 1
            if wanted(event):
                await self._send(event)


class Follower:
    """A client that came while the call was under way: it gets what was said, and none of the books."""

    def __init__(self, call: Call, send: Send, streams: bool, why: str) -> None:
        self._call = call
        self._send = send
        self._streams = streams
        self._why = why

    async def listen(self) -> Reply:
        call, seen = self._call, 0
        while await call.next(seen):
            event = call.events[seen]
            seen += 1
            if isinstance(event, Chosen):
                await self._send(replace(event, why=f"{self._why}: {event.why}", attempts=0))
            elif self._streams and isinstance(event, Word):
                await self._send(event)
        reply = await asyncio.shield(call.task)
        if self._streams and not call.streams:
            for word in told(reply):
                await self._send(word)
        return reply


def _booked(event: Event) -> bool:
    return isinstance(event, Tried)


def _length(word: Word) -> int:
    said = (getattr(word, name, "") for name in ("text", "json"))
    return sum(map(len, said))
