"""Events written as an OpenAI Responses stream; headers wait for the first event, so errors keep their status."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from sizewise.errors import SizewiseError
from sizewise.gateway.hosted_search import SearchCalls
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.responses_storage import first_envelope
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import Event, ModelSelected, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Reply
from sizewise.providers.wires.responses.response_object import ResponseEnvelope
from sizewise.providers.wires.responses.stream_out import ResponsesStreamWriter
from sizewise.providers.wires.sse import KEEP_ALIVE_COMMENT

SaveResponse = Callable[[dict[str, Any], ModelSelected | None], Awaitable[dict[str, Any]]]
"""Stores a complete response and returns it as shown to the client."""


class ResponsesStream(ResponseMetadata):
    """One OpenAI Responses stream to a client. Every event is composed, because upstream frames are of another wire."""

    __slots__ = ("_encoder", "_envelope", "_keep_alive", "_model", "_searches", "_trace", "_writer")

    def __init__(
        self,
        writer: ResponseWriter,
        envelope: ResponseEnvelope,
        model: str,
        trace: str,
        *,
        searches: SearchCalls,
    ) -> None:
        """`searches`: what was done before the model was called."""
        super().__init__()
        self._writer = writer
        self._model = model
        self._trace = trace
        self._searches = searches
        self._encoder = ResponsesStreamWriter(envelope)
        self._begin_as(envelope)
        self._keep_alive = KeepAlive(writer, KEEP_ALIVE_COMMENT)

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta):
            if not self._writer.has_started:
                await self._begin()
            data = self._encoder.write(event)
            if data:
                self._keep_alive.has_written = True
                await self._writer.write(data)
        else:
            self.record(event)
            if isinstance(event, ModelSelected):
                self._model = event.model
                self._begin_as(first_envelope(self._envelope, event))

    def _begin_as(self, envelope: ResponseEnvelope) -> None:
        """Before the first event."""
        self._envelope = self._encoder.envelope = envelope
        self._encoder.begin_with(self._searches.items(envelope), self._searches.annotations)

    async def _begin(self) -> None:
        await self._writer.start_stream([*SSE_HEADERS, *self.headers(self._trace)])
        await self._writer.write(self._encoder.start(self._model))
        self._keep_alive.start()

    async def finish(self, reply: Reply, save: SaveResponse) -> None:
        """Ends open items and the response, with its cost; the response is stored before the client can refer to it."""
        if not self._writer.has_started:
            await self._begin()
        await self._writer.write(self._encoder.close_items(reply))
        whole = self._envelope.completed(
            replace(reply, model=self._model), reply.completed_at or int(time.time()), self._encoder.items
        )
        shown = await save(whole, self.selection)
        ours = self.sizewise_object(self._model, self._trace, reply.degraded)
        await self._writer.write(self._encoder.finish(shown | {"sizewise": ours}))
        await self._close()

    async def fail(self, error: SizewiseError) -> None:
        """Writes an error event and response.failed, because the status has already been sent."""
        await self._writer.write(self._encoder.fail(error, self._model))
        await self._close()

    def stop(self) -> None:
        self._keep_alive.stop()

    async def _close(self) -> None:
        self.stop()
        await self._writer.end_stream()
