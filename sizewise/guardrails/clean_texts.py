"""Remembers in which long texts the guards of one set of rules found nothing, by hash alone.

Each turn of a conversation brings all turns before it. A text that was clean once need not be scanned again.
"""

from __future__ import annotations

from collections.abc import Iterable

MIN_CHARS = 1024
"""Shorter texts are not remembered: a scan of them costs about as much as the look."""
MAX_TEXTS = 4096


class CleanTexts:
    """Python's own hash, 64 bits under a key that each process draws anew: who does not know the key can make no other
    text with the hash of a clean one.
    """

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def without(self, texts: list[str]) -> list[str]:
        """Those of `texts` that must be scanned."""
        known = self._hashes
        if not known:
            return texts
        return [text for text in texts if len(text) < MIN_CHARS or hash(text) not in known]

    def add(self, texts: Iterable[str]) -> None:
        """Texts in which all guards found nothing. A full memory begins anew."""
        long = {hash(text) for text in texts if len(text) >= MIN_CHARS}
        if len(self._hashes) + len(long) > MAX_TEXTS:
            self._hashes.clear()
        self._hashes |= long
