"""One HTTP/1.1 connection, one exchange at a time: parsing, back-pressure, deadlines; knows no names, pools or TLS.

Works on asyncio and uvloop. A deadline costs a comparison: each connection has one timer that is set anew only when it
rings too early, or when a nearer deadline appears.
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

from sizewise.errors import SizewiseError, UpstreamDown, UpstreamGarbled, UpstreamSlow
from sizewise.http.write_coalescing import Cork

HEAD_BYTES = 64 * 1024  # of a response's head, its 1xx forerunners included; also of framing without any body
UNREAD_BYTES = 256 * 1024  # received and not yet taken; beyond, reading pauses
APART_BYTES = 8 * 1024  # of a request's body; a larger one is not copied to join it to its head
LINGER_S = 1.0  # how long an end that nobody waits for may take
LINGER_BYTES = 64 * 1024

_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,6})")


class Connection(asyncio.Protocol):
    """`ask` and `failure`, then `more` and `take` until `ended`, then `free`; `abort` at any time.

    `name` (host:port) stands in every error. `idle_s` is how long it is kept without work.
    `unread_by_peer` is True after a failure that proves that the peer did not read the request.
    """

    __slots__ = (
        "_asking", "_began", "_between_s", "_body", "_busy", "_cork", "_eof", "_first_s", "_free", "_freed", "_gone",
        "_head_bytes", "_head_only", "_heard", "_idle_s", "_keep", "_lingers", "_loop", "_name", "_parser", "_paused",
        "_poll", "_time", "_timer", "_timer_at", "_total_at", "_total_s", "_transport", "_unbegun", "_unheaded",
        "_unread", "_unsent", "_waiter", "ended", "error", "head", "headed", "on_body", "on_headers_complete",
        "on_message_begin", "parts", "status", "unread_by_peer", "used",
    )  # fmt: skip

    def __init__(self, name: str, idle_s: float, cork: Cork) -> None:
        self._name = name
        self._cork = cork
        self._unsent = b""  # the request's head, until the end of this turn
        self._body = b""  # of the request
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._free: Callable[[Connection], None] | None = None
        self._gone: Callable[[Connection], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._waiter: asyncio.Future[None] | None = None
        self._busy = self._asking = self._eof = self._paused = self._lingers = self._head_only = False
        self._keep = True
        self._began = self._heard = self._freed = self._time()
        self._first_s = self._between_s = self._total_s = self._total_at = inf
        self._head_bytes = self._unread = 0
        self.status = 0
        self.head = b""
        self.parts: list[bytes] = []
        self.headed = self.ended = self.used = self.unread_by_peer = False
        self.error: SizewiseError | None = None
        # What the parser calls in the hot path is no line of ours: `pop` takes the one mark of the response that was
        # asked for, when it begins and when its head is complete. Bytes behind it find no mark, and that is an error.
        self._unbegun: list[None] = []
        self._unheaded: list[None] = []
        self.on_message_begin, self.on_headers_complete = self._unbegun.pop, self._unheaded.pop
        self.on_body = self.parts.append
        self._parser = HttpResponseParser(self)

    def settle(self, free: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        """`free` is called when it can be used again, `gone` once when it is lost."""
        self._free, self._gone = free, gone

    @property
    def lost(self) -> bool:
        return self._transport is None

    def usable(self) -> bool:
        """Whether an idle connection still stands and says nothing, as the kernel sees it this very moment."""
        if not self._keep or self._transport is None or self._transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def ask(
        self,
        head: bytes,
        body: bytes,
        head_only: bool,
        first_s: float,
        between_s: float,
        total_s: float,
        now: float,
        since: float,
    ) -> asyncio.Future[None]:
        """Sends one whole request. To be awaited, like `more`; then its head is there, or `failure` tells why not.

        `total_s` counts from `since`, the others from `now`.
        """
        waiter = self.more()
        self.headed = self.ended = self._lingers = False
        if self.error is not None or self._transport is None:
            self.error = self.error or UpstreamDown(f"{self._name} is not connected")
            self._wake()
            return waiter
        self._busy = self._asking = True
        self._head_only, self._head_bytes, self._unread = head_only, 0, 0
        self._first_s, self._between_s, self._total_s = first_s, between_s, total_s
        self._began, self._total_at = now, since + total_s
        self._unbegun.append(None)
        self._unheaded.append(None)
        self._unsent, self._body = head, body
        self._cork(self)
        if now + first_s < self._timer_at or self._total_at < self._timer_at:
            self._arm(min(now + first_s, self._total_at))
        return waiter

    def failure(self) -> SizewiseError | None:
        """Why there is no head, after `ask`."""
        return None if self.headed or self.error is None else self._failure()

    def push(self) -> None:
        head, body, self._unsent, self._body = self._unsent, self._body, b"", b""
        if self._transport is None or self._transport.is_closing():
            return
        if len(body) < APART_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def more(self) -> asyncio.Future[None]:
        """Done when there is something to take, the end, or an error. Who is cancelled in awaiting it must `abort`."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def take(self) -> bytes:
        """All that came since the last time, b"" when that is nothing. What came before an error comes before it."""
        parts = self.parts
        if not parts:
            if self.error and not self.ended:
                raise self._failure()
            return b""
        taken = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused:
            self._resume()
        return taken

    def free(self) -> None:
        """The exchange is over, all of it received: back to where it came from, or closed if it cannot be kept."""
        if self.parts:
            self.parts.clear()
        self.head = b""
        self._busy, self.used = False, True
        if self._paused:
            self._resume()
        if self._keep and self._free is not None:
            self._freed = freed = self._time()
            if freed + self._idle_s < self._timer_at:
                self._arm(freed + self._idle_s)
            self._free(self)
        else:
            self.abort()

    def linger(self) -> None:
        """Nobody reads on: `free` when the end comes within LINGER_S and LINGER_BYTES, else closed."""
        self._lingers = True
        self._unread = 0
        self.parts.clear()
        if self._paused:
            self._resume()
        self._total_at = min(self._total_at, self._time() + LINGER_S)
        self._arm(self._total_at)

    def abort(self) -> None:
        """Closes the socket at once, so that the peer sees it; nothing is flushed."""
        self._keep = False
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        socket = transport.get_extra_info("socket")
        if socket is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._fail(UpstreamGarbled(f"{self._name} spoke without being asked", "Check its base_url."))
            return
        self._heard = self._time()
        parts, headed = self.parts, self.headed
        had = len(parts)
        if not headed:
            self.head += data
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as why:
            self._heed_head()
            self._keep = False
            if not self.ended:
                self._fail(UpstreamGarbled(f"{self._name} does not speak HTTP/1.1: {why}", "Check its base_url."))
        if not headed and not self._unheaded:
            self._heed_head()
        if not self.ended or len(data) > HEAD_BYTES:
            self._count(len(data), len(parts) > had)
        if self._lingers:
            self._wait_for_end()
        elif self._waiter is not None and self.headed and (self._asking or parts or self.ended):
            self._wake()

    def eof_received(self) -> None:
        self._eof = True
        self.abort()  # left alone, the transport would first try to send the rest of the request

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        if self._timer is not None:
            self._timer.cancel()
        if not self.ended or not self._busy:
            self._cut(exc)
        self._transport = None
        del self._parser  # it knows us too: neither should wait for the collector
        self._wake()
        if self._gone is not None:
            self._gone(self)

    # What the parser calls

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # a forerunner: the response is still to come
            self._unbegun.append(None)
            self._unheaded.append(None)
        elif not self.ended:  # ended already: HEAD
            self.ended = True
            self._keep = self._keep and self._parser.should_keep_alive()

    # Inside

    def _heed_head(self) -> None:
        """Notes once what the head says, if it is complete."""
        status = self._parser.get_status_code()
        if self._unheaded or self.headed or status < 200:
            return
        self.status, self.headed = status, True
        if not self.used:
            self._heed_keep_alive()
        if self._head_only:
            self.parts.clear()
            self.ended, self._keep = True, False  # the parser expects a body that never comes
        if not self.ended and self._heard + self._between_s < self._timer_at:
            self._arm(self._heard + self._between_s)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            self._asking = False
            waiter.set_result(None)

    def _failure(self) -> SizewiseError:
        """The error anew: its traceback will know us, and as our own both would wait for the collector."""
        assert self.error is not None
        return type(self.error)(self.error.message, self.error.hint)

    def _fail(self, error: SizewiseError) -> None:
        self.error = self.error or error
        self.abort()
        self._wake()

    def _count(self, size: int, body: bool) -> None:
        """Keeps the bounds: an endless head, trailer or chunk extension, and more body than is taken."""
        if body:
            self._head_bytes = 0
            self._unread += size
            if self._unread > UNREAD_BYTES and not self._paused and not self.ended and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        elif not self.ended:
            self._head_bytes += size
        if size > HEAD_BYTES and self._asking:
            self._head_bytes = max(
                self._head_bytes, sum(len(name) + len(value) + 4 for name, value in fields(self.head))
            )
        if self._head_bytes > HEAD_BYTES:
            self.headed = self.headed and not self._asking
            words = f"{self._name} sent more than {HEAD_BYTES} bytes of headers"
            self._fail(UpstreamGarbled(words, "Check its base_url."))

    def _resume(self) -> None:
        self._paused = False
        self._heard = self._time()  # its silence was our doing
        self._arm(self._heard + self._between_s)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _wait_for_end(self) -> None:
        self.parts.clear()
        if self.ended:
            self.free()
        elif self._unread > LINGER_BYTES:
            self.abort()

    def _cut(self, exc: Exception | None) -> None:
        """The connection is lost: was that the end of the body, or is something missing?"""
        how = "reset the connection" if exc else "closed the connection"
        if self._busy and self.headed and self._eof and exc is None and self._until_eof():
            self.ended = True
        elif self._busy and (self.headed or self._head_bytes):
            self.error = self.error or UpstreamGarbled(f"{self._name} {how} in the middle of its answer", "Ask again.")
        else:
            # EPIPE comes from a write alone: the socket was dead before, so no byte of the request went out.
            self.unread_by_peer = not self._busy or bool(self._unsent) or isinstance(exc, BrokenPipeError)
            self.error = self.error or UpstreamDown(f"{self._name} {how} without an answer", "Is it running well?")

    def _until_eof(self) -> bool:
        """Whether the head said neither a length nor chunks, so that only the close ends the body.

        Over TLS, uvloop calls a close without the TLS goodbye a cut; asyncio itself does not tell the two apart.
        """
        for name, value in fields(self.head):
            field = name.lower()
            if field == b"content-length" or (field == b"transfer-encoding" and value.lower().endswith(b"chunked")):
                return False
        return True

    def _heed_keep_alive(self) -> None:
        """Servers that say how long they keep a connection are left well before, not in the moment they close it."""
        for name, value in fields(self.head):
            if name.lower() == b"keep-alive" and (said := _KEEP_ALIVE.search(value)):
                self._idle_s = min(self._idle_s, int(said[1]) / 2)

    def _arm(self, due: float) -> None:
        if due >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, inf
        due, words = self._due()
        if self._time() < due:
            self._arm(due)
        elif self._busy:
            self._fail(UpstreamSlow(f"{self._name} {words}", "Give it longer in its timeouts, or ask another model."))
        elif self._transport is not None:
            self._keep = False
            self._transport.close()

    def _due(self) -> tuple[float, str]:
        """The nearest deadline (loop time), and what passing it means."""
        if not self._busy:
            return self._freed + self._idle_s, ""
        if self.ended:
            return inf, ""
        total = self._total_at, f"did not finish within {self._total_s:.3g} s"
        if not self.headed:
            near = self._began + self._first_s, f"sent no answer within {self._first_s:.3g} s"
        elif self._paused:
            return total
        else:
            near = self._heard + self._between_s, f"fell silent for {self._between_s:.3g} s within its answer"
        return min(near, total)


def fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields of a response, in their order: read when somebody asks, for of most nobody wants to know.

    `head` are the bytes from the first, forerunners (1xx) included, and of the body as many as came along.
    """
    seen = _Seen()
    with suppress(HttpParserError, HttpParserUpgrade):
        seen.parser.feed_data(head)
    del seen.parser  # it knows `seen` too: neither should wait for the collector
    return seen.fields


class _Seen:
    """Hears a parser until a head is complete."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.parser = HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() >= 200:
            raise HttpParserError("enough: a trailer, behind the body, is no header")
        self.fields.clear()
