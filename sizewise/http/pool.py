"""Connection pool for one origin: bounded, with first-come, first-served waiting; sends no requests.

A connection returns to the pool only after its whole response was received. When all are in use, a request waits while
one will be free soon, by the measured pace; else it is refused with the predicted wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import ceil, inf

from sizewise.errors import Busy, UpstreamTimeout, UpstreamUnreachable
from sizewise.http.connection import HttpConnection
from sizewise.http.dialer import DialTarget, dial
from sizewise.http.write_coalescing import WriteCoalescer

DEFAULT_MAX_CONNECTIONS = 4_096
"""Streams of one provider at a time. HTTP/1.1 has one to a connection, which costs a file descriptor and some 10 KB."""
MAX_QUEUE = 4_096  # requests that may wait: a burst for few connections is served, and memory is bounded
SMOOTHING = 0.2  # weight of the newest interval in the pace


class ConnectionPool:
    """At most `max_connections` connections, including those being opened; an idle one is closed after
    `idle_timeout_s` seconds.
    """

    def __init__(
        self,
        target: DialTarget,
        max_connections: int,
        idle_timeout_s: float,
        coalescer: WriteCoalescer,
    ) -> None:
        self.target = target
        self._coalescer = coalescer
        self.max_connections = max_connections
        self._idle_timeout_s = idle_timeout_s
        self._idle: list[HttpConnection] = []  # newest last, so that the others can expire
        self._all: set[HttpConnection] = set()
        self._slots = 0  # in use: connections, and dials in progress
        self._queue: deque[asyncio.Future[HttpConnection | None]] = deque()
        self._pace_s = 0.0  # seconds from one connection handed to a waiting request to the next; 0: not known
        self._last_turn = 0.0  # loop time of the last one, or of the beginning of the queue
        self._draining = False
        self._all_closed: asyncio.Future[None] | None = None

    def take_idle(self) -> HttpConnection | None:
        """A usable idle connection, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    async def acquire(self, timeout_s: float) -> HttpConnection:
        """A connection, new or released. No request was sent yet, so all errors can be retried.

        Raises Busy if all are in use, and none becomes free within `timeout_s` seconds or is predicted to. Raises
        UpstreamTimeout after that time, and UpstreamUnreachable; both count against the endpoint.
        """
        is_queued = False
        try:
            async with asyncio.timeout(timeout_s if timeout_s < inf else None):
                connection = self.take_idle()
                if connection is None and self._slots >= self.max_connections:
                    self._check_queue(timeout_s)
                    is_queued = True
                    connection = await self._wait_turn()
                    is_queued = False
                elif connection is None:
                    self._slots += 1
                return connection or await self._dial()
        except UpstreamUnreachable as error:
            error.failure_scope = "endpoint"
            raise
        except TimeoutError as why:
            if is_queued:
                raise self._busy_error(f"none became free within {timeout_s:.3g} s") from why
            slow = UpstreamTimeout(f"no connection to {self.target.name} within {timeout_s:.3g} s")
            slow.failure_scope, slow.retryable = "endpoint", True
            raise slow from why

    def close_idle(self) -> None:
        while self._idle:
            self._idle.pop().abort()

    def drain(self) -> None:
        """Closes idle connections now, and the others when their exchange ends."""
        self._draining = True
        self.close_idle()

    async def close(self) -> None:
        """Closes all connections at once and waits until their sockets are closed."""
        self.drain()
        for connection in tuple(self._all):
            connection.abort()
        if self._all:
            self._all_closed = asyncio.get_running_loop().create_future()
            await self._all_closed

    def predicted_wait_s(self) -> float:
        """Seconds that a new request would wait for a connection, by the measured pace; 0 if one is free."""
        if self._slots < self.max_connections:
            return 0.0
        standing = asyncio.get_running_loop().time() - self._last_turn if self._queue else 0.0
        return max(standing, (len(self._queue) + 1) * self._pace_s)

    def _check_queue(self, timeout_s: float) -> None:
        """Raises Busy for a request that would wait too long, or if too many wait."""
        predicted = self.predicted_wait_s()
        if predicted > timeout_s:
            raise self._busy_error(f"none becomes free for about {predicted:.0f} s")
        if len(self._queue) >= MAX_QUEUE:
            raise self._busy_error(f"{len(self._queue)} requests wait for one")

    def _busy_error(self, words: str) -> Busy:
        wait = max(1, ceil(self.predicted_wait_s()))
        return Busy(
            f"all {self.max_connections} connections to {self.target.name} are in use, and {words}",
            f"try again in about {wait} s, or raise `max_connections` of the provider",
            retry_after=wait,
        )

    async def _wait_turn(self) -> HttpConnection | None:
        """Waits in order for a released connection, or None: the right to open one."""
        mine: asyncio.Future[HttpConnection | None] = asyncio.get_running_loop().create_future()
        if not self._queue:
            self._last_turn = asyncio.get_running_loop().time()
        self._queue.append(mine)
        try:
            return await mine
        except asyncio.CancelledError:
            if mine in self._queue:  # mostly the first: those that give up came first
                self._queue.remove(mine)
            if not mine.cancelled():  # assigned at the moment of cancelling: pass it on
                given = mine.result()
                if given is None:
                    self._free_slot()
                else:
                    self._release(given)
            raise

    async def _dial(self) -> HttpConnection:
        """Opens a connection; the caller has taken its slot."""
        connection = None
        try:
            connection = await dial(
                self.target,
                lambda: HttpConnection(self.target.name, self._idle_timeout_s, self._coalescer),
            )
        finally:
            if connection is None:
                self._free_slot()
        connection.set_callbacks(self._release, self._on_lost)
        self._all.add(connection)
        if connection.lost:
            self._on_lost(connection)
        return connection

    def _hand_over(self, connection: HttpConnection | None) -> bool:
        while self._queue:
            first = self._queue.popleft()
            if not first.done():
                first.set_result(connection)
                self._measure_pace()
                return True
        return False

    def _measure_pace(self) -> None:
        now = asyncio.get_running_loop().time()
        interval, self._last_turn = now - self._last_turn, now
        self._pace_s += (interval - self._pace_s) * (SMOOTHING if self._pace_s else 1.0)

    def _release(self, connection: HttpConnection) -> None:
        if self._draining:
            connection.abort()
        elif not self._hand_over(connection):
            self._idle.append(connection)

    def _on_lost(self, connection: HttpConnection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_slot()
        if self._all_closed is not None and not self._all and not self._all_closed.done():
            self._all_closed.set_result(None)

    def _free_slot(self) -> None:
        if not self._hand_over(None):
            self._slots -= 1
