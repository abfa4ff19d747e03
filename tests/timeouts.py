"""Timeouts for tests: a coroutine or a condition that takes more than a minute fails the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
HANG_S = 60.0


def run_with_timeout(work: Awaitable[T]) -> T:
    """For helpers of tests that are not async."""

    async def timed() -> T:
        async with asyncio.timeout(HANG_S):
            return await work

    return asyncio.run(timed())


async def until(true: Callable[[], object]) -> None:
    """Polls. Its twin for tests that are not async is `tests.running_server.until`."""
    deadline = time.monotonic() + HANG_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.001)
