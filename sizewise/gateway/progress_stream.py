"""An OpenAI chat stream with progress: chunks without choices that say what begins, before any word of the answer."""

from __future__ import annotations

import msgspec

from sizewise.attempt_progress import ProgressUpdate
from sizewise.gateway.openai_stream import OpenAiStream
from sizewise.handler import Event
from sizewise.providers.wires.sse import encode_event


class ProgressStream(OpenAiStream):
    """The status is sent with the first update: from then on, an error is an event."""

    __slots__ = ()

    async def __call__(self, event: Event) -> None:
        if not isinstance(event, ProgressUpdate):
            return await super().__call__(event)
        if not self._writer.has_started:
            await self._begin()
        self._keep_alive.has_written = True
        chunk = self._chunk([]) | {"sizewise": {"progress": event}}
        await self._writer.write(encode_event(msgspec.json.encode(chunk)))
        return None
