"""A number of questions as fast as they are answered, beside a number of streams that stay open; counts both.

Some of the streams' clients leave in the middle, as people do. Knows no gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from time import perf_counter

from bench.gateway.connection import Connection, Heard, OnAnswer
from bench.gateway.exchange import ROUTE, STREAMS, Kind, question

LEAVES = 10
"""Of so many streams, one is left in the middle."""
AT_ONCE = 50
"""Connections opened at the same time, fewer than any backlog."""
LAST_ANSWERS_S = 60.0


@dataclass(slots=True)
class Sums:
    """Seconds from asking: to the end of a plain answer, to the first word of a stream."""

    plain_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    streams: int = 0
    left: int = 0
    open_most: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return len(self.plain_s) + self.streams + self.left + len(self.wrong)


class Soak:
    """One run against one port of 127.0.0.1."""

    def __init__(
        self,
        port: int,
        model: str,
        headers: list[str],
        requests: int,
        streams: int,
        connections: int,
    ) -> None:
        self._port = port
        self._asked: dict[Kind, tuple[bytes, int]] = {
            kind: _request(port, kind, model, headers) for kind in ("plain", "leisurely")
        }
        self._to_ask = requests
        self._streams, self._connections = streams, connections
        self._open = self._out = 0
        self._quiet = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: set[Connection] = set()
        self._begun = 0
        self.sums = Sums()

    @property
    def over(self) -> bool:
        return self._to_ask <= 0 or len(self.sums.wrong) > 1_000

    async def run(self) -> None:
        """Streams first, until all are open; they are renewed for as long as there are questions left."""
        for begun in range(0, self._streams, AT_ONCE):
            await asyncio.gather(*(self._stream() for _ in range(min(AT_ONCE, self._streams - begun))))
        await asyncio.gather(*(self._plain() for _ in range(self._connections)))
        try:
            async with asyncio.timeout(None) as clock:
                while not (self.over and self._out == 0):
                    if self.over and clock.when() is None:
                        clock.reschedule(asyncio.get_running_loop().time() + LAST_ANSWERS_S)
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            self.sums.wrong += [f"no answer {LAST_ANSWERS_S:.0f} s after the end"] * self._out

    async def _plain(self) -> None:
        connection = await self._connect(self._plain_told)
        if connection is not None and not self.over:
            self._ask(connection, "plain")

    def _plain_told(self, connection: Connection, heard: Heard) -> None:
        self._back(heard.wrong)
        if not heard.wrong:
            self.sums.plain_s.append(heard.last_s)
        if self.over:
            connection.close()
        elif connection.open:
            self._ask(connection, "plain")
        else:
            self._later(self._plain())

    async def _stream(self) -> None:
        connection = await self._connect(self._stream_told)
        if connection is None:
            return
        self._begun += 1
        self._open += 1
        self.sums.open_most = max(self.sums.open_most, self._open)
        self._ask(connection, "leisurely")
        if self._begun % LEAVES == 0:
            self._later(self._leave(connection))

    async def _leave(self, connection: Connection) -> None:
        await asyncio.sleep(2.0)  # a word or four
        if connection.heard is not None:
            self._left.add(connection)
            connection.close()

    def _stream_told(self, connection: Connection, heard: Heard) -> None:
        self._open -= 1
        if connection in self._left:
            self._left.discard(connection)
            self.sums.left += 1
            self._back("")
        else:
            self._back(heard.wrong)
            self.sums.streams += not heard.wrong
        if heard.first_s:
            self.sums.first_s.append(heard.first_s)
        connection.close()
        if not self.over:
            self._later(self._stream())

    def _ask(self, connection: Connection, kind: Kind) -> None:
        request, marks = self._asked[kind]
        self._to_ask -= kind == "plain"
        self._out += 1
        connection.ask(request, marks, kind in STREAMS, perf_counter())

    def _back(self, wrong: str) -> None:
        self._out -= 1
        if wrong:
            self.sums.wrong.append(wrong)
        if self.over:
            self._quiet.set()

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, on_answer: OnAnswer) -> Connection | None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(on_answer), "127.0.0.1", self._port)
        except OSError as error:
            self.sums.wrong.append(f"no connection: {error}")
            return None
        return connection


def _request(port: int, kind: Kind, model: str, headers: list[str]) -> tuple[bytes, int]:
    asked = question(kind, model)
    head = [f"POST {ROUTE} HTTP/1.1", f"host: 127.0.0.1:{port}", "content-type: application/json", *headers]
    head.append(f"content-length: {len(asked.body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + asked.body, asked.marks
