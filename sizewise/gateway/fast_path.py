"""The hot routes answered inside uvicorn's protocol: no scope, no receive, no per-message dicts; the same doors behind.

Questions to models are taken here (ROUTES); every other request goes uvicorn's ordinary way, and so do these with
`fast_lane = false` in [server]. Measured against the same door through ASGI in bench/gateway. The bounds of a
connection stand here too: how long a head may be, how long it may take, and what is said to those who speak no HTTP.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from sizewise.app.application import House
from sizewise.errors import BadRequest
from sizewise.gateway import anthropic, openai, responses
from sizewise.gateway.header_cache import Head, plainest
from sizewise.gateway.protocol_upgrade import Upgrading, without_h2c
from sizewise.gateway.request_context import (
    USUAL,
    Door,
    Headers,
    Knock,
    Voice,
    met,
    read,
    too_large,
    too_slow,
    written,
)
from sizewise.http.write_coalescing import Cork
from sizewise.providers.wires.openai.request_response import write_error

Way = tuple[Door, Voice]
"""A door, and how it says no."""
ROUTES: Mapping[bytes, Way] = {
    b"/v1/chat/completions": (openai.chat, USUAL),
    b"/v1/messages": (anthropic.messages, anthropic.VOICE),
    b"/v1/responses": (responses.create, responses.VOICE),
}
HEAD_BYTES = 64 * 1024
USUAL_HEAD = 4096  # bytes in which an offer of HTTP/2 is looked for
PIPELINE = 16  # requests that may wait on one connection before reading stops
LESSONS = 4  # heads that are kept in vain, before a connection is believed to bring ever new ones
_CHUNKED = b"transfer-encoding: chunked\r\n"
_CLOSE = b"connection: close\r\n"
_AS_IT_IS = b"x-content-type-options: nosniff\r\n"  # no browser shall take an answer for a page
_OPENING: Mapping[int, bytes] = {status: line + _AS_IT_IS for status, line in STATUS_LINE.items()}


class Trailers:
    """Takes what comes behind a body as if it were a header, and forgets it: nobody says twice who asks."""

    __slots__ = ()

    def append(self, field: tuple[bytes, bytes]) -> None:
        pass


class Cycle:
    """One request on one connection: stands where uvicorn's RequestResponseCycle stands, and is the door's `Out`.

    It is its own `message_event`: uvicorn's protocol calls `set()` when body bytes arrive, end, or the client leaves.
    """

    body: bytes | bytearray = b""
    more_body = True
    disconnected = False
    response_complete = False
    begun = False
    late = False  # its body has not come in time
    waits = False  # in the pipeline behind another request of this connection
    started = False
    task: asyncio.Task[None] | None = None  # while it is answered
    _opening = b""  # a head that has not left yet, or a whole answer
    _ending = b""

    def __init__(self, protocol: FastLane, way: Way, seen: Knock, keep_alive: bool, chunks: bool) -> None:
        """`seen`: what the head said. `chunks`: whether the client knows chunked bodies, as all but HTTP/1.0 do."""
        self.protocol = protocol
        self.way = way
        self.seen = seen
        self.keep_alive = keep_alive
        self.chunks = chunks
        self._pending: list[bytes] = []  # words, and behind them the end

    @property
    def message_event(self) -> Cycle:
        return self  # kept nowhere: a cycle of references would hold every body until the collector comes

    @property
    def address(self) -> str:
        return self.seen.address

    def take(self, piece: bytes) -> None:
        """One piece of the body; the first is nearly always all of it, and is not copied."""
        if not self.body:
            self.body = piece
        else:
            self.body = self.body if isinstance(self.body, bytearray) else bytearray(self.body)
            self.body += piece
        self.set()

    def set(self) -> None:
        if self.disconnected:
            if self.task is not None:
                self.task.cancel()
            return
        if not self.waits:
            self.protocol.flow.resume_reading()
            self.start()

    def too_late(self) -> None:
        """What comes of the body from now on is nobody's: it is said why, and the connection ends."""
        self.late, self.keep_alive = True, False
        if not self.waits:
            self.start()

    def start(self, at_once: bool = False) -> None:
        """Answers, once the body is whole or too large and no earlier request of this connection is being answered.

        The rest of a body too large is read and forgotten, so that its client comes to see the answer. `at_once`:
        without a turn of the event loop, as far as it comes; not within the parser, nor within another's answer.
        """
        self.waits = False
        if self.started:
            return
        house = self.protocol.house()
        if self.late:
            self._run(house, too_slow, b"", at_once)
        elif len(self.body) > house.settings.server.max_body_bytes:
            self._run(house, too_large, b"", at_once)
        elif not self.more_body:
            self._run(house, self.way[0], bytes(self.body), at_once)

    def _run(self, house: House, door: Door, body: bytes, at_once: bool) -> None:
        self.started = True
        work = met(door, house, self.seen.now(time.perf_counter()), body, self, self.way[1])
        if sys.version_info >= (3, 12) and at_once:
            task = asyncio.Task(self._answer(work), loop=self.protocol.loop, eager_start=True)
            if task.done():
                return
        else:
            task = self.protocol.loop.create_task(work)
            task.add_done_callback(self._over)  # one that is cancelled before its first step never comes to its end
        self.task = task
        self.protocol.tasks.add(task)

    async def _answer(self, work: Coroutine[object, None, None]) -> None:
        """Its own end: a callback would cost a turn of the event loop."""
        try:
            await work
        finally:
            self._over()

    def _over(self, _: object = None) -> None:
        if self.task is not None:
            self.protocol.tasks.discard(self.task)
            self.task = None  # one that was cancelled knows us by its traceback
        if not self.response_complete and not self.protocol.transport.is_closing():
            self.protocol.transport.close()  # cancelled or broken in the middle: the client must see an end

    # ---- Out

    async def whole(self, status: int, headers: Headers, body: bytes, lines: bytes = b"") -> None:
        if self.disconnected:
            return
        self.begun = True
        if headers:
            lines = written(headers) + lines
        if not self.keep_alive:
            lines += _CLOSE
        self._opening = b"%b%bcontent-length: %d\r\n\r\n%b" % (_OPENING[status], lines, len(body), body)
        self.protocol.cork(self)
        self._complete()

    async def begin(self, headers: Headers) -> None:
        """The head leaves with the first words: one system call, and the client wakes once."""
        self.begun = True
        close, chunked = b"" if self.keep_alive else _CLOSE, _CHUNKED if self.chunks else b""
        self._opening = b"%b%b%b%b\r\n" % (_OPENING[200], written(headers), close, chunked)

    async def write(self, data: bytes) -> None:
        """The words of one turn of the event loop leave together."""
        if not self._pending:
            self.protocol.cork(self)
        self._pending.append(data)
        if self.protocol.flow.write_paused:
            await self.protocol.flow.drain()

    def push(self) -> None:
        opening, self._opening = self._opening, b""
        if self._pending or self._ending:
            data = b"".join(self._pending)
            self._pending.clear()
            if data and self.chunks:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            opening += data + self._ending
            self._ending = b""
        transport = self.protocol.transport
        if not self.disconnected and not transport.is_closing():
            transport.write(opening)

    async def end(self) -> None:
        if self.disconnected or self.response_complete:
            return
        if not self._pending:
            self.protocol.cork(self)
        self._ending = b"0\r\n\r\n" if self.chunks else b""
        self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self.protocol.cork.flush()
            self.protocol.transport.close()
        self.protocol.on_response_complete()


