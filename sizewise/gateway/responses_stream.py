"""Our `send` written as a Responses stream; the first word opens the response, so a refusal keeps its status."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from sizewise.errors import SizewiseError
from sizewise.gateway.openai_stream import OPEN
from sizewise.gateway.request_context import Heard, Out
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import Chosen, Event, Extra, Text, Thought, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.responses.response_object import Frame
from sizewise.providers.wires.responses.stream_out import Written
from sizewise.providers.wires.sse import COMMENT

Keep = Callable[[dict[str, Any], Chosen | None], Awaitable[dict[str, Any]]]
"""Keeps a response that is whole; what comes back is shown."""


class ResponseSse(Heard):
    """One stream to one client of the Responses wire. Every event is composed: frames are of another wire."""

    __slots__ = ("_frame", "_life", "_model", "_out", "_trace", "_written")

    def __init__(self, out: Out, frame: Frame, model: str, trace: str) -> None:
        super().__init__()
        self._out = out
        self._frame = frame
        self._model = model
        self._trace = trace
        self._written = Written(frame)
        self._life = KeepAlive(out, COMMENT)

    async def __call__(self, event: Event) -> None:
        if isinstance(event, Text | ToolDelta | Thought | Extra):
            if not self._out.begun:
                await self._begin()
            data = self._written.event(event)
            if data:
                self._life.spoken = True
                await self._out.write(data)
        else:
            self.hear(event)
            if isinstance(event, Chosen):
                self._model = event.model

    async def _begin(self) -> None:
        await self._out.begin([*OPEN, *self.headers(self._trace)])
        await self._out.write(self._written.start(self._model))
        self._life.begin()

    async def finish(self, reply: Reply, keep: Keep) -> None:
        """Ends what is open and the response, which is kept before its client can ask for it; with what it cost."""
        if not self._out.begun:
            await self._begin()
        await self._out.write(self._written.close(reply))
        whole = self._frame.ended(replace(reply, model=self._model), int(time.time()), self._written.items)
        shown = await keep(whole, self.chosen)
        ours = self.told(self._model, self._trace, reply.degraded)
        await self._out.write(self._written.end(shown | {"sizewise": ours}))
        await self._close()

    async def fail(self, error: SizewiseError) -> None:
        """After the first word a failure cannot be unsaid: one error event, and no response.completed."""
        await self._out.write(self._written.fail(error))
        await self._close()

    def stop(self) -> None:
        self._life.stop()

    async def _close(self) -> None:
        self.stop()
        await self._out.end()
