"""Events written as an Anthropic Messages stream; headers wait for the first event, so errors keep their status."""

from __future__ import annotations

from sizewise.errors import SizewiseError
from sizewise.gateway.messages_search import MessagesSearch
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import Event, ModelSelected, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.anthropic.stream_out import (
    PING,
    AnthropicStreamWriter,
    block_events,
    citation_events,
    error_event,
)


class AnthropicStream(ResponseMetadata):
    """One Anthropic stream to a client. Every event is composed, because upstream frames are of another wire."""

    __slots__ = ("_answer_id", "_encoder", "_keep_alive", "_model", "_search", "_trace", "_uncited", "_writer")

    def __init__(self, writer: ResponseWriter, model: str, trace: str, search: MessagesSearch | None = None) -> None:
        """`search`: what was done before the model was called."""
        super().__init__()
        self._search = search
        self._uncited: list[str] = []  # text whose citations are still to be written
        self._answer_id = trace
        self._writer = writer
        self._model = model
        self._trace = trace
        self._encoder = AnthropicStreamWriter(f"msg_{trace}")
        self._keep_alive = KeepAlive(writer, PING)

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta):
            if self._search is None:
                data = self._encoder.write(event)
                if not self._writer.has_started:
                    await self._begin()
            else:
                if not self._writer.has_started:
                    await self._begin()
                data = self._write_searched(event)
            if data:
                self._keep_alive.has_written = True
                await self._writer.write(data)
        else:
            self.record(event)
            if isinstance(event, ModelSelected):
                self._model = event.model
                self._answer_id = self.answer_id(self._trace)
                self._encoder.id = f"msg_{self._answer_id}"

    async def _begin(self) -> None:
        await self._writer.start_stream(
            [*SSE_HEADERS, *self.headers(self._trace), (b"request-id", self._trace.encode())],
        )
        started = self._encoder.start(self._model)
        if self._search is not None:
            started += b"".join(map(self._encoder.write, block_events(self._search.blocks(self._answer_id))))
        await self._writer.write(started)
        self._keep_alive.start()

    def _write_searched(self, event: Event) -> bytes:
        """With the citations of a text, once it is complete."""
        if isinstance(event, TextDelta):
            self._uncited.append(event.text)
            return self._encoder.write(event)
        return self._write_citations() + self._encoder.write(event)

    def _write_citations(self) -> bytes:
        if self._search is None or not self._uncited:
            return b""
        text = "".join(self._uncited)
        self._uncited = []
        return b"".join(map(self._encoder.write, citation_events(self._search.citations(text))))

    async def finish(self, reply: Reply) -> None:
        """Ends the open block and the message, with usage and cost."""
        if not self._writer.has_started:
            await self._begin()
        cited = self._write_citations()
        ours = self.sizewise_object(self._model, self._trace, reply.degraded)
        tools = None if self._search is None else self._search.usage
        await self._writer.write(cited + self._encoder.finish(reply, ours, tools))
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
