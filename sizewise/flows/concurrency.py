"""Task group that cancels the other tasks on the first error and raises that error instead of a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as several:
        raise _first_error(several) from None


def _first_error(several: BaseExceptionGroup[BaseException]) -> BaseException:
    for each in several.exceptions:
        found = _first_error(each) if isinstance(each, BaseExceptionGroup) else each
        if not isinstance(found, asyncio.CancelledError):
            return found
    return several
