"""Runs the batches of a job, some at once, with progress and resume; knows no work, and not where it runs.

`run` decides where: it awaits requests, or a worker process (cpu_batches.py). A cluster would be another `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from typing import Generic, TypeVar

from msgspec import Struct

InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")


class Batch(Struct, Generic[InputT], frozen=True):
    """`key`: unique within its job; a stored result is found by it."""

    key: str
    input: InputT


async def map_batches(
    batches: AsyncIterator[Batch[InputT]],
    run: Callable[[InputT], Awaitable[ResultT]],
    keep: Callable[[str, ResultT], None] = lambda key, result: None,
    *,
    concurrency: int = 1,
    done: Container[str] = (),
    progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Returns the number of batches that ended. A batch is taken when it can start, so `batches` may end early, as at
    the end of a budget.

    `keep` stores a result; a later call passes the keys of the stored ones as `done`, and these are not run again.
    `progress`: the number that ended so far. If `run` or `keep` raises, no batch starts any more, and the first error
    is raised when those that run have ended and are kept. If the caller is cancelled, so are they.
    """

    async def run_and_keep(batch: Batch[InputT]) -> None:
        keep(batch.key, await run(batch.input))

    running, count, is_open = set[asyncio.Future[None]](), 0, True
    error: BaseException | None = None
    try:
        while running or is_open:
            while is_open and len(running) < concurrency:
                batch = await anext(batches, None)
                if batch is None:
                    is_open = False
                elif batch.key in done:
                    progress(count := count + 1)
                else:
                    running.add(asyncio.ensure_future(run_and_keep(batch)))
            if not running:
                break
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                if failure := task.exception():
                    error, is_open = error or failure, False
                else:
                    progress(count := count + 1)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if error is not None:
        raise error
    return count
