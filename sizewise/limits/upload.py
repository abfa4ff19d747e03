"""Limits of an upload while it arrives: its size and rate, and the memory of what is held of it; parses no form."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Self

from msgspec import Struct

from sizewise.errors import SizewiseError
from sizewise.limits.request_body import (
    BodyMemory,
    Receive,
    least_bytes,
    memory_full,
    rate_interval_s,
    too_slow,
)
from sizewise.settings.server import ServerSettings


class UploadLimit(Struct, frozen=True):
    """`error`: what a larger upload is refused with."""

    max_bytes: int
    error: SizewiseError


class Upload:
    """One body, piece by piece, from ASGI's `receive`. Use: `with Upload(...) as upload:`, around the request.

    The client's time counts only while a piece is waited for: a slow upstream does not make it slow.
    """

    def __init__(
        self,
        receive: Receive,
        memory: BodyMemory,
        limits: ServerSettings,
        *,
        size: UploadLimit,
        declared_bytes: int,
    ) -> None:
        """`declared_bytes`: by Content-Length; 0: not declared."""
        self.declared_bytes = declared_bytes
        self.most_bytes = declared_bytes or size.max_bytes
        self.limits = limits
        self._limit = size
        self._receive = receive
        self._memory = memory
        self._held = 0
        self._size = 0
        self._over = asyncio.Event()  # the body has ended, or the client has left
        self._has_left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.release(self._held)
        self._held = 0

    def hold(self, count: int) -> None:
        """Counts bytes that the request keeps. Raises Busy."""
        if not self._memory.reserve(count, self.limits):
            raise memory_full(self.limits)
        self._held += count

    async def next_piece(self) -> bytes:
        """The next bytes; b"" at the end. Cancels the task if the client leaves. Raises BodyTooLarge, BodyTooSlow."""
        least, interval_s = least_bytes(self.limits), rate_interval_s(self.limits)
        loop = asyncio.get_running_loop()
        waited, pieces, count = 0.0, list[bytes](), 0
        while not self._over.is_set():
            begun = loop.time()
            message = await self._next(interval_s - waited)
            waited += loop.time() - begun
            if message["type"] == "http.disconnect":
                self._has_left = True
                self._over.set()
                raise asyncio.CancelledError
            piece: bytes = message.get("body", b"")
            pieces.append(piece)
            count += len(piece)
            self._size += len(piece)
            if self._size > self._limit.max_bytes:
                raise self._limit.error
            if not message.get("more_body"):
                self._over.set()
            elif count and count >= least:
                break
        return b"".join(pieces)

    async def _next(self, timeout_s: float) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                return await self._receive()
        except TimeoutError as error:
            raise too_slow(self.limits) from error

    @property
    def is_complete(self) -> bool:
        return self._over.is_set()

    @property
    def after_body(self) -> Receive:
        """ASGI's `receive` for what comes after the body."""
        return self._receive_after

    async def _receive_after(self) -> MutableMapping[str, Any]:
        await self._over.wait()
        return {"type": "http.disconnect"} if self._has_left else await self._receive()
