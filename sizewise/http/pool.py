"""Connection pool for one origin: bounded, with first-come, first-served waiting; sends no requests.

A connection returns to the pool only after its whole response was received.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from sizewise.errors import UpstreamTimeout, UpstreamUnreachable
from sizewise.http.connection import HttpConnection
from sizewise.http.dialer import DialTarget, dial
from sizewise.http.write_coalescing import WriteCoalescer


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
        """A connection, new or released. Raises UpstreamTimeout after `timeout_s` seconds, and UpstreamUnreachable.

        No request was sent yet, so both can be retried. They count against the endpoint, unless our own pool is full.
        """
        try:
            async with asyncio.timeout(timeout_s if timeout_s < inf else None):
                connection = self.take_idle()
                if connection is None and self._slots >= self.max_connections:
                    connection = await self._wait_turn()
                elif connection is None:
                    self._slots += 1
                return connection or await self._dial()
        except UpstreamUnreachable as error:
            error.failure_scope = "endpoint"
            raise
        except TimeoutError as why:
            full = self._slots >= self.max_connections
            crowd = f"; all {self.max_connections} connections are in use" if full else ""
            slow = UpstreamTimeout(f"no connection to {self.target.name} within {timeout_s:.3g} s{crowd}")
            slow.failure_scope, slow.retryable = ("request", False) if crowd else ("endpoint", True)
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

    async def _wait_turn(self) -> HttpConnection | None:
        """Waits in order for a released connection, or None: the right to open one."""
        mine: asyncio.Future[HttpConnection | None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            return await mine
        except asyncio.CancelledError:
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
                return True
        return False

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
