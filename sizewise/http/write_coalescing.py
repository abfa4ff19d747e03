"""Coalesces the socket writes of one event loop iteration; knows no protocol.

The first write wakes a sleeping peer, which then finds the rest. Written one by one, each write woke it again: a third
of the cost of a request on a saturated server (bench/gateway).
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class BufferedWriter(Protocol):
    """Holds bytes back until `push` writes them; `push` is called once for each call of the coalescer."""

    def push(self) -> None: ...


class WriteCoalescer:
    """Shared by the writers of one event loop; pushes in the order of the calls."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: list[BufferedWriter] = []

    def __call__(self, writer: BufferedWriter) -> None:
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(writer)

    def flush(self) -> None:
        """Pushes now, for a writer that must write or close at once and keep the order."""
        held, self._pending = self._pending, []
        for holder in held:
            holder.push()
