"""Events written as an Anthropic Messages stream; headers wait for the first event, so errors keep their status."""

from __future__ import annotations

from sizewise.errors import SizewiseError
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.request_context import ResponseMetadata, ResponseWriter
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import Event, ModelSelected, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.anthropic.stream_out import PING, AnthropicStreamWriter, error_event


class AnthropicStream(ResponseMetadata):
    """One Anthropic stream to a client. Every event is composed, because upstream frames are of another wire."""

    __slots__ = ("_encoder", "_keep_alive", "_model", "_trace", "_writer")

    def __init__(self, writer: ResponseWriter, model: str, trace: str) -> None:
        super().__init__()
        self._writer = writer
        self._model = model
        self._trace = trace
        self._encoder = AnthropicStreamWriter(f"msg_{trace}")
        self._keep_alive = KeepAlive(writer, PING)

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta):
            data = self._encoder.write(event)
            if not self._writer.has_started:
                await self._begin()
            if data:
                self._keep_alive.has_written = True
                await self._writer.write(data)
        else:
            self.record(event)
            if isinstance(event, ModelSelected):
                self._model = event.model
                self._encoder.id = f"msg_{self.answer_id(self._trace)}"

    async def _begin(self) -> None:
        await self._writer.start_stream(
            [*SSE_HEADERS, *self.headers(self._trace), (b"request-id", self._trace.encode())],
        )
        await self._writer.write(self._encoder.start(self._model))
        self._keep_alive.start()

    async def finish(self, reply: Reply) -> None:
        """Ends the open block and the message, with usage and cost."""
        if not self._writer.has_started:
            await self._begin()
        await self._writer.write(
            self._encoder.finish(reply, self.sizewise_object(self._model, self._trace, reply.degraded)),
        )
        await self._close()

    async def fail(self, error: SizewiseError) -> None:
        """Writes one error event, then ends without message_stop, because the status has already been sent."""
        await self._writer.write(error_event(error, self._trace))
        await self._close()

    def stop(self) -> None:
        self._keep_alive.stop()

    async def _close(self) -> None:
        self.stop()
        await self._writer.end_stream()
