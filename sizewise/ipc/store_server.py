"""The store process's side of the protocol: one connection a worker, questions to all of them, and the slot ledger."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from itertools import count

from sizewise.errors import ModelUnavailable, SizewiseError
from sizewise.ipc.channel import Channel
from sizewise.ipc.messages import (
    TO_STORE,
    Answered,
    Hello,
    ModelFailed,
    ModelOpened,
    OpenModel,
    ReturnSlots,
    ToStore,
    ToWorker,
    WantSlots,
)
from sizewise.ipc.slot_ledger import SlotLedger, SlotMessage

log = logging.getLogger("sizewise.ipc")

GRACE_S = 1.0
"""Seconds after which slots are granted though not every worker has reported what it holds."""
OWN = 0
"""The number of the store process itself."""
OpenLocalModel = Callable[[str, Mapping[str, int | str]], Awaitable[str]]
"""File and runtime of a local model -> the socket of its process. Raises SizewiseError."""


async def no_models(file: str, runtime: Mapping[str, int | str]) -> str:
    raise ModelUnavailable("this process runs no local models", "Report it.")


def ignore_join(hello: Hello) -> None:
    pass


class _Link:
    """The connection of one worker. `answers`: of questions, by number."""

    def __init__(self, hello: Hello, channel: Channel[ToStore]) -> None:
        self.worker = hello.worker
        self.channel = channel
        self.answers: dict[int, asyncio.Future[Answered]] = {}


class StoreServer:
    """One per store process. Set `open_model`, which runs local models, and `on_join` before `serve`."""

    def __init__(self, listening: socket.socket, worker_count: int) -> None:
        self._listening = listening
        self._worker_count = worker_count
        self._links: dict[int, _Link] = {}
        self._numbers = count(1)
        self._ledger = SlotLedger()
        self._is_ledger_open = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._handle_own: Callable[[ToWorker], None] | None = None
        self.open_model: OpenLocalModel = no_models
        self.on_join: Callable[[Hello], None] = ignore_join

    def take_own_slots(self, handler: Callable[[ToWorker], None]) -> Callable[[ToStore], None]:
        """For the requests that this process answers: where to send messages of slots; `handler` receives the others'
        side.
        """
        self._handle_own = handler
        return self._handle_own_slots

    def _handle_own_slots(self, message: ToStore) -> None:
        if isinstance(message, WantSlots):
            self._tell_slots(self._ledger.want(OWN, message.name, message.total, message.waiting))
        elif isinstance(message, ReturnSlots):
            self._tell_slots(self._ledger.give_back(OWN, message.name, message.count))

    async def serve(self) -> None:
        """Until cancelled. The listening socket stays as it is, for the next store process."""
        loop = asyncio.get_running_loop()
        loop.call_later(GRACE_S, self._open_ledger)
        try:
            while True:
                connection, _ = await loop.sock_accept(self._listening)
                self._start(self._accept(*await asyncio.open_unix_connection(sock=connection)))
        finally:
            for task in self._tasks:
                task.cancel()

    def _start(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def tell(self, message: ToWorker, workers: Iterable[int] | None = None) -> None:
        """Sends `message` to these workers, or to all."""
        for link in self._links.values():
            if workers is None or link.worker in workers:
                link.channel.send(message)

    async def ask(
        self, build: Callable[[int], ToWorker], timeout_s: float, workers: Iterable[int] | None = None
    ) -> dict[int, Answered]:
        """The answers of all workers by their number; one that is gone or too slow has none. `build` makes the question
        of its number.
        """
        number, asked = next(self._numbers), dict[int, asyncio.Future[Answered]]()
        for link in self._links.values():
            if workers is None or link.worker in workers:
                asked[link.worker] = link.answers[number] = asyncio.get_running_loop().create_future()
                link.channel.send(build(number))
        if asked:
            await asyncio.wait(asked.values(), timeout=timeout_s)
        for link in self._links.values():
            link.answers.pop(number, None)
        return {worker: future.result() for worker, future in asked.items() if future.done() and not future.cancelled()}

    @property
    def workers(self) -> frozenset[int]:
        return frozenset(self._links)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link: _Link | None = None
        channel = Channel(reader, writer, TO_STORE)
        try:
            async for message in channel.messages():
                if isinstance(message, Hello):
                    link = self._links[message.worker] = _Link(message, channel)
                    self._join(message)
                elif link is not None:
                    self._handle(link, message)
        finally:
            channel.close()
            if link is not None and self._links.get(link.worker) is link:
                del self._links[link.worker]
                self._tell_slots(self._ledger.leave(link.worker))
            for future in link.answers.values() if link is not None else ():
                future.cancel()

    def _join(self, hello: Hello) -> None:
        self._ledger.join(hello.worker, hello.slots)
        if len(self._links) >= self._worker_count:
            self._open_ledger()
        self.on_join(hello)

    def _open_ledger(self) -> None:
        if not self._is_ledger_open:
            self._is_ledger_open = True
            self._tell_slots(self._ledger.open())

    def _handle(self, link: _Link, message: ToStore) -> None:
        if isinstance(message, WantSlots):
            self._tell_slots(self._ledger.want(link.worker, message.name, message.total, message.waiting))
        elif isinstance(message, ReturnSlots):
            self._tell_slots(self._ledger.give_back(link.worker, message.name, message.count))
        elif isinstance(message, OpenModel):
            self._start(self._open(link, message))
        elif isinstance(message, Answered):
            future = link.answers.get(message.number)
            if future is not None and not future.done():
                future.set_result(message)

    async def _open(self, link: _Link, asked: OpenModel) -> None:
        try:
            path = await self.open_model(asked.file, asked.runtime)
        except SizewiseError as error:
            link.channel.send(ModelFailed(asked.number, error.message, error.hint))
        else:
            link.channel.send(ModelOpened(asked.number, path))

    def _tell_slots(self, messages: Iterable[SlotMessage]) -> None:
        for worker, message in messages:
            if worker == OWN and self._handle_own is not None:
                asyncio.get_running_loop().call_soon(self._handle_own, message)
            elif worker in self._links:
                self._links[worker].channel.send(message)
