"""The hot route answered inside uvicorn's protocol: no scope, no receive, no per-message dicts; the same door behind.

POST /v1/chat/completions is taken here; every other request goes uvicorn's ordinary way, and so does this one with
`fast_lane = false` in [server]. Measured against the same door through ASGI in bench/gateway. The bounds of a
connection stand here too: how long a head may be, how long it may take, and what is said to those who speak no HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from collections import deque
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from sizewise.errors import BadRequest
from sizewise.gateway.exchange import JSON, Headers, meet, refuse, too_large
from sizewise.gateway.openai import chat
from sizewise.house import House

ROUTE = b"/v1/chat/completions"
HEAD_BYTES = 64 * 1024
TRAILERS: deque[tuple[bytes, bytes]] = deque(maxlen=0)
"""Takes what comes behind a body as if it were a header, and forgets it: nobody may ask twice who asks."""
_CHUNKED = b"transfer-encoding: chunked\r\n"
_CLOSE = b"connection: close\r\n"


class Cycle:
    """One request on one connection: stands where uvicorn's RequestResponseCycle stands, and is the door's `Out`.

    It is its own `message_event`: uvicorn's protocol calls `set()` when body bytes arrive, end, or the client leaves.
    """

    def __init__(self, protocol: FastLane, headers: Headers, keep_alive: bool, chunks: bool) -> None:
        """`chunks`: whether the client knows chunked bodies, as all but HTTP/1.0 do."""
        self.protocol = protocol
        self.headers = headers
        self.keep_alive = keep_alive
        self.chunks = chunks
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = self
        self.begun = False
        self.waits = False  # in the pipeline behind another request of this connection
        self.task: asyncio.Task[None] | None = None
        self._pending: list[bytes] = []

    def set(self) -> None:
        if self.disconnected:
            if self.task is not None:
                self.task.cancel()
            return
        if not self.waits:
            self.protocol.flow.resume_reading()
            self.start()

    def start(self) -> None:
        """Answers, once the body is whole or too large and no earlier request of this connection is being answered.

        The rest of a body too large is read and forgotten, so that its client comes to see the answer.
        """
        self.waits = False
        house = self.protocol.house()
        if self.task is not None:
            return
        if len(self.body) > house.settings.server.body_bytes:
            self._run(meet(too_large, house, self.headers, b"", self, time.perf_counter()))
        elif not self.more_body:
            self._run(meet(chat, house, self.headers, bytes(self.body), self, time.perf_counter()))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self.protocol.running = self
        self.task = task = self.protocol.loop.create_task(work)
        self.protocol.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.protocol.tasks.discard(task)
        if not self.response_complete and not self.protocol.transport.is_closing():
            self.protocol.transport.close()  # cancelled or broken in the middle: the client must see an end

    # ---- Out

    def _head(self, status: int, headers: Headers) -> list[bytes]:
        head = [STATUS_LINE[status]]
        for name, value in headers:
            head += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            head.append(_CLOSE)
        return head

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        if self.disconnected:
            return
        head = self._head(status, headers)
        head += (b"content-length: %d\r\n\r\n" % len(body), body)
        self.begun = True
        self.protocol.transport.write(b"".join(head))
        self._complete()

    async def begin(self, headers: Headers) -> None:
        self.begun = True
        self._pending += self._head(200, headers)
        self._pending.append(_CHUNKED + b"\r\n" if self.chunks else b"\r\n")
        self.protocol.transport.write(b"".join(self._pending))
        self._pending.clear()

    async def write(self, data: bytes) -> None:
        """Words of one turn of the event loop leave together: one system call, however many frames came at once."""
        if not self._pending:
            self.protocol.loop.call_soon(self._flush)
        self._pending.append(data)
        if self.protocol.flow.write_paused:
            await self.protocol.flow.drain()

    def _flush(self) -> None:
        if self._pending and not self.disconnected:
            data = b"".join(self._pending)
            self.protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunks else data)
        self._pending.clear()

    async def end(self) -> None:
        if self.disconnected or self.response_complete:
            return
        self._flush()
        if self.chunks:
            self.protocol.transport.write(b"0\r\n\r\n")
        self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self.protocol.transport.close()
        self.protocol.on_response_complete()


class FastLane(HttpToolsProtocol):
    """uvicorn's protocol with one route taken out; everything about connections stays uvicorn's."""

    def __init__(self, house: Callable[[], House], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.house = house
        self.running: Cycle | None = None
        self._idle_at = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        running = self.running
        if running is not None and not running.response_complete:
            running.disconnected = True  # it may stand before `self.cycle` in the pipeline
            running.set()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """As uvicorn's, but with one lazy timer a connection instead of one set and cancelled for every request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_at = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._idle)

    def _idle(self) -> None:
        left = self._idle_at + self.timeout_keep_alive - self.loop.time()
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or left > 0:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive if busy else left, self._idle)
        else:
            self._idle_timer = None
            self.transport.close()

    def on_headers_complete(self) -> None:
        if self.url != ROUTE or self.parser.get_method() != b"POST" or self.expect_100_continue:
            return super().on_headers_complete()
        keep_alive = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        before = self.cycle
        cycle = Cycle(self, self.headers, keep_alive)
        self.cycle = cast("Any", cycle)  # stands in for RequestResponseCycle
        if before is not None and not before.response_complete:
            cycle.waits = True
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, Cycle):
            cycle.start()
        else:
            super()._start_asgi_task(cycle, app)


def lane(house: Callable[[], House]) -> type[FastLane]:
    """The protocol class for uvicorn's `http=`; `house` gives the house of the moment."""

    class Lane(FastLane):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(house, *args, **kwargs)

    return Lane
