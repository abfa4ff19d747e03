"""Events of several prompts written as one stream of text completions; headers wait for the first event."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import msgspec

from sizewise.errors import SizewiseError
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import Event, ModelSelected, Send, TextDelta
from sizewise.messages import Reply
from sizewise.providers.wires.openai.completion_request import TextCompletion
from sizewise.providers.wires.openai.completion_response import ChunkWriter, total_usage
from sizewise.providers.wires.openai.request_response import write_error
from sizewise.providers.wires.sse import DONE_FRAME, KEEP_ALIVE_COMMENT

_encode = msgspec.json.Encoder().encode


class CompletionStream(ResponseMetadata):
    """One stream to a client. `senders`: the `send` of each prompt, in order. Reasoning is not shown: the API has no
    place for it.
    """

    __slots__ = ("_chunks", "_keep_alive", "_trace", "_writer", "asked", "senders")

    def __init__(self, writer: ResponseWriter, asked: TextCompletion, trace: str) -> None:
        super().__init__()
        self._writer = writer
        self.asked = asked
        self._trace = trace
        self._chunks = ChunkWriter(asked, f"cmpl-{trace}", int(time.time()))
        self._keep_alive = KeepAlive(writer, KEEP_ALIVE_COMMENT)
        self.senders: Sequence[Send] = [partial(self._take, number) for number in range(len(asked.prompts))]

    async def _take(self, prompt: int, event: Event) -> None:
        if isinstance(event, TextDelta):
            await self._write(list(self._chunks.text(prompt, event.choice, event.text, event.logprobs)))
        elif not isinstance(event, ModelSelected):
            self.record(event)
        elif self.selection is None:
            self.selection = event
            self._chunks.model = event.model
            if event.first_answer is not None:
                self._chunks.begin_as(f"cmpl-{event.first_answer.id}", event.first_answer.created)

    async def _write(self, frames: Sequence[bytes]) -> None:
        if not self._writer.has_started:
            await self._writer.start_stream([*SSE_HEADERS, *self.headers(self._trace)])
            self._keep_alive.start()
        self._keep_alive.has_written = True
        if frames:
            await self._writer.write(b"".join([b"data: %b\n\n" % frame for frame in frames]))

    async def finish(self, replies: Sequence[Reply]) -> None:
        """Ends all choices, with the usage if that was requested, and the cost in the last chunk."""
        frames = [frame for number in range(len(replies)) for frame in self._chunks.unsent_echo(number)]
        ends = [end for number, reply in enumerate(replies) for end in self._chunks.finish(number, reply.choices)]
        if self.asked.include_usage:
            ends.append(self._chunks.usage(total_usage(replies)))
        degraded = next((reply.degraded for reply in replies if reply.degraded), "")
        if ends:
            ends[-1]["sizewise"] = self.sizewise_object(self._chunks.model, self._trace, degraded)
        await self._write([*frames, *map(_encode, ends)])
        await self._writer.write(DONE_FRAME)
        await self._close()

    async def fail(self, error: SizewiseError) -> None:
        """Writes one error event, because the status has already been sent, then cuts the stream, as chats do."""
        await self._writer.write(b"data: " + write_error(error) + b"\n\n")
        self.stop()
        await self._writer.cut_stream()

    def stop(self) -> None:
        self._keep_alive.stop()

    async def _close(self) -> None:
        self.stop()
        await self._writer.end_stream()
