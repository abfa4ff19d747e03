"""Shares of a budget for requests that run at once, so that together they cannot exceed it; knows no money."""

from __future__ import annotations

import asyncio


class SharedBudget:
    """Each of at most `concurrency` requests holds its share until it ends. `running`: how many hold one."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._held = 0
        self._ended = asyncio.Event()
        self.running = 0

    def take(self, left: int | None) -> int | None:
        """An equal part of what is neither spent nor held; None: no limit. `left`: what is not spent."""
        share = None if left is None else max(0, (left - self._held) // (self._concurrency - self.running))
        self.running += 1
        self._held += share or 0
        return share

    def put_back(self, share: int | None) -> None:
        self.running -= 1
        self._held -= share or 0
        self._ended.set()

    async def wait(self) -> None:
        """Until a request ends."""
        self._ended.clear()
        await self._ended.wait()
