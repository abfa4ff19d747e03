"""Fast path: chat routes served inside uvicorn's protocol class without ASGI messages, by the same route handlers.

Model requests (ROUTES) are served here; every other request goes uvicorn's ordinary way, and so do these with
`fast_path = false` in [server]. bench/gateway compares it with ASGI. The limits of a connection are here too: size and
time of a request head, and the answer to clients that do not speak HTTP.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from sizewise.app.application import Application
from sizewise.errors import BadRequest, SizewiseError
from sizewise.gateway import anthropic, openai, responses
from sizewise.gateway.cors import cors_headers
from sizewise.gateway.error_response import OPENAI_ERRORS, ErrorFormat
from sizewise.gateway.header_cache import CachedHead, cacheable_head
from sizewise.gateway.protocol_upgrade import UpgradeProtocol
from sizewise.gateway.request_handling import handle
from sizewise.gateway.request_head import RequestHead, RouteHandler, new_trace_id, parse_headers
from sizewise.gateway.request_refusal import refusal, refuse_with
from sizewise.gateway.response_writer import Headers, encode_headers, trace_headers
from sizewise.gateway.stream_cut import reset_on_close, with_cuts
from sizewise.http.write_coalescing import WriteCoalescer
from sizewise.limits.request_body import (
    least_bytes,
    memory_full,
    rate_interval_s,
    too_large,
    too_late,
    too_slow,
)
from sizewise.providers.wires.openai.request_response import write_error

FastRoute = tuple[RouteHandler, ErrorFormat]
"""A route handler and its error format."""
ROUTES: Mapping[bytes, FastRoute] = {
    b"/v1/chat/completions": (openai.chat_completions, OPENAI_ERRORS),
    b"/v1/messages": (anthropic.messages, anthropic.ERROR_FORMAT),
    b"/v1/responses": (responses.create, responses.ERROR_FORMAT),
}
MAX_HEAD_BYTES = 64 * 1024
MAX_PIPELINE = 16  # requests that may wait on one connection before reading stops
MAX_CACHE_MISSES = 4  # heads cached in vain before caching stops for the connection
_CHUNKED = b"transfer-encoding: chunked\r\n"
_CLOSE = b"connection: close\r\n"
_NOSNIFF = b"x-content-type-options: nosniff\r\n"  # keeps browsers from rendering an answer as a page
_STATUS_LINES: Mapping[int, bytes] = {status: line + _NOSNIFF for status, line in STATUS_LINE.items()}


class TrailerSink:
    """Accepts and discards trailers: a header after the body must not change who is authenticated."""

    __slots__ = ()

    def append(self, field: tuple[bytes, bytes]) -> None:
        pass


class FastRequestCycle:
    """One request on one connection. Replaces uvicorn's RequestResponseCycle, and is the handler's ResponseWriter.

    It is its own `message_event`: uvicorn's protocol calls `set()` when body bytes arrive, end, or the client leaves.
    """

    body: bytes | bytearray = b""
    more_body = True
    disconnected = False
    response_complete = False
    has_started = False
    refused: RouteHandler | None = None  # answers a request whose body is too slow or has no room
    held_bytes = 0  # of this body, counted in the memory of all bodies
    body_begun = 0.0  # loop time from which its timeout runs; 0: it came at once
    seen_bytes = 0  # of this body, when its rate was last looked at
    is_pipelined = False  # waits behind another request of this connection
    started = False
    task: asyncio.Task[None] | None = None  # while it runs
    cors_lines = b""  # header lines for browsers
    _head_bytes = b""  # a head that is not sent yet, or a whole response
    _end_bytes = b""

    def __init__(
        self,
        protocol: FastPathProtocol,
        route: FastRoute,
        head: RequestHead,
        *,
        keep_alive: bool,
        chunked: bool,
    ) -> None:
        """`chunked`: whether the client supports chunked bodies; all do but HTTP/1.0."""
        self.protocol = protocol
        self.route = route
        self.head = head
        self.keep_alive = keep_alive
        self.chunked = chunked
        self._pending: list[bytes] = []  # chunks of the stream that are not sent yet

    @property
    def message_event(self) -> FastRequestCycle:
        return self  # not an attribute: a reference cycle would keep every body until the collector runs

    def feed(self, piece: bytes) -> None:
        """Adds body bytes; the first piece is nearly always the whole body and is not copied."""
        if self.started or self.refused is not None:  # the rest is dropped, so that the client gets to read the error
            return
        if not self.body:
            self.body = piece
        else:
            self.body = self.body if isinstance(self.body, bytearray) else bytearray(self.body)
            self.body += piece
            self.hold_body()
        self.set()

    def set(self) -> None:
        if self.disconnected:
            if self.task is not None:
                self.task.cancel()
            else:
                self.release_body()
            return
        if not self.is_pipelined:
            self.protocol.flow.resume_reading()
            self.answer()

    def hold_body(self) -> bool:
        """Counts what has arrived in the memory of all bodies; refuses the request if that is full."""
        if self.started or self.refused is not None:
            return False
        app, more = self.protocol.get_app(), len(self.body) - self.held_bytes
        if app.resources.body_memory.reserve(more, app.settings.server):
            self.held_bytes += more
            return True
        self._refuse(memory_full(app.settings.server))
        return False

    def release_body(self) -> None:
        self.protocol.get_app().resources.body_memory.release(self.held_bytes)
        self.held_bytes = 0

    def check_body_rate(self) -> float:
        """Seconds until the next look at an incomplete body; 0 if it is refused: too slow, or not whole in time.

        A request behind another one may not be read at all, so its rate says nothing.
        """
        limits, now = self.protocol.get_app().settings.server, self.protocol.loop.time()
        self.body_begun = self.body_begun or now
        left_s, arrived = limits.body_timeout_s - (now - self.body_begun), len(self.body) - self.seen_bytes
        if left_s <= 0.0:
            self._refuse(too_late(limits), keep_alive=False)
        elif now > self.body_begun and arrived < least_bytes(limits) and not (self.is_pipelined or self.started):
            self._refuse(too_slow(limits), keep_alive=False)
        else:
            self.seen_bytes = len(self.body)
            return min(left_s, rate_interval_s(limits))
        return 0.0

    def _refuse(self, error: SizewiseError, *, keep_alive: bool = True) -> None:
        """Drops the body and sends an error, now or when the request has its turn."""
        self.keep_alive = self.keep_alive and keep_alive
        self.refused = refuse_with(error)
        self.body = b""
        self.release_body()
        if not self.is_pipelined:
            self.answer()

    def check_head(self) -> None:
        """Refuses a request whose body is still arriving, if its head is enough to do so: without a valid key, or with
        a declared length over the limit. What has arrived is dropped.
        """
        if self.started or self.is_pipelined:
            return
        app = self.protocol.get_app()
        refused = refusal(app, self.head)
        if refused is not None:
            self.body = b""
            self.release_body()
            self._run(app, refused, b"", False)

    def answer(self, eagerly: bool = False) -> None:
        """Starts the response, once the body is complete or too large and no earlier request of this connection is
        running.

        The rest of a body too large is read and dropped, so that the client gets to read the error. `eagerly`: run at
        once up to the first wait, without an event loop iteration; not allowed in the parser or within another
        response.
        """
        self.is_pipelined = False
        if self.started:
            return
        app = self.protocol.get_app()
        if self.refused is not None:
            self._run(app, self.refused, b"", eagerly)
        elif len(self.body) > app.settings.server.max_body_bytes:
            self.body = b""  # this object lives until the next request of its connection
            self._run(app, refuse_with(too_large(app.settings.server)), b"", eagerly)
        elif not self.more_body:
            body, self.body = bytes(self.body), b""
            self._run(app, self.route[0], body, eagerly)

    def _run(self, app: Application, route_handler: RouteHandler, body: bytes, eagerly: bool) -> None:
        self.started = True
        if origins := app.settings.server.cors_origins:
            self.cors_lines = encode_headers(cors_headers(self.head.headers, origins))
        work = handle(route_handler, app, self.head.restarted_at(time.perf_counter()), body, self, self.route[1])
        if sys.version_info >= (3, 12) and eagerly:
            task = asyncio.Task(self._run_eagerly(work), loop=self.protocol.loop, eager_start=True)
            if task.done():
                return
        else:
            task = self.protocol.loop.create_task(work)
            task.add_done_callback(self._on_done)  # a task cancelled before its first step runs no `finally`
        self.task = task
        self.protocol.tasks.add(task)

    async def _run_eagerly(self, work: Coroutine[object, None, None]) -> None:
        """Calls `_on_done` itself: a callback would cost an event loop iteration."""
        try:
            await work
        finally:
            self._on_done()

    def _on_done(self, _: object = None) -> None:
        if self.task is not None:
            self.protocol.tasks.discard(self.task)
            self.task = None  # the traceback of a cancelled task refers to this object
        if self.held_bytes:
            self.release_body()
        if not self.response_complete and not self.protocol.transport.is_closing():
            self.protocol.transport.close()  # cancelled or failed midway: the client must see an end

    # ---- ResponseWriter

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        if self.disconnected:
            return
        self.has_started = True
        if headers:
            header_lines = encode_headers(headers) + header_lines
        if self.cors_lines:
            header_lines += self.cors_lines
        if not self.keep_alive:
            header_lines += _CLOSE
        start = _STATUS_LINES[status], self.protocol.date_line(), header_lines
        self._head_bytes = b"%b%b%bcontent-length: %d\r\n\r\n%b" % (*start, len(body), body)
        self.protocol.coalescer(self)
        self._complete()

    async def start_stream(self, headers: Headers) -> None:
        """The head is sent with the first chunk: one system call, and the client wakes once."""
        self.has_started = True
        close, chunked = b"" if self.keep_alive else _CLOSE, _CHUNKED if self.chunked else b""
        self._head_bytes = b"%b%b%b%b%b\r\n" % (
            _STATUS_LINES[200],
            self.protocol.date_line(),
            encode_headers(headers) + self.cors_lines,
            close,
            chunked,
        )

    async def write(self, data: bytes) -> None:
        """Chunks of one event loop iteration are sent together."""
        if not self._pending:
            self.protocol.coalescer(self)
        self._pending.append(data)
        if self.protocol.flow.write_paused:
            await self.protocol.flow.drain()

    def push(self) -> None:
        opening, self._head_bytes = self._head_bytes, b""
        if self._pending or self._end_bytes:
            data = b"".join(self._pending)
            self._pending.clear()
            if data and self.chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            opening += data + self._end_bytes
            self._end_bytes = b""
        transport = self.protocol.transport
        if not self.disconnected and not transport.is_closing():
            transport.write(opening)

    async def end_stream(self) -> None:
        if self.disconnected or self.response_complete:
            return
        if not self._pending:
            self.protocol.coalescer(self)
        self._end_bytes = b"0\r\n\r\n" if self.chunked else b""
        self._complete()

    async def cut_stream(self) -> None:
        if self.disconnected or self.response_complete:
            return
        if not self.chunked:
            reset_on_close(self.protocol.transport)
        self.keep_alive = False
        self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self.protocol.coalescer.flush()
            self.protocol.transport.close()
        self.protocol.on_response_complete()


class FastPathProtocol(UpgradeProtocol):
    """uvicorn's protocol with a few routes served here and limits on connections; the rest stays uvicorn's."""

    def __init__(
        self,
        get_app: Callable[[], Application],
        routes: Mapping[bytes, FastRoute],
        coalescer: WriteCoalescer,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """`routes`: paths whose POST requests are served here."""
        super().__init__(*args, **kwargs)
        self.get_app = get_app
        self.coalescer = coalescer
        self.active_cycle: Any = None  # the running cycle; `self.cycle` may be a later, waiting one
        self._routes = routes
        self._in_head = False
        self._is_cacheable = False  # whether this message has a route here and nothing in its head affects its end
        self._after_cacheable = False  # whether the last message was cacheable and is complete
        self._cached_head: CachedHead | None = None  # its head
        self._cached_request: tuple[FastRoute, RequestHead] | None = None  # its route and parsed head
        self._misses_left = MAX_CACHE_MISSES
        self._head_count = 0  # heads started so far
        self._head_bytes = 0
        self._idle_at = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None  # set while a body is incomplete
        self._write_timer: asyncio.TimerHandle | None = None  # set while the client reads nothing
        self._dated: Headers = []  # what `_date_line` was made from
        self._date_line = b""

    def date_line(self) -> bytes:
        """The Date header, which uvicorn renews once a second, as a new list."""
        headers = self.server_state.default_headers
        if headers is not self._dated:
            self._dated, self._date_line = headers, encode_headers(headers)
        return self._date_line

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._idle_at = self.loop.time()
        self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._check_idle)

    def data_received(self, data: bytes) -> None:
        if self._cached_head is not None and self._after_cacheable and self.cycle.response_complete:
            body = self._cached_head.match_body(data)
            if body is not None:
                return self._repeat_head(body)
        before, between = self._head_count, self._after_cacheable
        already = before if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._head_count == already:  # a head in several pieces
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._reject(
                    BadRequest(
                        f"the request line and headers are larger than {MAX_HEAD_BYTES} bytes",
                        "send smaller headers",
                        status=431,
                    )
                )
        cycle = self.cycle
        if cycle is not None and cycle.more_body is (self._body_timer is None):
            self._update_body_timer(cycle)
        if between and self._after_cacheable and self._head_count == before + 1 and self._misses_left:
            self._cache_head(data)

    def _repeat_head(self, body: bytes) -> None:
        """Serves the cached head with another, complete body."""
        assert self._cached_request is not None
        way, seen = self._cached_request
        self._misses_left = MAX_CACHE_MISSES
        cycle: Any = FastRequestCycle(self, way, seen, keep_alive=True, chunked=True)
        self.active_cycle = self.cycle = cycle
        cycle.body, cycle.more_body = body, False
        cycle.answer(eagerly=True)

    def _cache_head(self, data: bytes) -> None:
        """Caches the head of `data`, which is one complete message."""
        cycle = cast("FastRequestCycle", self.cycle)
        if self._cached_head is None or self._cached_head.match_body(data) is None:
            self._misses_left -= 1
            headers = cycle.head.headers
            self._cached_head = cacheable_head(data, self.url, headers)
            said = parse_headers([each for each in headers if each[0] != b"content-length"])
            said.peer_address, said.secure = cycle.head.peer_address, cycle.head.secure
            self._cached_request = cycle.route, said

    def _update_body_timer(self, cycle: Any) -> None:
        """One timer for a body that did not arrive at once. ASGI routes time out in their own app."""
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        elif isinstance(cycle, FastRequestCycle):
            self._look_at_body(cycle)
            if cycle.hold_body():
                cycle.check_head()

    def _look_at_body(self, cycle: FastRequestCycle) -> None:
        next_s = cycle.check_body_rate()
        self._body_timer = self.loop.call_later(next_s, self._look_at_body, cycle) if next_s else None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.get_app().settings.server.body_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def handle_websocket_upgrade(self) -> None:
        if self.parser.get_method() != b"GET":
            return self._reject(
                BadRequest("only GET can open a WebSocket", "send other requests without the header `upgrade`")
            )
        if self._idle_timer is not None:
            self._idle_timer.cancel()  # the WebSocket protocol takes over, with timers of its own
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._reject(
            BadRequest(
                "this is not an HTTP/1.1 request",
                "check that the client uses HTTP/1.1, and TLS only if the server does",
            )
        )

    def _reject(self, error: BadRequest) -> None:
        """Sends the error, unless it would answer an earlier request or land in the middle of a response."""
        self.coalescer.flush()
        cycle = self.cycle
        if not self.pipeline and (cycle is None or cycle.response_complete or cycle.more_body):
            body, traced = write_error(error), encode_headers(trace_headers(new_trace_id()))
            head = b"content-type: application/json\r\ncontent-length: %d\r\n%b%b\r\n" % (len(body), traced, _CLOSE)
            self.transport.write(_STATUS_LINES[error.status] + self.date_line() + head + body)
        self.transport.close()

    def shutdown(self) -> None:
        self.coalescer.flush()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        running = self.active_cycle
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        for timer in (self._idle_timer, self._body_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        for cycle, _ in self.pipeline:
            if isinstance(cycle, FastRequestCycle):
                cycle.release_body()
        self.cycle = self.active_cycle = cast("Any", None)  # they refer to each other: free them without the collector
        self.pipeline.clear()

    def on_response_complete(self) -> None:
        """As uvicorn's, but with one lazy timer per connection instead of one per request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_at = self.loop.time()

    def _check_idle(self) -> None:
        left = self._idle_at + self.timeout_keep_alive - self.loop.time()
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or left > 0:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive if busy else left, self._check_idle)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._is_cacheable = self._after_cacheable = False
        self._head_count += 1
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if not isinstance(cycle, FastRequestCycle):
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.feed(body)

    def on_headers_complete(self) -> None:
        headers, self.headers = self.headers, cast("Headers", TrailerSink())
        self._in_head = False
        parser = self.parser
        if parser.should_upgrade() and self.passes_over():
            return
        before = self.cycle
        way = self._routes.get(self.url)
        other = self.expect_100_continue
        if (
            way is None
            or other
            or parser.get_method() != b"POST"
            or (parser.should_upgrade() and self._should_upgrade())
        ):
            return self._pass_to_uvicorn(before)
        modern = parser.get_http_version() == "1.1"
        stays = modern and parser.should_keep_alive()
        self._is_cacheable = stays and not parser.should_upgrade()
        seen = parse_headers(headers)
        seen.peer_address, seen.secure = self.client[0] if self.client else "", self.scheme == "https"
        cycle = FastRequestCycle(self, way, seen, keep_alive=stays, chunked=modern)
        self.cycle = cast("Any", cycle)  # replaces uvicorn's RequestResponseCycle
        if before is None or before.response_complete:
            self.active_cycle = cycle
        else:
            cycle.is_pipelined = True
            self.pipeline.appendleft((self.cycle, self.app))
            self._limit_pipeline()

    def on_message_complete(self) -> None:
        if self._passes_over:
            return
        self._after_cacheable = self._is_cacheable
        super().on_message_complete()

    def _pass_to_uvicorn(self, before: Any) -> None:
        super().on_headers_complete()
        if before is not None and not before.response_complete:
            self._limit_pipeline()

    def _limit_pipeline(self) -> None:
        """Reads on while few requests wait: only a reading connection notices that its client left."""
        if len(self.pipeline) < MAX_PIPELINE:
            self.flow.resume_reading()
        else:
            self.flow.pause_reading()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.active_cycle = cycle
        if isinstance(cycle, FastRequestCycle):
            cycle.answer()
            cycle.check_head()
        else:
            if cycle.scope["http_version"] == "1.0":
                app = _without_chunking(app, cycle)
            super()._start_asgi_task(cycle, cast("Any", with_cuts(app, cycle)))


def _without_chunking(app: ASGIApp, cycle: Any) -> ASGIApp:
    """`app` for HTTP/1.0, which has no chunks: a response without a length is sent as it is, until the close.

    `cycle` is uvicorn's; these two of its fields control the framing.
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


def fast_path_protocol(
    get_app: Callable[[], Application], routes: Mapping[bytes, FastRoute] = ROUTES
) -> type[FastPathProtocol]:
    """The protocol class for uvicorn's `http=`; `get_app` returns the current application."""
    routes, cork = routes if get_app().settings.server.fast_path else {}, WriteCoalescer()

    class Lane(FastPathProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(get_app, routes, cork, *args, **kwargs)

    return Lane