class FastLane(Upgrading):
    """uvicorn's protocol with a few routes taken out and bounds set; all else about connections stays uvicorn's."""

    def __init__(
        self, house: Callable[[], House], routes: Mapping[bytes, Way], cork: Cork, *args: Any, **kwargs: Any
    ) -> None:
        """`routes`: the paths that are answered here, where they are POSTed to."""
        super().__init__(*args, **kwargs)
        self.house = house
        self.cork = cork
        self.running: Any = None  # the cycle being answered; `self.cycle` may be one that waits behind it
        self._routes = routes
        self._in_head = False
        self._plain = False  # whether the message that is read has a door here, and nothing in its head moves its end
        self._between = False  # whether the last one was plain, and the parser waits for the next
        self._head: Head | None = None  # of such a one
        self._means: tuple[Way, Knock] | None = None  # and what it says
        self._lessons = LESSONS
        self._heads = 0  # begun so far
        self._head_bytes = 0
        self._idle_at = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None  # set while a body has not come to its end
        self._stuck_timer: asyncio.TimerHandle | None = None  # set while a client takes nothing of its answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._idle_at = self.loop.time()
        self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._idle)

    def data_received(self, data: bytes) -> None:
        if self._head is not None and self._between and self.cycle.response_complete:
            body = self._head.body(data)
            if body is not None:
                return self._again(body)
        if (self.cycle is None or self.cycle.response_complete) and data.find(b"h2c", 0, USUAL_HEAD) >= 0:
            data = without_h2c(data)
        before, between = self._heads, self._between
        already = before if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._heads == already:  # a head that came in pieces
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._turn_away(BadRequest(f"the head is longer than {HEAD_BYTES} bytes", "send less", status=431))
        cycle = self.cycle
        if cycle is not None and cycle.more_body is (self._body_timer is None):
            self._mind(cycle)
        if between and self._between and self._heads == before + 1 and self._lessons:
            self._learn(data)

    def _again(self, body: bytes) -> None:
        """The same head with another body, which is whole."""
        assert self._means is not None
        way, seen = self._means
        self._lessons = LESSONS
        cycle: Any = Cycle(self, way, seen, True, True)
        self.running = self.cycle = cycle
        cycle.body, cycle.more_body = body, False
        cycle.start(at_once=True)

    def _learn(self, data: bytes) -> None:
        """Keeps the head of `data`, which is one whole message, for the next."""
        cycle = cast("Cycle", self.cycle)
        if self._head is None or self._head.body(data) is None:
            self._lessons -= 1
            headers = cycle.seen.headers
            self._head = plainest(data, self.url, headers)
            said = read([each for each in headers if each[0] != b"content-length"])
            said.address, said.secure = cycle.address, cycle.seen.secure
            self._means = cycle.way, said

    def _mind(self, cycle: Any) -> None:
        """One timer for a body that did not come at once. Those of ASGI are minded by their app."""
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        elif isinstance(cycle, Cycle):
            self._body_timer = self.loop.call_later(self.house().settings.server.body_timeout_s, cycle.too_late)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck_timer = self.loop.call_later(self.house().settings.server.body_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()

    def handle_websocket_upgrade(self) -> None:
        if self.parser.get_method() != b"GET":
            return self._turn_away(BadRequest("only GET opens a WebSocket", "leave `upgrade` out of other requests"))
        if self._idle_timer is not None:
            self._idle_timer.cancel()  # the connection is another protocol's from now on, which has timers of its own
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._turn_away(BadRequest("what came is no HTTP/1.1 request", "check what speaks to this port, and how"))

    def _turn_away(self, error: BadRequest) -> None:
        """Says why, unless that would be read as the answer to an earlier request or land in the middle of one."""
        self.cork.flush()
        cycle = self.cycle
        if not self.pipeline and (cycle is None or cycle.response_complete or cycle.more_body):
            body = write_error(error)
            head = b"content-type: application/json\r\ncontent-length: %d\r\n%b%b\r\n" % (len(body), _AS_IT_IS, _CLOSE)
            self.transport.write(STATUS_LINE[error.status] + head + body)
        self.transport.close()

    def shutdown(self) -> None:
        self.cork.flush()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        running = self.running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        for timer in (self._idle_timer, self._body_timer, self._stuck_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self.cycle = self.running = cast("Any", None)  # each knows the other: none should wait for the collector
        self.pipeline.clear()

    def on_response_complete(self) -> None:
        """As uvicorn's, but with one lazy timer a connection instead of one set and cancelled for every request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_at = self.loop.time()

    def _idle(self) -> None:
        left = self._idle_at + self.timeout_keep_alive - self.loop.time()
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or left > 0:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive if busy else left, self._idle)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._plain = self._between = False
        self._heads += 1
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if not isinstance(cycle, Cycle):
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.take(body)

    def on_headers_complete(self) -> None:
        headers, self.headers = self.headers, cast("Headers", Trailers())
        self._in_head = False
        before = self.cycle
        way = self._routes.get(self.url)
        parser, other = self.parser, self.expect_100_continue
        if (
            way is None
            or other
            or parser.get_method() != b"POST"
            or (parser.should_upgrade() and self._should_upgrade())
        ):
            return self._on_other(before)
        modern = parser.get_http_version() == "1.1"
        stays = modern and parser.should_keep_alive()
        self._plain = stays and not parser.should_upgrade()
        seen = read(headers)
        seen.address, seen.secure = self.client[0] if self.client else "", self.scheme == "https"
        cycle = Cycle(self, way, seen, stays, modern)
        self.cycle = cast("Any", cycle)  # stands in for RequestResponseCycle
        if before is None or before.response_complete:
            self.running = cycle
        else:
            cycle.waits = True
            self.pipeline.appendleft((self.cycle, self.app))
            self._bound_pipeline()

    def on_message_complete(self) -> None:
        self._between = self._plain
        super().on_message_complete()

    def _on_other(self, before: Any) -> None:
        super().on_headers_complete()
        if before is not None and not before.response_complete:
            self._bound_pipeline()

    def _bound_pipeline(self) -> None:
        """Reads on while few wait: a client that leaves is only noticed while somebody reads."""
        if len(self.pipeline) < PIPELINE:
            self.flow.resume_reading()
        else:
            self.flow.pause_reading()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        if isinstance(cycle, Cycle):
            cycle.start()
        else:
            if cycle.scope["http_version"] == "1.0":
                app = _unchunked(app, cycle)
            super()._start_asgi_task(cycle, app)


def _unchunked(app: ASGIApp, cycle: Any) -> ASGIApp:
    """`app` for a client of HTTP/1.0, which knows no chunks: what has no length goes as it is, until the close.

    `cycle` is uvicorn's, which frames what is sent by these two of its fields.
    """

    async def plainly(scope: Scope, receive: Receive, send: Send) -> None:
        measured = False

        async def bare(message: Message) -> None:
            nonlocal measured
            if message["type"] == "http.response.start":
                measured = any(name == b"content-length" for name, _ in message.get("headers", ()))
                cycle.chunked_encoding = None if measured else False
            elif not measured:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, bare)

    return plainly


def lane(house: Callable[[], House]) -> type[FastLane]:
    """The protocol class for uvicorn's `http=`; `house` gives the house of the moment."""
    routes, cork = ROUTES if house().settings.server.fast_path else {}, Cork()

    class Lane(FastLane):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(house, routes, cork, *args, **kwargs)

    return Lane
