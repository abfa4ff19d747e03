"""HTTP model: one call to one model over the network in its wire format; no retries, no routing, no records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sizewise.data_class import DataClass
from sizewise.errors import SizewiseError, UpstreamProtocolError
from sizewise.handler import Request, Send
from sizewise.http.client import ClientResponse, HttpEndpoint, HttpHeaders, HttpTimeouts
from sizewise.messages import ChatRequest, Reply, request_size
from sizewise.model_card import ModelCard
from sizewise.offload.offload import LONG_BYTES, Offload
from sizewise.providers.safe_errors import ErrorSanitizer
from sizewise.providers.upstream_body import check_utf8, is_error_object
from sizewise.providers.upstream_error import MAX_ERROR, read_error
from sizewise.providers.wires.sse import BYTE_ORDER_MARK, SseDecoder
from sizewise.providers.wires.wire import StreamReader, TextEndpoint, Wire, no_headers

MAX_REPLY = 32 * 1024 * 1024  # bytes of a response body
COUNTS_NOTHING = frozenset((404, 405, 501))  # statuses of an upstream without the endpoint that counts tokens
FRAMES_AT_ONCE = 64  # frames of a stream between two turns of the event loop; about 10 us each


class HttpModel:
    """Handler for one model card at one endpoint."""

    def __init__(
        self,
        *,
        card: ModelCard,
        endpoint: HttpEndpoint,
        wire: Wire,
        timeouts: HttpTimeouts,
        offload: Offload,
        secrets: tuple[str, ...] = (),
    ) -> None:
        """`secrets`: the credentials in the headers, redacted from error messages."""
        self._offload = offload
        self._card = card
        self._endpoint = endpoint
        self._wire = wire
        self._timeouts = timeouts
        self._sanitize_error = ErrorSanitizer(card.name, secrets)
        self._fixed_header_names = frozenset(name.lower() for name, _ in card.endpoint.headers)
        own = (wire.completions if card.completions else None, wire.decisions if card.decisions else None)
        self._own_endpoints = [wire.moderations] if card.task == "moderate" else [each for each in own if each]
        self._has_no_chat_headers = wire.chat_headers is no_headers  # true of nearly every wire

    async def __call__(self, request: Request, send: Send) -> Reply:
        what, wire = request.payload, self._wire
        spoken: Wire | TextEndpoint = wire
        if isinstance(what, ChatRequest):
            spoken = next((each for each in self._own_endpoints if each is not None and each.takes(what)), spoken)
            path = spoken.chat_path
            if request_size(what) < LONG_BYTES:  # nearly every chat, without the coroutine of `Offload.run`
                body = spoken.write_request(what, self._card.model)
            else:
                body = await self._offload.in_thread(spoken.write_request, what, self._card.model)
            heads: HttpHeaders = () if self._has_no_chat_headers else self._chat_headers(what)
        else:
            path, heads, write = wire.vectors_path(what), (), wire.vectors_writer(what)
            body = await self._offload.run(request_size(what), write, self._card.model)
        response = await self._endpoint.request(
            "POST",
            path,
            body,
            heads,
            purpose="ask",
            data_class=request.options.data_class or "confidential",  # the strictest class if none is set
            max_place=request.reach or "anyone",
            timeouts=self._timeouts,
        )
        try:
            if response.status != 200:
                raise await read_error(response, wire)
            if isinstance(what, ChatRequest) and what.stream:
                return await self._stream(response, spoken.read_stream(not what.include_usage), send)
            read = spoken.read_reply if isinstance(what, ChatRequest) else wire.vectors_reader(what)
            said = await response.read(MAX_REPLY)
            if len(said) < LONG_BYTES:
                return self._read_reply(said, read)
            return await self._offload.in_thread(self._read_reply, said, read)
        except SizewiseError as error:
            self._sanitize_error(error, what, request.trace_id)
            raise
        finally:
            response.close()

    def _read_reply(self, body: bytes, read: Callable[[bytes], Reply]) -> Reply:
        try:
            if not body.isascii():
                check_utf8(body)
                body = body.removeprefix(BYTE_ORDER_MARK)
            return read(body)
        except UpstreamProtocolError:
            if is_error_object(body):  # some providers report errors with status 200
                raise self._wire.read_error(502, None, body) from None
            raise

    def _chat_headers(self, chat: ChatRequest) -> HttpHeaders:
        """Headers of this request; those that the provider's table sets are left out."""
        return [(name, value) for name, value in self._wire.chat_headers(chat) if name not in self._fixed_header_names]

    @property
    def can_count_tokens(self) -> bool:
        """Whether the upstream can count the tokens of a prompt."""
        return bool(self._wire.count_path)

    async def count_tokens(self, chat: ChatRequest, data_class: DataClass) -> int | None:
        """Tokens of the prompt; None if the upstream counts none after all. Under the egress policy; not recorded."""
        body = self._wire.write_counted(chat, self._card.model)
        response = await self._endpoint.request(
            "POST",
            self._wire.count_path,
            body,
            self._chat_headers(chat),
            purpose="count tokens",
            data_class=data_class,
            timeouts=self._timeouts,
        )
        try:
            if response.status in COUNTS_NOTHING:
                return None
            if response.status != 200:
                raise await read_error(response, self._wire)
            return self._wire.read_count(await response.read(MAX_ERROR))
        except SizewiseError as error:
            self._sanitize_error(error, chat, "")
            raise
        finally:
            response.close()

    async def _stream(self, response: ClientResponse, reader: StreamReader, send: Send) -> Reply:
        kind = response.header("content-type") or ""
        if "text/event-stream" not in kind:
            raise UpstreamProtocolError(
                f"the upstream sent a stream with content type {kind[:100]!r}",
                "check `base_url` and `wire` in [providers.NAME]",
            )
        frames = SseDecoder()
        while chunk := await response.read_chunk():
            for number, payload in enumerate(frames.feed(chunk), 1):
                if not number % FRAMES_AT_ONCE:  # an upstream may send thousands at once
                    await asyncio.sleep(0)
                check_utf8(payload)
                for event in reader.read_frame(payload):
                    await send(event)
            if reader.done:
                response.release()
                break
        return reader.reply()
