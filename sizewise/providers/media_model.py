"""Model for audio or images over the network: one call to one model; uploads pass through, and no piece is kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import msgspec

from sizewise.errors import BadRequest, SizewiseError, UpstreamProtocolError
from sizewise.handler import Request, Send
from sizewise.http import multipart
from sizewise.http.client import ClientResponse, HttpEndpoint, HttpTimeouts
from sizewise.messages import MediaRequest, Reply, UploadedFile, Usage
from sizewise.model_card import ModelCard
from sizewise.offload.offload import LONG_BYTES, Offload
from sizewise.providers.http_model import MAX_REPLY
from sizewise.providers.safe_errors import ErrorSanitizer
from sizewise.providers.upstream_body import check_utf8, is_error_object
from sizewise.providers.upstream_error import read_error
from sizewise.providers.wires.sse import SseDecoder
from sizewise.providers.wires.wire import MediaEndpoints, Wire

MAX_IMAGE_REPLY = 128 * 1024 * 1024  # bytes of a body with images in base64
AUDIO_TYPE = re.compile(
    r"(?:audio|video)/[\w.+-]{1,60}(?:;[\w =.+-]{1,60})?|application/(?:octet-stream|ogg)", re.ASCII
)
ERROR_BYTES = 200  # bytes of an event in which the name of an error object is looked for
DEFAULT_AUDIO_TYPE = "application/octet-stream"


class MediaModel:
    """Handler for one model card at one endpoint."""

    def __init__(
        self,
        *,
        card: ModelCard,
        endpoint: HttpEndpoint,
        wire: Wire,
        media: MediaEndpoints,
        timeouts: HttpTimeouts,
        offload: Offload,
        secrets: tuple[str, ...] = (),
    ) -> None:
        """`endpoint`: without a content type. `secrets`: the credentials in the headers, redacted from errors."""
        self._card = card
        self._endpoint = endpoint
        self._wire = wire
        self._media = media
        self._timeouts = timeouts
        self._offload = offload
        self._sanitize_error = ErrorSanitizer(card.name, secrets)

    async def __call__(self, request: Request, send: Send) -> Reply:
        what = request.payload
        if not isinstance(what, MediaRequest):
            raise BadRequest(f"{self._card.name} takes audio or images", "use another model", param="model")
        for file in what.files:
            if file.failure is not None and not file.is_readable:  # it was sent, and cannot be sent again
                raise _copy(file.failure)
        response: ClientResponse | None = None
        try:
            response = await self._send_request(request, what)
            if response.status != 200:
                raise await read_error(response, self._wire)
            kind = (response.header("content-type") or "").strip()
            if "text/event-stream" in kind:
                return await self._read_stream(response, what, send)
            if what.task == "speak":
                return await self._read_audio(response, what, kind, send)
            reply = await self._read_whole(response, what)
            return await self._media.send_reply(what, reply, send) if what.stream else reply
        except SizewiseError as error:
            self._sanitize_error(error, what, request.trace_id)
            for file in what.files:
                file.failure = _copy(error)
            raise
        finally:
            if response is not None:
                response.close()

    async def _send_request(self, request: Request, what: MediaRequest) -> ClientResponse:
        fields = self._media.write_fields(what, self._card.model)
        data_class = request.options.data_class or "confidential"  # the strictest class if none is set
        place = request.reach or "anyone"
        if not what.files:
            body, kind = msgspec.json.encode(fields), ("Content-Type", "application/json")
            return await self._endpoint.request(
                "POST", what.path, body, [kind], purpose="ask", data_class=data_class, max_place=place,
                timeouts=self._timeouts,
            )  # fmt: skip
        boundary = multipart.new_boundary()
        parts = [multipart.field_part(boundary, *pair) for pair in self._media.form_fields(fields)]
        heads = [multipart.file_head(boundary, file.field, file.filename, file.content_type) for file in what.files]
        end = multipart.form_end(boundary)
        sizes = [file.size for file in what.files]
        length = None
        if None not in sizes:
            length = sum(map(len, (*parts, *heads, end))) + sum(size + 2 for size in sizes if size is not None)
        kind = "Content-Type", f"multipart/form-data; boundary={boundary}"
        return await self._endpoint.upload(
            what.path, _form(parts, heads, what.files, end), length, [kind],
            purpose="ask", data_class=data_class, max_place=place, timeouts=self._timeouts,
        )  # fmt: skip

    async def _read_whole(self, response: ClientResponse, what: MediaRequest) -> Reply:
        body = await response.read(MAX_IMAGE_REPLY if what.task == "image" else MAX_REPLY)
        if len(body) < LONG_BYTES:
            return self._read_reply(what, body)
        return await self._offload.in_thread(self._read_reply, what, body)

    def _read_reply(self, what: MediaRequest, body: bytes) -> Reply:
        try:
            if not body.isascii():
                check_utf8(body)
            return self._media.read_reply(what, body)
        except UpstreamProtocolError:
            if is_error_object(body):  # some providers report errors with status 200
                raise self._wire.read_error(502, None, body) from None
            raise

    async def _read_audio(self, response: ClientResponse, what: MediaRequest, kind: str, send: Send) -> Reply:
        if kind and not AUDIO_TYPE.fullmatch(kind):
            raise UpstreamProtocolError(
                f"the upstream answered with {kind[:100]!r}, not with audio",
                "check `base_url` in [providers.NAME], and `response_format`",
            )
        kind = kind or DEFAULT_AUDIO_TYPE
        while chunk := await response.read_chunk():
            await send(self._media.audio_delta(chunk, kind))
            kind = ""
        if kind:
            raise UpstreamProtocolError("the upstream answered without any audio", "try again, or use another model")
        return Reply((), Usage(units=what.units))

    async def _read_stream(self, response: ClientResponse, what: MediaRequest, send: Send) -> Reply:
        frames, reader = SseDecoder(), self._media.read_stream(what)
        while chunk := await response.read_chunk():
            for payload in frames.feed(chunk):
                check_utf8(payload)
                if b'"error"' in payload[:ERROR_BYTES] and is_error_object(payload):
                    raise self._wire.read_error(502, None, payload)
                for event in reader.read_frame(payload):
                    await send(event)
            await asyncio.sleep(0)
            if reader.done:
                response.release()
                break
        return reader.reply()


def _copy(error: SizewiseError) -> SizewiseError:
    return type(error)(error.message, error.hint, param=error.param, retry_after=error.retry_after, status=error.status)


async def _form(
    parts: list[bytes], heads: list[bytes], files: tuple[UploadedFile, ...], end: bytes
) -> AsyncIterator[bytes]:
    yield b"".join(parts)
    for head, file in zip(heads, files, strict=True):
        yield head
        async for piece in file.read():
            yield piece
        yield multipart.CRLF
    yield end
