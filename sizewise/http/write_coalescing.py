"""Coalesces the socket writes of one event loop iteration; knows no protocol.

A peer that sleeps is woken by the first write and finds the rest when it comes. Written one by one, between the work,
each woke it again: a third of all that a request cost a saturated server (bench/gateway).
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class BufferedWriter(Protocol):
    """Whoever holds bytes back. `push` writes them; it is called once for each time that the cork was given them."""

    def push(self) -> None: ...


class WriteCoalescer:
    """One for those who write in one event loop; each pushes in the order in which it came."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: list[BufferedWriter] = []

    def __call__(self, writer: BufferedWriter) -> None:
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(writer)

    def flush(self) -> None:
        """At once, for who must write or close right now and not before the others."""
        held, self._pending = self._pending, []
        for holder in held:
            holder.push()
