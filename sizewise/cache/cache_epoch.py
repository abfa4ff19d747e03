"""The epoch of the caches of a process: whoever advances it empties them."""

from __future__ import annotations

from collections.abc import Callable


class CacheEpoch:
    """Entries of an earlier epoch are gone. Entries do not say whose they are."""

    def __init__(self) -> None:
        self.number = 0
        self.on_advance: Callable[[], None] | None = None  # has the other processes of the server empty theirs

    def advance(self) -> None:
        self.number += 1
        if self.on_advance is not None:
            self.on_advance()
