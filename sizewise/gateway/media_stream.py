"""Events written as a stream of audio, or of OpenAI's events for transcripts and images; headers wait for the first."""

from __future__ import annotations

from base64 import b64decode

import msgspec
from msgspec import Raw

from sizewise.app.application import Application
from sizewise.errors import SizewiseError
from sizewise.gateway.error_response import send_error
from sizewise.gateway.openai_stream import SSE_HEADERS
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import Headers, ResponseWriter, header_value
from sizewise.gateway.stream_keep_alive import KeepAlive
from sizewise.handler import Event, RawDelta, RequestOptions, TextDelta
from sizewise.messages import MediaRequest, Reply, reply_size
from sizewise.providers.wires.openai.media_reply import (
    AUDIO,
    CONTENT_TYPE,
    EVENT,
    last_transcript_event,
    transcript_delta,
    write_reply,
)
from sizewise.providers.wires.openai.request_response import write_error
from sizewise.providers.wires.sse import KEEP_ALIVE_COMMENT, encode_event


class EventKind(msgspec.Struct):
    type: str = ""


async def answer(
    app: Application,
    head: RequestHead,
    what: MediaRequest,
    options: RequestOptions,
    endpoint: str,
    writer: ResponseWriter,
) -> None:
    """Runs a request for audio or images, whose caller is authorized, and writes its answer, whole or as a stream."""
    request = head.request(what, options, endpoint)
    stream = MediaStream(writer, what, request.trace_id)
    try:
        reply = await app.handler(request, stream)
        if what.stream:
            return await stream.finish(reply)
    except SizewiseError as error:
        if writer.has_started:
            return await stream.fail(error)
        return await send_error(writer, error, stream.final_headers(request.trace_id))
    finally:
        stream.stop()
    kind, body = await app.resources.offload.run(
        0 if reply.body is not None else reply_size(reply), write_reply, what, reply
    )
    headers = [(b"content-type", header_value(kind)), *stream.final_headers(request.trace_id)]
    await writer.send_response(200, headers, body)


class MediaStream(ResponseMetadata):
    """One stream to a client. The first event decides whether it is audio or server-sent events."""

    __slots__ = ("_is_audio", "_is_unchanged", "_keep_alive", "_text", "_trace", "_what", "_writer")

    def __init__(self, writer: ResponseWriter, what: MediaRequest, trace: str) -> None:
        super().__init__()
        self._writer = writer
        self._what = what
        self._trace = trace
        self._is_audio = False
        self._is_unchanged = True  # every piece of text is the upstream's
        self._text: list[str] = []
        self._keep_alive = KeepAlive(writer, KEEP_ALIVE_COMMENT)

    async def __call__(self, event: Event) -> None:
        if isinstance(event, RawDelta):
            if AUDIO in event.fields:
                await self._write_audio(event)
            elif EVENT in event.fields:
                await self._write_event(bytes(event.fields[EVENT]))
        elif isinstance(event, TextDelta):
            if self._what.stream:
                self._text.append(event.text)
                self._is_unchanged = self._is_unchanged and event.frame is not None
                await self._write_event(event.frame or transcript_delta(event.text))
        else:
            self.record(event)

    async def _write_audio(self, event: RawDelta) -> None:
        if not self._writer.has_started:
            self._is_audio = True
            kind = msgspec.json.decode(event.fields.get(CONTENT_TYPE, Raw(b'"application/octet-stream"')), type=str)
            await self._begin([(b"content-type", header_value(kind)), (b"x-accel-buffering", b"no")])
        await self._writer.write(b64decode(bytes(event.fields[AUDIO])[1:-1]))

    async def _write_event(self, payload: bytes) -> None:
        if not self._writer.has_started:
            await self._begin([*SSE_HEADERS])
            self._keep_alive.start()
        self._keep_alive.has_written = True
        await self._writer.write(encode_event(payload, msgspec.json.decode(payload, type=EventKind).type))

    async def _begin(self, headers: Headers) -> None:
        await self._writer.start_stream([*headers, *self.headers(self._trace)])

    async def finish(self, reply: Reply) -> None:
        if self._what.task == "transcribe":
            text = "".join(self._text)
            await self._write_event(last_transcript_event(reply, text, is_unchanged=self._is_unchanged))
        self.stop()
        await self._writer.end_stream()

    async def fail(self, error: SizewiseError) -> None:
        """One error event, which audio has no room for, then cuts the stream: no client takes a part for the whole."""
        self.stop()
        if not self._is_audio:
            await self._writer.write(encode_event(write_error(error), "error"))
        await self._writer.cut_stream()

    def stop(self) -> None:
        self._keep_alive.stop()
