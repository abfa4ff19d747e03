"""Keep-alive frames in a stream while the model sends nothing; knows no wire format."""

from __future__ import annotations

import asyncio

from sizewise.gateway.response_writer import ResponseWriter

KEEP_ALIVE_S = 15.0


class KeepAlive:
    """Writes `frame`, a complete frame, when nothing was written for KEEP_ALIVE_S seconds, so that proxies keep
    waiting.

    The stream sets `has_written` on each write. Nothing is written before `start` and after `stop`, which may be called
    twice.
    """

    __slots__ = ("_frame", "_timer", "_writer", "_writing", "has_written")

    def __init__(self, writer: ResponseWriter, frame: bytes) -> None:
        self._writer = writer
        self._frame = frame
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None  # a reference, because the event loop holds tasks weakly
        self.has_written = False

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._check)

    def _check(self) -> None:
        if not self.has_written:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        self.has_written = False
        self.start()

    async def _write(self) -> None:
        await self._writer.write(self._frame)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
