"""Runs coroutines concurrently and raises their first error itself instead of a group."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


async def run_all(coroutines: list[Coroutine[object, object, None]]) -> None:
    """If one raises or we are cancelled, the others are cancelled and awaited first."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in coroutines:
                group.create_task(work)
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None
