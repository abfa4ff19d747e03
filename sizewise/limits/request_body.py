"""Limits of a request body while it arrives: its size, time and rate, and the memory of all bodies; parses none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Self

from sizewise.errors import BodyTooLarge, BodyTooSlow, Busy, SizewiseError
from sizewise.settings.server import ServerSettings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""ASGI's `receive`."""

RATE_INTERVAL_S = 5.0
"""How often the rate of an incomplete body is looked at: a pause of the network is no slow client."""
RETRY_AFTER_S = 1


class BodyMemory:
    """Bytes of request bodies held over all connections, until their requests end.

    A body that arrives whole in its first piece is not counted: it is small, and its request is running.
    """

    def __init__(self) -> None:
        self.held = 0

    def reserve(self, count: int, limits: ServerSettings) -> bool:
        """Whether `count` more bytes may be held. One body of the maximum size always may."""
        if self.held + count > max(limits.max_total_body_bytes, limits.max_body_bytes):
            return False
        self.held += count
        return True

    def release(self, count: int) -> None:
        self.held -= count


class BodyReader:
    """Reads one body from ASGI's `receive`. Use: `with BodyReader(memory, limits) as reader:`, around the request."""

    def __init__(self, memory: BodyMemory, limits: ServerSettings) -> None:
        self._memory = memory
        self._limits = limits
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.release(self._held)
        self._held = 0

    async def read(self, receive: Receive) -> bytes | None:
        """The whole body; None if the client leaves before its end. Raises BodyTooLarge, BodyTooSlow, Busy."""
        message = await self._next(receive, self._limits.body_timeout_s)
        if not message.get("more_body"):
            return self._checked(message)
        loop = asyncio.get_running_loop()
        begun = looked = loop.time()
        pieces: list[bytes] = []
        size = seen = 0
        interval_s, least = rate_interval_s(self._limits), least_bytes(self._limits)
        while True:
            piece = self._checked(message)
            if piece is None:
                return None
            pieces.append(piece)
            size += len(piece)
            if size > self._limits.max_body_bytes:
                raise too_large(self._limits)
            self._reserve(len(piece))
            if not message.get("more_body"):
                return b"".join(pieces)
            now = loop.time()
            if size - seen >= least:
                looked, seen = now, size
            left_s, rate_left_s = self._limits.body_timeout_s - (now - begun), interval_s - (now - looked)
            message = await self._next(receive, min(left_s, rate_left_s), slow=rate_left_s < left_s)

    def _checked(self, message: MutableMapping[str, Any]) -> bytes | None:
        if message["type"] == "http.disconnect":
            return None
        piece: bytes = message.get("body", b"")
        if len(piece) > self._limits.max_body_bytes:
            raise too_large(self._limits)
        return piece

    def _reserve(self, count: int) -> None:
        if not self._memory.reserve(count, self._limits):
            raise memory_full(self._limits)
        self._held += count

    async def _next(self, receive: Receive, timeout_s: float, *, slow: bool = False) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(timeout_s):
                return await receive()
        except TimeoutError as error:
            raise (too_slow(self._limits) if slow else too_late(self._limits)) from error


def rate_interval_s(limits: ServerSettings) -> float:
    """Seconds in which `least_bytes` must arrive."""
    if not limits.min_body_bytes_per_s:
        return limits.body_timeout_s
    return min(RATE_INTERVAL_S, limits.body_timeout_s / 4)


def least_bytes(limits: ServerSettings) -> float:
    return rate_interval_s(limits) * limits.min_body_bytes_per_s


def too_large(limits: ServerSettings) -> SizewiseError:
    return BodyTooLarge(
        f"the body is larger than {limits.max_body_bytes} bytes",
        "send less, or raise `max_body_bytes` in [server] of sizewise.toml",
    )


def too_late(limits: ServerSettings) -> SizewiseError:
    return BodyTooSlow(
        f"the body did not arrive within {limits.body_timeout_s:g} s",
        "send it faster, or raise `body_timeout_s` in [server] of sizewise.toml",
    )


def too_slow(limits: ServerSettings) -> SizewiseError:
    return BodyTooSlow(
        f"the body arrives at less than {limits.min_body_bytes_per_s} bytes/s",
        "send it faster, or lower `min_body_bytes_per_s` in [server] of sizewise.toml",
    )


def memory_full(limits: ServerSettings) -> SizewiseError:
    return Busy(
        f"the server holds {limits.max_total_body_bytes} bytes of request bodies, its limit",
        "try again in a moment, or raise `max_total_body_bytes` in [server] of sizewise.toml",
        retry_after=RETRY_AFTER_S,
        status=503,
    )
