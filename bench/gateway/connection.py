"""One keep-alive connection that asks one question at a time and checks its answer; knows nothing of rates or sums."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import httptools

from bench.gateway.exchange import MARK

_KEPT = len(MARK) - 1
_DONE = b"[DONE]"


@dataclass(slots=True)
class Heard:
    """What came back. `first_s` and `last_s` are seconds from asking to the first mark and to the end."""

    first_s: float = 0.0
    last_s: float = 0.0
    marks: int = 0
    wrong: str = ""


class Connection(asyncio.Protocol):
    """Tells `on_answer(connection, heard)` once for every `ask`, also when the peer hangs up in between."""

    def __init__(self, on_answer: OnAnswer) -> None:
        self.on_answer = on_answer
        self.parser = httptools.HttpResponseParser(self)
        self.heard: Heard | None = None
        self.tail = b""
        self.transport: asyncio.Transport | None = None

    def ask(self, request: bytes, marks: int, streams: bool, since: float) -> None:
        """Sends one request and expects `marks` marks back; `since` (perf_counter seconds) starts its clock.

        The connection must be open and idle: `on_answer` came for every question before.
        """
        assert self.transport is not None and self.heard is None
        self.heard = Heard()
        self.expected, self.streams, self.since = marks, streams, since
        self.transport.write(request)

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(f"connection closed ({exc!r})")

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._tell(f"not HTTP: {error}")
            self.close()

    def on_body(self, part: bytes) -> None:
        heard = self.heard
        if heard is None:
            return
        # A mark may be cut in two; the tail kept is one byte shorter than a mark, so none is counted twice.
        text = self.tail + part
        marks = text.count(MARK)
        if marks and not heard.marks:
            heard.first_s = perf_counter() - self.since
        heard.marks += marks
        self.tail = text[-_KEPT:]

    def on_message_complete(self) -> None:
        status, heard = self.parser.get_status_code(), self.heard
        if not self.parser.should_keep_alive():
            self.close()
        if status < 200:
            return
        if status != 200:
            self._tell(f"status {status}")
        elif heard is not None and heard.marks != self.expected:
            self._tell(f"{heard.marks} marks instead of {self.expected}")
        elif self.streams and _DONE not in self.tail:
            self._tell(f"no [DONE] at the end, but {self.tail!r}")
        else:
            self._tell("")

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _tell(self, wrong: str) -> None:
        heard, self.heard, self.tail = self.heard, None, b""
        if heard is not None:
            heard.last_s = perf_counter() - self.since
            heard.wrong = wrong
            self.on_answer(self, heard)


OnAnswer = Callable[[Connection, Heard], None]
