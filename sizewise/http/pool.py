"""Connection pool for one origin: bounded, with first-come, first-served waiting; sends no requests.

A connection comes back only when its whole response was received. Who waits for one is served in order.
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
    """At most `max_connections` connections, those being opened included; one that is idle for `idle_timeout_s`
    seconds is closed."""

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
        self._idle: list[HttpConnection] = []  # the freshest last: the rest may grow old and go
        self._all: set[HttpConnection] = set()
        self._slots = 0  # taken: connections, and those being dialled
        self._queue: deque[asyncio.Future[HttpConnection | None]] = deque()
        self._draining = False
        self._all_closed: asyncio.Future[None] | None = None

    def take_idle(self) -> HttpConnection | None:
        """An idle connection that stands; None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    async def acquire(self, timeout_s: float) -> HttpConnection:
        """A connection, new or set free by another. UpstreamSlow after `timeout_s` seconds; UpstreamUnreachable.

        Nothing was asked yet, so either may be tried again; it is the endpoint's trouble, unless we are the crowd.
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
            crowd = f"; all {self.max_connections} are in use" if self._slots >= self.max_connections else ""
            slow = UpstreamTimeout(f"there was no connection to {self.target.name} within {timeout_s:.3g} s{crowd}")
            slow.failure_scope, slow.retryable = ("request", False) if crowd else ("endpoint", True)
            raise slow from why

    def close_idle(self) -> None:
        """Closes what is idle."""
        while self._idle:
            self._idle.pop().abort()

    def drain(self) -> None:
        """Closes what is idle, and every other connection when its exchange is over."""
        self._draining = True
        self.close_idle()

    async def close(self) -> None:
        """Closes all, also in the middle of a response, and returns when the sockets are closed."""
        self.drain()
        for connection in tuple(self._all):
            connection.abort()
        if self._all:
            self._all_closed = asyncio.get_running_loop().create_future()
            await self._all_closed

    async def _wait_turn(self) -> HttpConnection | None:
        """In order: a connection set free, or None for the right to open one."""
        mine: asyncio.Future[HttpConnection | None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            return await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # it was given in the moment we left: to the next one
                given = mine.result()
                if given is None:
                    self._free_slot()
                else:
                    self._release(given)
            raise

    async def _dial(self) -> HttpConnection:
        """Opens one; its slot is taken already."""
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
