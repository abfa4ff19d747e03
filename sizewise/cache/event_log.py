"""Event log of a response: events in order, waited for by any number of followers; does not read them."""

from __future__ import annotations

import asyncio
import zlib

from sizewise.errors import UpstreamProtocolError

MAX_LOG_BYTES = 16 * 1024 * 1024
"""Bytes of events kept of one response."""
EVENT_END = b"\n\n"


class EventLog:
    """An event's place is its number. Comments are dropped."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.is_closed = False
        self._size = 0
        self._changed = asyncio.Event()

    def append(self, data: bytes) -> None:
        """`data`: complete events. Raises UpstreamProtocolError for a response too large to keep."""
        if not data:
            return
        self._size += len(data)
        if self._size > MAX_LOG_BYTES:
            raise UpstreamProtocolError(
                f"the answer is too large for a background response (more than {MAX_LOG_BYTES} bytes of events)"
            )
        self.events += split_events(data)
        self._wake()

    def close(self) -> None:
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()

    async def wait_beyond(self, position: int) -> bool:
        """Waits for more than `position` events; False if the log is closed without more."""
        while len(self.events) <= position and not self.is_closed:
            await self._changed.wait()
        return len(self.events) > position

    async def wait_closed(self) -> None:
        while not self.is_closed:
            await self._changed.wait()


def split_events(data: bytes) -> list[bytes]:
    return [each + EVENT_END for each in data.split(EVENT_END)[:-1] if not each.startswith(b":")]


def compress_events(events: list[bytes], last: bytes) -> bytes:
    return zlib.compress(b"".join(events) + last, 1)


def decompress_events(data: bytes) -> list[bytes]:
    return split_events(zlib.decompress(data))
