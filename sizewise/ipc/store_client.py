"""A worker's connection to the store process: reconnects by itself; knows what no message means.

While the store process is away nothing waits for it but what needs it: `request` fails at once, `send` is dropped, and
the greeting of the next connection says what the worker holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeVar

from sizewise.errors import ModelUnavailable
from sizewise.ipc.channel import Channel
from sizewise.ipc.messages import TO_WORKER, Hello, ModelFailed, ModelOpened, OpenModel, ToStore, ToWorker

log = logging.getLogger("sizewise.ipc")

T = TypeVar("T")
RETRY_S = 0.05
"""Seconds between two attempts to connect."""


class StoreClient:
    """One per worker. `on(kind, handler)` before `run`."""

    def __init__(self, path: Path, greeting: Callable[[], Hello]) -> None:
        self._path = path
        self._greeting = greeting
        self._channel: Channel[ToWorker] | None = None
        self._handlers: dict[type, Callable[[ToWorker], None]] = {}
        self._on_connect: list[Callable[[], None]] = []
        self._numbers = count(1)
        self._opening: dict[int, asyncio.Future[str]] = {}
        self.is_connected = asyncio.Event()

    def on(self, kind: type[T], handler: Callable[[T], None]) -> None:
        self._handlers[kind] = handler  # type: ignore[assignment]  # called with messages of this kind alone

    def on_connect(self, called: Callable[[], None]) -> None:
        """`called` after each greeting, to say again what the store process must know."""
        self._on_connect.append(called)

    def send(self, message: ToStore) -> None:
        if self._channel is not None:
            self._channel.send(message)

    async def open_model(self, file: Path, runtime: dict[str, int | str]) -> str:
        """The socket of a local model's process, which is started if it does not run. Raises ModelUnavailable."""
        if self._channel is None:
            raise ModelUnavailable(
                "the store process, which runs local models, is being restarted", "Try again.", retry_after=1.0
            )
        number = next(self._numbers)
        self._opening[number] = asyncio.get_running_loop().create_future()
        self.send(OpenModel(number, str(file), runtime))
        try:
            return await self._opening[number]
        finally:
            self._opening.pop(number, None)

    async def run(self) -> None:
        """Connects, and again whenever the connection ends, until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            self._channel = channel = Channel(reader, writer, TO_WORKER)
            channel.send(self._greeting())
            for called in self._on_connect:
                called()
            self.is_connected.set()
            try:
                async for message in channel.messages():
                    self._handle(message)
            finally:
                self._channel = None
                self.is_connected.clear()
                channel.close()
                self._fail_all()

    def _handle(self, message: ToWorker) -> None:
        if isinstance(message, (ModelOpened, ModelFailed)):
            future = self._opening.get(message.number)
            if future is not None and not future.done():
                if isinstance(message, ModelOpened):
                    future.set_result(message.path)
                else:
                    future.set_exception(ModelUnavailable(message.error, message.hint))
            return
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(message)

    def _fail_all(self) -> None:
        for future in self._opening.values():
            if not future.done():
                future.set_exception(ModelUnavailable("the store process has ended", "Try again.", retry_after=1.0))
