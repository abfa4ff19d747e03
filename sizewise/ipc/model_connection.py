"""A connection to the process of a local model that the store process runs; knows no frame."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sizewise.errors import ModelUnavailable


class SharedModelProcess:
    """Closing it cancels this process's requests; the model goes on."""

    pid = 0  # of another process's child
    tail: tuple[str, ...] = ()
    resident_bytes: int | None = None

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def wait(self) -> str:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()
        return "closed the connection"

    def kill(self) -> None:
        self.writer.transport.abort()


async def connect_to_model(path: str) -> SharedModelProcess:
    """Raises ModelUnavailable."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        raise ModelUnavailable("the process of the model is being restarted", "Try again.", retry_after=1.0) from error
    return SharedModelProcess(reader, writer)
