"""One connection between the store process and a worker: messages in, messages out; knows none of them.

What is sent within one iteration of the event loop leaves as one frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, Protocol, TypeVar

from sizewise.ipc.messages import FRAME_HEADER, MAX_FRAME_BYTES, Message, encode_frame

MessageT = TypeVar("MessageT")


class FrameDecoder(Protocol[MessageT]):
    def decode(self, data: bytes, /) -> list[MessageT]: ...


class Channel(Generic[MessageT]):
    """For one event loop."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: FrameDecoder[MessageT]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._queue: list[Message] = []

    def send(self, message: Message) -> None:
        """Never waits. What is sent after the other side has gone is dropped."""
        if not self._queue:
            asyncio.get_running_loop().call_soon(self.flush)
        self._queue.append(message)

    def flush(self) -> None:
        if self._queue and not self._writer.is_closing():
            self._writer.write(encode_frame(self._queue))
        self._queue = []

    async def messages(self) -> AsyncIterator[MessageT]:
        """Until the other side closes, or sends what is no message."""
        while True:
            try:
                (length,) = FRAME_HEADER.unpack(await self._reader.readexactly(FRAME_HEADER.size))
                if length > MAX_FRAME_BYTES:
                    return
                batch = self._decoder.decode(await self._reader.readexactly(length))
            except (asyncio.IncompleteReadError, OSError, ValueError):  # ValueError: msgspec's errors too
                return
            for message in batch:
                yield message

    def close(self) -> None:
        self.flush()
        self._writer.close()
