"""Turns work that reports events through a callback into an async iterator; closing it cancels the work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

from msgspec import Struct

E = TypeVar("E")
T = TypeVar("T")

QUEUE_SIZE = 16
"""Buffered events; a full queue blocks the work, and with it the model."""


class StreamResult(Struct, Generic[T], frozen=True):
    """The last event: the result of the work."""

    result: T


async def iterate_events(
    work: Callable[[Callable[[E], Awaitable[None]]], Awaitable[T]],
) -> AsyncGenerator[E | StreamResult[T], None]:
    """`work` is called with the function that takes its events. Its exception is raised here, after those events."""
    told: deque[E] = deque()
    room, some = asyncio.Event(), asyncio.Event()

    async def tell(event: E) -> None:
        while len(told) >= QUEUE_SIZE:
            room.clear()
            await room.wait()
        told.append(event)
        some.set()

    task = asyncio.ensure_future(work(tell))
    task.add_done_callback(lambda _: some.set())
    try:
        while True:
            while told:
                yield told.popleft()
                room.set()
            if task.done():
                break
            some.clear()
            await some.wait()
        yield StreamResult(task.result())
    finally:
        task.cancel()
        await asyncio.wait({task})
        del task  # its exception's traceback would keep this frame alive
