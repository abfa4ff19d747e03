"""Speaks a wire to one model over a network, once: no retries (route.py's), no choice, no books."""

from __future__ import annotations

from sizewise.answer import Ask, Send
from sizewise.cards import Card
from sizewise.chat import Chat, Reply
from sizewise.client import Endpoint, Response, Timeouts
from sizewise.errors import SizewiseError, UpstreamGarbled
from sizewise.providers.wires.sse import Frames
from sizewise.providers.wires.wire import Wire

MAX_REPLY = 32 * 1024 * 1024  # bytes of a whole reply
MAX_ERROR = 64 * 1024  # bytes of an error's body that are read


class HttpModel:
    """An Answerer: this card, at this endpoint, in this wire."""

    def __init__(self, card: Card, endpoint: Endpoint, wire: Wire, timeouts: Timeouts) -> None:
        self._card = card
        self._endpoint = endpoint
        self._wire = wire
        self._timeouts = timeouts

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        what = ask.what
        if isinstance(what, Chat):
            body, path = self._wire.write_request(what, self._card.model), self._wire.chat_path
        else:
            body, path = self._wire.write_embed(what, self._card.model), self._wire.embed_path
        response = await self._endpoint.request(
            "POST",
            path,
            body,
            why="ask",
            data_class=ask.wishes.data_class or "confidential",  # unsaid is the strictest
            timeouts=self._timeouts,
        )
        try:
            if response.status != 200:
                raise await self._refusal(response)
            if isinstance(what, Chat) and what.stream:
                return await self._stream(response, what, send)
            whole = await response.read(MAX_REPLY)
            return self._wire.read_reply(whole) if isinstance(what, Chat) else self._wire.read_vectors(whole)
        finally:
            response.close()

    async def _refusal(self, response: Response) -> SizewiseError:
        try:
            body = await response.read(MAX_ERROR)
        except UpstreamGarbled:  # too long or cut: its status still tells
            body = b""
        return self._wire.read_error(response.status, response.get("retry-after"), body)

    async def _stream(self, response: Response, chat: Chat, send: Send) -> Reply:
        kind = response.get("content-type") or ""
        if "text/event-stream" not in kind:
            raise UpstreamGarbled(
                f"the upstream answered a stream with content type {kind[:100]!r}", "check its base_url and wire"
            )
        frames = Frames()
        reader = self._wire.read_stream(not chat.include_usage)
        while chunk := await response.chunk():
            for payload in frames.feed(chunk):
                for event in reader.frame(payload):
                    await send(event)
            if reader.done:
                response.finish()
                break
        return reader.reply()
