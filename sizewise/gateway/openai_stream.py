"""Events written as an OpenAI chat stream; headers wait for the first event, so errors keep their status."""

from __future__ import annotations

import time

import msgspec

from sizewise.errors import SizewiseError
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import ChoiceFinished, Event, ModelSelected, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Reply
from sizewise.providers.wires.openai.request_response import write_error, write_usage
from sizewise.providers.wires.sse import DONE_FRAME, KEEP_ALIVE_COMMENT, encode_event, one_line

SSE_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),  # a proxy that compresses may hold events back
    (b"x-accel-buffering", b"no"),  # nginx buffers answers by default
)

_encode = msgspec.json.Encoder().encode


class OpenAiStream(ResponseMetadata):
    """One OpenAI chat stream to a client.

    An event with the upstream's frame is written as that frame, byte for byte; others are composed here. The finish is
    held until the reply is complete, because it carries the cost.
    """

    __slots__ = ("_chat", "_choices_started", "_finished", "_head", "_keep_alive", "_model", "_trace", "_writer")

    def __init__(self, writer: ResponseWriter, chat: ChatRequest, trace: str) -> None:
        super().__init__()
        self._writer = writer
        self._chat = chat
        self._trace = trace
        self._head: dict[str, object] = {
            "id": f"chatcmpl-{trace}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
        }
        self._model = chat.model
        self._finished: list[ChoiceFinished] = []
        self._choices_started: set[int] = set()  # choices whose role was sent
        self._keep_alive = KeepAlive(writer, KEEP_ALIVE_COMMENT)

    async def __call__(self, event: Event) -> None:
        kind = type(event)
        if kind is TextDelta or kind is ToolDelta or kind is ReasoningDelta or kind is RawDelta:
            frame = event.frame  # type: ignore[union-attr]  # these four kinds have one
            if frame is None:
                frame = self._compose_chunk(event)
            if not frame:
                return
            if not self._writer.has_started:
                await self._begin()
            self._keep_alive.has_written = True
            await self._writer.write(b"data: " + frame + b"\n\n")
        elif kind is ChoiceFinished:
            assert isinstance(event, ChoiceFinished)
            self._finished.append(event)
        else:
            self.record(event)
            if kind is ModelSelected:
                assert isinstance(event, ModelSelected)
                self._model = event.model
                if event.first_answer is not None:
                    self._head["id"] = f"chatcmpl-{event.first_answer.id}"
                    self._head["created"] = event.first_answer.created

    async def _begin(self) -> None:
        await self._writer.start_stream([*SSE_HEADERS, *self.headers(self._trace)])
        self._keep_alive.start()

    def _compose_chunk(self, event: Event) -> bytes:
        """A chunk for `event`; empty for a signature without text, which this wire cannot express."""
        delta: dict[str, object]
        choice, logprobs = 0, None
        if isinstance(event, TextDelta):
            choice, logprobs, delta = event.choice, event.logprobs, {"content": event.text}
        elif isinstance(event, ReasoningDelta):
            if not event.text:
                return b""
            choice, delta = event.choice, {"reasoning_content": event.text}
        elif isinstance(event, ToolDelta):
            start = {"id": event.id, "type": "function"} if event.id else {}
            function = {"name": event.name, "arguments": event.json} if event.name else {"arguments": event.json}
            choice, delta = event.choice, {"tool_calls": [{"index": event.index, **start, "function": function}]}
        else:
            assert isinstance(event, RawDelta)
            choice, delta = event.choice, dict(event.fields)
        if choice not in self._choices_started:
            self._choices_started.add(choice)
            delta = {"role": "assistant", **delta}
        shown = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": None}
        return one_line(_encode(self._chunk([shown])))

    def _chunk(self, choices: list[dict[str, object]]) -> dict[str, object]:
        return {**self._head, "model": self._model, "choices": choices}

    async def finish(self, reply: Reply) -> None:
        """Writes the held finish frames, usage if requested, and the end mark."""
        if not self._writer.has_started:
            await self._begin()
        ours = self.sizewise_object(self._model, self._trace, reply.degraded)
        if own := reply.fields.get("sizewise"):  # fields that a flow adds
            ours = {**msgspec.json.decode(own, type=dict[str, msgspec.Raw]), **ours}
        pieces: list[bytes] = []
        last = len(self._finished) - 1
        for number, event in enumerate(self._finished):
            frame = event.frame
            if frame is None:
                finish = {"index": event.choice, "delta": {}, "logprobs": None, "finish_reason": event.finish_reason}
                frame = _encode(self._chunk([finish]))
            elif not frame:
                continue
            if number == last and not self._chat.include_usage and frame.endswith(b"}"):
                frame = frame[:-1] + b',"sizewise":' + one_line(_encode(ours)) + b"}"
            pieces.append(b"data: " + frame + b"\n\n")
        if self._chat.include_usage:
            tail = self._chunk([])
            if not self._choices_started:  # the chunks before it are the upstream's
                tail |= {"id": reply.id or self._head["id"], "model": reply.model or self._model}
            tail |= {"usage": write_usage(reply.usage), "sizewise": ours}
            pieces.append(encode_event(_encode(tail)))
        pieces.append(DONE_FRAME)
        await self._writer.write(b"".join(pieces))
        await self.close()

    async def fail(self, error: SizewiseError) -> None:
        """Writes one error event, because the status has already been sent, then cuts the stream: clients that do not
        know the event must not take half an answer for a whole one.
        """
        await self._writer.write(encode_event(write_error(error)))
        self.stop()
        await self._writer.cut_stream()

    def stop(self) -> None:
        self._keep_alive.stop()

    async def close(self) -> None:
        self.stop()
        await self._writer.end_stream()
