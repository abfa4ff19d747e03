"""Our `send` written as a Messages stream; the first word opens the response, so a refusal keeps its status."""

from __future__ import annotations

from sizewise.errors import SizewiseError
from sizewise.gateway.openai_stream import OPEN
from sizewise.gateway.request_context import Heard, Out
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import Chosen, Event, Extra, Text, Thought, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.anthropic.stream_out import PING, Written, failure


class MessageSse(Heard):
    """One stream to one client of the Messages wire. Every event is composed: frames are of another wire."""

    __slots__ = ("_life", "_model", "_out", "_trace", "_written")

    def __init__(self, out: Out, model: str, trace: str) -> None:
        super().__init__()
        self._out = out
        self._model = model
        self._trace = trace
        self._written = Written(f"msg_{trace}")
        self._life = KeepAlive(out, PING)

    async def __call__(self, event: Event) -> None:
        if isinstance(event, Text | ToolDelta | Thought | Extra):
            data = self._written.event(event)
            if not self._out.begun:
                await self._begin()
            if data:
                self._life.spoken = True
                await self._out.write(data)
        else:
            self.hear(event)
            if isinstance(event, Chosen):
                self._model = event.model

    async def _begin(self) -> None:
        await self._out.begin([*OPEN, *self.headers(self._trace), (b"request-id", self._trace.encode())])
        await self._out.write(self._written.start(self._model))
        self._life.begin()

    async def finish(self, reply: Reply) -> None:
        """Ends the open block and the message, with its tokens and what it cost."""
        if not self._out.begun:
            await self._begin()
        await self._out.write(self._written.finish(reply, self.told(self._model, self._trace, reply.degraded)))
        await self._close()

    async def fail(self, error: SizewiseError) -> None:
        """After the first word a failure cannot be unsaid: one error event, and no message_stop."""
        await self._out.write(failure(error, self._trace))
        await self._close()

    def stop(self) -> None:
        self._life.stop()

    async def _close(self) -> None:
        self.stop()
        await self._out.end()
