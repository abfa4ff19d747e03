"""The open connections to one origin: kept, handed out, bounded; knows no requests.

A connection comes back only when its whole response was received. Who waits for one is served in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from sizewise.errors import UpstreamDown, UpstreamSlow
from sizewise.http.connection import Connection
from sizewise.http.dialer import Way, dial
from sizewise.http.write_coalescing import Cork


class Pool:
    """At most `limit` connections, those being opened included; one that is idle for `idle_s` seconds is closed."""

    def __init__(self, way: Way, limit: int, idle_s: float, cork: Cork) -> None:
        self.way = way
        self._cork = cork
        self.limit = limit
        self._idle_s = idle_s
        self._idle: list[Connection] = []  # the freshest last: the rest may grow old and go
        self._all: set[Connection] = set()
        self._slots = 0  # taken: connections, and those being dialled
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._retired = False
        self._emptied: asyncio.Future[None] | None = None

    def take(self) -> Connection | None:
        """An idle connection that stands; None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    async def open(self, within: float) -> Connection:
        """A connection, new or set free by another. UpstreamSlow after `within` seconds; UpstreamDown.

        Nothing was asked yet, so either may be tried again; it is the endpoint's trouble, unless we are the crowd.
        """
        try:
            async with asyncio.timeout(within if within < inf else None):
                connection = self.take()
                if connection is None and self._slots >= self.limit:
                    connection = await self._turn()
                elif connection is None:
                    self._slots += 1
                return connection or await self._dial()
        except UpstreamDown as error:
            error.about = "endpoint"
            raise
        except TimeoutError as why:
            crowd = f"; all {self.limit} are in use" if self._slots >= self.limit else ""
            slow = UpstreamSlow(f"there was no connection to {self.way.name} within {within:.3g} s{crowd}")
            slow.about, slow.again = ("request", False) if crowd else ("endpoint", True)
            raise slow from why

    def drop(self) -> None:
        """Closes what is idle."""
        while self._idle:
            self._idle.pop().abort()

    def retire(self) -> None:
        """Closes what is idle, and every other connection when its exchange is over."""
        self._retired = True
        self.drop()

    async def close(self) -> None:
        """Closes all, also in the middle of a response, and returns when the sockets are closed."""
        self.retire()
        for connection in tuple(self._all):
            connection.abort()
        if self._all:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    async def _turn(self) -> Connection | None:
        """In order: a connection set free, or None for the right to open one."""
        mine: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            return await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # it was given in the moment we left: to the next one
                given = mine.result()
                if given is None:
                    self._vacate()
                else:
                    self._back(given)
            raise

    async def _dial(self) -> Connection:
        """Opens one; its slot is taken already."""
        connection = None
        try:
            connection = await dial(self.way, lambda: Connection(self.way.name, self._idle_s, self._cork))
        finally:
            if connection is None:
                self._vacate()
        connection.settle(self._back, self._lost)
        self._all.add(connection)
        if connection.lost:
            self._lost(connection)
        return connection

    def _next(self, given: Connection | None) -> bool:
        while self._queue:
            first = self._queue.popleft()
            if not first.done():
                first.set_result(given)
                return True
        return False

    def _back(self, connection: Connection) -> None:
        if self._retired:
            connection.abort()
        elif not self._next(connection):
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._vacate()
        if self._emptied is not None and not self._all and not self._emptied.done():
            self._emptied.set_result(None)

    def _vacate(self) -> None:
        if not self._next(None):
            self._slots -= 1
