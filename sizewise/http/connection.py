"""One HTTP/1.1 client connection: parsing, backpressure and deadlines; no DNS, no pooling, no TLS.

Works on asyncio and uvloop. Each connection has one timer, which is reset only when it fires too early or a nearer
deadline appears, so that a deadline costs one comparison.
"""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from sizewise.errors import SizewiseError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from sizewise.http.write_coalescing import WriteCoalescer

MAX_HEAD_BYTES = 64 * 1024  # of a response head with its 1xx responses; also of framing without a body
MAX_UNREAD_BYTES = 256 * 1024  # received and not yet read; beyond this, reading pauses
MAX_JOINED_BODY_BYTES = 8 * 1024  # a larger request body is not copied to join it to its head
DRAIN_TIMEOUT_S = 1.0  # seconds for the rest of a body after `drain`
MAX_DRAIN_BYTES = 64 * 1024

_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,6})")


class HttpConnection(asyncio.Protocol):
    """`send_request` and `failure`, then `wait_for_data` and `read_available` until `complete`, then `release`; `abort`
    at any time.

    `name` (host:port) is part of every error. `idle_timeout_s`: seconds to keep it idle. `unread_by_peer` is True after
    a failure that proves that the peer did not read the request.
    """

    __slots__ = (
        "_awaiting_head",
        "_between_bytes_s",
        "_body",
        "_busy",
        "_coalescer",
        "_draining",
        "_eof",
        "_expected_begins",
        "_expected_heads",
        "_first_byte_s",
        "_head_bytes",
        "_head_only",
        "_idle_timeout_s",
        "_last_read_at",
        "_loop",
        "_name",
        "_on_lost",
        "_on_release",
        "_parser",
        "_paused",
        "_poll",
        "_released_at",
        "_reusable",
        "_started_at",
        "_time",
        "_timer",
        "_timer_at",
        "_total_at",
        "_total_s",
        "_transport",
        "_unread",
        "_unsent",
        "_waiter",
        "_writable",
        "chunks",
        "complete",
        "error",
        "head",
        "head_complete",
        "on_body",
        "on_headers_complete",
        "on_message_begin",
        "status",
        "unread_by_peer",
        "used",
    )  # fmt: skip

    def __init__(self, name: str, idle_timeout_s: float, coalescer: WriteCoalescer) -> None:
        self._name = name
        self._coalescer = coalescer
        self._unsent = b""  # the request head, until the end of this loop iteration
        self._body = b""  # of the request
        self._idle_timeout_s = idle_timeout_s
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._on_release: Callable[[HttpConnection], None] | None = None
        self._on_lost: Callable[[HttpConnection], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None  # while the peer reads slower than a body is sent
        self._busy = self._awaiting_head = self._eof = self._paused = self._draining = self._head_only = False
        self._reusable = True
        self._started_at = self._last_read_at = self._released_at = self._time()
        self._first_byte_s = self._between_bytes_s = self._total_s = self._total_at = inf
        self._head_bytes = self._unread = 0
        self.status = 0
        self.head = b""
        self.chunks: list[bytes] = []
        self.head_complete = self.complete = self.used = self.unread_by_peer = False
        self.error: SizewiseError | None = None
        # For speed, the parser's callbacks are list methods: `pop` removes the marker of the expected response when it
        # begins and when its head is complete. Extra bytes find no marker and raise an error.
        self._expected_begins: list[None] = []
        self._expected_heads: list[None] = []
        self.on_message_begin, self.on_headers_complete = self._expected_begins.pop, self._expected_heads.pop
        self.on_body = self.chunks.append
        self._parser = HttpResponseParser(self)

    def set_callbacks(
        self,
        on_release: Callable[[HttpConnection], None],
        on_lost: Callable[[HttpConnection], None],
    ) -> None:
        """`on_release` is called when the connection can be reused, `on_lost` once when it is lost."""
        self._on_release, self._on_lost = on_release, on_lost

    @property
    def lost(self) -> bool:
        return self._transport is None

    def is_usable(self) -> bool:
        """Whether an idle connection is still open with no data to read, according to the kernel."""
        if not self._reusable or self._transport is None or self._transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def send_request(
        self,
        head: bytes,
        body: bytes,
        head_only: bool,
        first_byte_s: float,
        between_bytes_s: float,
        total_s: float,
        now: float,
        since: float,
    ) -> asyncio.Future[None]:
        """Sends a whole request. Await the future; then the response head is there, or `failure` returns why not.

        `total_s` counts from `since`, the others from `now`.
        """
        waiter = self.wait_for_data()
        self.head_complete = self.complete = self._draining = False
        if self.error is not None or self._transport is None:
            self.error = self.error or UpstreamUnreachable(f"{self._name} is not connected")
            self._wake()
            return waiter
        self._busy = self._awaiting_head = True
        self._head_only, self._head_bytes, self._unread = head_only, 0, 0
        self._first_byte_s, self._between_bytes_s, self._total_s = first_byte_s, between_bytes_s, total_s
        self._started_at, self._total_at = now, since + total_s
        self._expected_begins.append(None)
        self._expected_heads.append(None)
        self._unsent, self._body = head, body
        self._coalescer(self)
        if now + first_byte_s < self._timer_at or self._total_at < self._timer_at:
            self._set_timer(min(now + first_byte_s, self._total_at))
        return waiter

    async def send_body(self, piece: bytes) -> None:
        """Continues the body of a request that was sent with its head alone, at least one loop iteration ago. Waits
        while the peer reads slowly. Bytes for a connection that is lost are dropped: the waiter reports it.
        """
        self._started_at = self._time()  # the time until the response head begins with the end of the body
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(piece)
            if self._writable is not None:
                await self._writable

    def forbid_reuse(self) -> None:
        """For an exchange whose request was not sent to its end."""
        self._reusable = False

    def failure(self) -> SizewiseError | None:
        """The error if there is no response head after `send_request`."""
        return None if self.head_complete or self.error is None else self._failure()

    def push(self) -> None:
        head, body, self._unsent, self._body = self._unsent, self._body, b"", b""
        if self._transport is None or self._transport.is_closing():
            return
        if len(body) < MAX_JOINED_BODY_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def wait_for_data(self) -> asyncio.Future[None]:
        """Done when there is data, the end, or an error. If cancelled while awaiting it, call `abort`."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def read_available(self) -> bytes:
        """The bytes received since the last call, maybe b"". Returns data received before an error, then raises."""
        parts = self.chunks
        if not parts:
            if self.error and not self.complete:
                raise self._failure()
            return b""
        taken = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused:
            self._resume()
        return taken

    def release(self) -> None:
        """Ends a complete exchange: returns the connection to its pool, or closes it if it is not reusable."""
        if self.chunks:
            self.chunks.clear()
        self.head = b""
        self._busy, self.used = False, True
        if self._paused:
            self._resume()
        if self._reusable and self._on_release is not None:
            self._released_at = freed = self._time()
            if freed + self._idle_timeout_s < self._timer_at:
                self._set_timer(freed + self._idle_timeout_s)
            self._on_release(self)
        else:
            self.abort()

    def drain(self) -> None:
        """Discards the rest: `release` if it ends within DRAIN_TIMEOUT_S and MAX_DRAIN_BYTES, else closed."""
        self._draining = True
        self._unread = 0
        self.chunks.clear()
        if self._paused:
            self._resume()
        self._total_at = min(self._total_at, self._time() + DRAIN_TIMEOUT_S)
        self._set_timer(self._total_at)

    def abort(self) -> None:
        """Closes the socket at once; nothing is flushed."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    # ---- callbacks of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        socket = transport.get_extra_info("socket")
        if socket is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._fail(UpstreamProtocolError(f"{self._name} sent data before a request", "Check its base_url."))
            return
        self._last_read_at = self._time()
        parts, headed = self.chunks, self.head_complete
        had = len(parts)
        if not headed:
            self.head += data
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as why:
            self._apply_head()
            self._reusable = False
            if not self.complete:
                self._fail(UpstreamProtocolError(f"{self._name} does not speak HTTP/1.1: {why}", "Check its base_url."))
        if not headed and not self._expected_heads:
            self._apply_head()
        if not self.complete or len(data) > MAX_HEAD_BYTES:
            self._count(len(data), len(parts) > had)
        if self._draining:
            self._continue_drain()
        elif self._waiter is not None and self.head_complete and (self._awaiting_head or parts or self.complete):
            self._wake()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def eof_received(self) -> None:
        self._eof = True
        self.abort()  # otherwise the transport first tries to send the rest of the request

    def connection_lost(self, exc: Exception | None) -> None:
        self._reusable = False
        if self._timer is not None:
            self._timer.cancel()
        if not self.complete or not self._busy:
            self._handle_disconnect(exc)
        self._transport = None
        self.resume_writing()
        del self._parser  # a reference cycle would have to wait for the garbage collector
        self._wake()
        if self._on_lost is not None:
            self._on_lost(self)

    # ---- callbacks of the parser

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # a 1xx response: the final one follows
            self._expected_begins.append(None)
            self._expected_heads.append(None)
        elif not self.complete:  # a HEAD response is complete already
            self.complete = True
            self._reusable = self._reusable and self._parser.should_keep_alive()

    # ---- internals

    def _apply_head(self) -> None:
        """Applies the head once it is complete."""
        status = self._parser.get_status_code()
        if self._expected_heads or self.head_complete or status < 200:
            return
        self.status, self.head_complete = status, True
        if not self.used:
            self._apply_keep_alive()
        if self._head_only:
            self.chunks.clear()
            self.complete, self._reusable = True, False  # the parser expects a body that never comes
        if not self.complete and self._last_read_at + self._between_bytes_s < self._timer_at:
            self._set_timer(self._last_read_at + self._between_bytes_s)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            self._awaiting_head = False
            waiter.set_result(None)

    def _failure(self) -> SizewiseError:
        """A copy of the error: raising the original would create a reference cycle through its traceback."""
        assert self.error is not None
        return type(self.error)(self.error.message, self.error.hint)

    def _fail(self, error: SizewiseError) -> None:
        self.error = self.error or error
        self.abort()
        self._wake()

    def _count(self, size: int, body: bool) -> None:
        """Enforces the limits on heads, trailers and chunk extensions, and pauses reading if the body is not read."""
        if body:
            self._head_bytes = 0
            self._unread += size
            if (
                self._unread > MAX_UNREAD_BYTES
                and not self._paused
                and not self.complete
                and self._transport is not None
            ):
                self._paused = True
                self._transport.pause_reading()
        elif not self.complete:
            self._head_bytes += size
        if size > MAX_HEAD_BYTES and self._awaiting_head:
            self._head_bytes = max(
                self._head_bytes,
                sum(len(name) + len(value) + 4 for name, value in parse_headers(self.head)),
            )
        if self._head_bytes > MAX_HEAD_BYTES:
            self.head_complete = self.head_complete and not self._awaiting_head
            words = f"{self._name} sent more than {MAX_HEAD_BYTES} bytes of headers"
            self._fail(UpstreamProtocolError(words, "Check its base_url."))

    def _resume(self) -> None:
        self._paused = False
        self._last_read_at = self._time()  # the silence was ours
        self._set_timer(self._last_read_at + self._between_bytes_s)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _continue_drain(self) -> None:
        self.chunks.clear()
        if self.complete:
            self.release()
        elif self._unread > MAX_DRAIN_BYTES:
            self.abort()

    def _handle_disconnect(self, exc: Exception | None) -> None:
        """Decides whether a lost connection was the end of the body or cut it short."""
        how = "reset the connection" if exc else "closed the connection"
        if self._busy and self.head_complete and self._eof and exc is None and self._until_eof():
            self.complete = True
        elif self._busy and (self.head_complete or self._head_bytes):
            self.error = self.error or UpstreamProtocolError(
                f"{self._name} {how} in the middle of its response",
                "Try again.",
            )
        else:
            # Only a write raises EPIPE: the socket was dead before, so no byte of the request was sent.
            self.unread_by_peer = not self._busy or bool(self._unsent) or isinstance(exc, BrokenPipeError)
            self.error = self.error or UpstreamUnreachable(
                f"{self._name} {how} without a response",
                "Check that it is healthy.",
            )

    def _until_eof(self) -> bool:
        """Whether the head has neither a length nor chunked encoding, so that closing ends the body.

        Over TLS, uvloop reports a close without close_notify as an error; asyncio does not distinguish the two.
        """
        for name, value in parse_headers(self.head):
            field = name.lower()
            if field == b"content-length" or (field == b"transfer-encoding" and value.lower().endswith(b"chunked")):
                return False
        return True

    def _apply_keep_alive(self) -> None:
        """Halves the idle time that a server announces, to close the connection before the server does."""
        for name, value in parse_headers(self.head):
            if name.lower() == b"keep-alive" and (said := _KEEP_ALIVE.search(value)):
                self._idle_timeout_s = min(self._idle_timeout_s, int(said[1]) / 2)

    def _set_timer(self, due: float) -> None:
        if due >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        due, words = self._next_deadline()
        if self._time() < due:
            self._set_timer(due)
        elif self._busy:
            self._fail(
                UpstreamTimeout(f"{self._name} {words}", "Raise its timeouts, or use another model."),
            )
        elif self._transport is not None:
            self._reusable = False
            self._transport.close()

    def _next_deadline(self) -> tuple[float, str]:
        """The nearest deadline (loop time), and the words for missing it."""
        if not self._busy:
            return self._released_at + self._idle_timeout_s, ""
        if self.complete:
            return inf, ""
        total = self._total_at, f"did not finish within {self._total_s:.3g} s"
        if not self.head_complete:
            near = self._started_at + self._first_byte_s, f"sent no response within {self._first_byte_s:.3g} s"
        elif self._paused:
            return total
        else:
            near = (
                self._last_read_at + self._between_bytes_s,
                f"sent nothing for {self._between_bytes_s:.3g} s within its response",
            )
        return min(near, total)


def parse_headers(head: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields of a response, in order; parsed on demand, since most are never read.

    `head`: the first bytes received, including 1xx responses and possibly some of the body.
    """
    seen = _HeadParser()
    with suppress(HttpParserError, HttpParserUpgrade):
        seen.parser.feed_data(head)
    del seen.parser  # breaks the reference cycle
    return seen.fields


class _HeadParser:
    """Collects the fields of one response head."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.parser = HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() >= 200:
            raise HttpParserError("enough: a trailer, behind the body, is no header")
        self.fields.clear()
