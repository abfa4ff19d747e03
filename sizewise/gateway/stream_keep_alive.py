"""A sign of life in a stream while the model has no word to say; knows no wire: the sign is given as bytes."""

from __future__ import annotations

import asyncio

from sizewise.gateway.request_context import Out

KEEP_ALIVE_S = 15.0


class KeepAlive:
    """Writes `sign`, a whole frame, where nothing was written for a while, so that no proxy in between gives up.

    Whoever writes sets `spoken`. Nothing is written before `begin` and after `stop`, which may be called twice.
    """

    __slots__ = ("_out", "_sign", "_timer", "_writing", "spoken")

    def __init__(self, out: Out, sign: bytes) -> None:
        self._out = out
        self._sign = sign
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None  # kept, for the event loop holds its tasks weakly
        self.spoken = False

    def begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._look)

    def _look(self) -> None:
        if not self.spoken:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        self.spoken = False
        self.begin()

    async def _write(self) -> None:
        await self._out.write(self._sign)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
