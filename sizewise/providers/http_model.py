"""Speaks a wire to one model over a network, once: no retries (route.py's), no choice, no books."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Raw, Struct

from sizewise.data_class import DataClass
from sizewise.errors import SizewiseError, UpstreamGarbled
from sizewise.handler import Ask, Send
from sizewise.http.client import Endpoint, Headers, Response, Timeouts
from sizewise.messages import Chat, Reply
from sizewise.model_card import Card
from sizewise.providers.wires.sse import Frames
from sizewise.providers.wires.wire import Wire, nothing

MAX_REPLY = 32 * 1024 * 1024  # bytes of a whole reply
MAX_ERROR = 64 * 1024  # bytes of an error's body that are read


class HttpModel:
    """An Answerer: this card, at this endpoint, in this wire."""

    def __init__(
        self, card: Card, endpoint: Endpoint, wire: Wire, timeouts: Timeouts, secrets: tuple[str, ...] = ()
    ) -> None:
        """`secrets`: what it sends in its headers and nobody else may read."""
        self._card = card
        self._endpoint = endpoint
        self._wire = wire
        self._timeouts = timeouts
        self._secrets = secrets
        self._pinned = frozenset(name.lower() for name, _ in card.endpoint.headers)
        self._headless = wire.heads is nothing  # nearly every wire

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        what, wire = ask.what, self._wire
        if isinstance(what, Chat):
            body, path = wire.write_request(what, self._card.model), wire.chat_path
            heads: Headers = () if self._headless else self._heads(what)
        else:
            body, path, heads = wire.write_embed(what, self._card.model), wire.embed_path, ()
        response = await self._endpoint.request(
            "POST",
            path,
            body,
            heads,
            why="ask",
            data_class=ask.wishes.data_class or "confidential",  # unsaid is the strictest
            limit=ask.reach or "anyone",
            timeouts=self._timeouts,
        )
        try:
            if response.status != 200:
                raise await self._refusal(response)
            if isinstance(what, Chat):
                if what.stream:
                    return await self._stream(response, what, send)
                return self._whole(await response.read(MAX_REPLY), wire.read_reply)
            return self._whole(await response.read(MAX_REPLY), wire.read_vectors)
        except SizewiseError as error:
            self._hush(error)
            raise
        finally:
            response.close()

    def _whole(self, body: bytes, read: Callable[[bytes], Reply]) -> Reply:
        try:
            if not body.isascii():
                readable(body)
            return read(body)
        except UpstreamGarbled:
            if failed(body):  # some fail with status 200
                raise self._wire.read_error(502, None, body) from None
            raise

    def _hush(self, error: SizewiseError) -> None:
        """Whoever refuses may repeat what it was sent: our secrets are struck out of its words."""
        for secret in self._secrets:
            if secret in error.message:
                error.message = error.message.replace(secret, "***")
                error.args = (error.message,)

    def _heads(self, chat: Chat) -> Headers:
        """This request's own headers; one that the provider's table names stays as it is there."""
        return [(name, value) for name, value in self._wire.heads(chat) if name not in self._pinned]

    @property
    def counts(self) -> bool:
        """Whether its upstream tells how many tokens a prompt has."""
        return bool(self._wire.count_path)

    async def count(self, chat: Chat, data_class: DataClass) -> int:
        """Tokens of the prompt, as the upstream counts them; asked for by the same way out, and not booked."""
        body = self._wire.write_request(chat, self._card.model)
        response = await self._endpoint.request(
            "POST",
            self._wire.count_path,
            body,
            self._heads(chat),
            why="count tokens",
            data_class=data_class,
            timeouts=self._timeouts,
        )
        try:
            if response.status != 200:
                raise await self._refusal(response)
            return self._wire.read_count(await response.read(MAX_ERROR))
        except SizewiseError as error:
            self._hush(error)
            raise
        finally:
            response.close()

    async def _refusal(self, response: Response) -> SizewiseError:
        try:
            body = await response.read(MAX_ERROR)
        except UpstreamGarbled:  # too long or cut: its status still tells
            body = b""
        body = body.decode(errors="replace").encode()
        wait = seconds(response.get("retry-after"), response.get("date"))
        return self._wire.read_error(response.status, wait, body)

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
                readable(payload)
                for event in reader.frame(payload):
                    await send(event)
            if reader.done:
                response.finish()
                break
        return reader.reply()


def readable(body: bytes) -> None:
    """Decoders skip what they do not look at, and a client would be the first to stumble over it."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise UpstreamGarbled("the upstream's answer is no UTF-8", "check what answers at its base_url") from error


class Failed(Struct):
    error: dict[str, Raw] | str


def failed(body: bytes) -> bool:
    """Whether this is an error object, whatever its status said."""
    try:
        msgspec.json.decode(body, type=Failed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def seconds(retry_after: str | None, date: str | None) -> str | None:
    """Retry-After as whole seconds, where it is a date too: by the clock of who said it (its `Date`), else by ours."""
    if retry_after is None or retry_after.strip().isdigit():
        return retry_after
    until, now = _instant(retry_after), _instant(date or "")
    if until is None:
        return None
    return str(max(0, math.ceil(until - (time.time() if now is None else now))))


def _instant(text: str) -> float | None:
    """Unix seconds of an HTTP date; None where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
