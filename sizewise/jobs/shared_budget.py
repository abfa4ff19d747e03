"""Shares of a budget for requests that run at once, so that together they cannot exceed it; knows no money."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class SharedBudget:
    """Each of at most `concurrency` requests holds its share until it ends. `running`: how many hold one.

    A request is refused for what it could cost, which is often a multiple of what it does. So where a share was too
    small, fewer run at once from then on, with a larger one each; in the end one, with all that is left.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._held = 0
        self._ended = asyncio.Event()
        self.running = 0

    async def turn(self) -> None:
        """Until one more may run."""
        while self.running >= self._concurrency:
            await self.wait()

    def take(self, left: int | None) -> int | None:
        """An equal part of what is neither spent nor held; None: no limit. `left`: what is not spent."""
        share = None if left is None else self._part(left)
        self.running += 1
        self._held += share or 0
        return share

    def put_back(self, share: int | None) -> None:
        self.running -= 1
        self._held -= share or 0
        self._ended.set()

    async def spend(
        self,
        share: int | None,
        ask: Callable[[int | None], Awaitable[T]],
        left: Callable[[], int],
        refused: type[Exception],
    ) -> T:
        """Asks within the share, which is put back; again with a larger one where `refused` is raised. Raises `refused`
        if it was all that is left.
        """
        while True:
            try:
                found = await ask(share)
            except refused:
                if share is None:
                    self.put_back(share)
                    raise
                larger = await self._take_larger(share, left)
                if larger is None:
                    raise
                share = larger
            except BaseException:
                self.put_back(share)
                raise
            else:
                self.put_back(share)
                return found

    async def _take_larger(self, share: int, left: Callable[[], int]) -> int | None:
        """Another one for a share that was too small, which is put back; None: it was all that is left. Waits for its
        turn. `left`: what is not spent then.
        """
        self.put_back(share)
        while True:
            while self._concurrency > 1 and left() // self._concurrency <= share:
                self._concurrency //= 2
            if self.running < self._concurrency and self._part(left()) > share:
                return self.take(left())
            if not self.running:
                return None
            await self.wait()

    def _part(self, left: int) -> int:
        return max(0, (left - self._held) // max(1, self._concurrency - self.running))

    async def wait(self) -> None:
        """Until a request ends."""
        self._ended.clear()
        await self._ended.wait()
