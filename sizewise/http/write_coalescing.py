"""What is written in one turn of the event loop leaves behind all other work of that turn; knows no protocol.

A peer that sleeps is woken by the first write and finds the rest when it comes. Written one by one, between the work,
each woke it again: a third of all that a request cost a saturated server (bench/gateway).
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Pushing(Protocol):
    """Whoever holds bytes back. `push` writes them; it is called once for each time that the cork was given them."""

    def push(self) -> None: ...


class Cork:
    """One for those who write in one event loop; each pushes in the order in which it came."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[Pushing] = []

    def __call__(self, holder: Pushing) -> None:
        if not self._held:
            asyncio.get_running_loop().call_soon(self.flush)
        self._held.append(holder)

    def flush(self) -> None:
        """At once, for who must write or close right now and not before the others."""
        held, self._held = self._held, []
        for holder in held:
            holder.push()
