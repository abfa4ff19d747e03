"""Tasks side by side: what fails first stops the others, and is raised alone and not in a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as several:
        raise _first(several) from None


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    for each in several.exceptions:
        found = _first(each) if isinstance(each, BaseExceptionGroup) else each
        if not isinstance(found, asyncio.CancelledError):
            return found
    return several
