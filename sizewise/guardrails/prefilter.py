"""Prefilter: one cheap scan that reports whether any guard could find something in a text.

Most texts have no findings. A guard that declares the signs of its findings runs only on texts with such a sign.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sizewise.guardrails.base import Finding, Guard

SPACE_BYTE, WORD_BYTE, SIGN_BYTE = tuple(b" w!")
"""Classes of a byte: whitespace, part of a word, sign."""


class PrefilterSigns(Struct, frozen=True):
    """Every text with a finding has at least one of these."""

    characters: str
    """ASCII characters, the two most frequent first: they are searched before all others."""
    non_ascii: bool = False
    """Any non-ASCII character is a sign."""
    substrings: tuple[str, ...] = ()
    """ASCII only."""
    long_word_bytes: int = 0
    """A word of at least this many UTF-8 bytes with a capital or one of `long_word_substrings` is a sign. 0: none."""
    long_word_substrings: tuple[str, ...] = ()
    """ASCII only."""


class PrefilteredGuard(Struct, frozen=True):
    """A guard whose findings have signs."""

    find: Guard
    signs: PrefilterSigns

    def __call__(self, text: str) -> list[Finding]:
        return self.find(text)


class Prefilter:
    """Returns False for a text in which guards with these signs find nothing, and True if they must run.

    Texts can be joined by newlines and checked at once.
    """

    __slots__ = ("_drawing", "_foreign", "_likely", "_pieces", "_run", "_within")

    def __init__(self, sign_sets: Iterable[PrefilterSigns]) -> None:
        every = tuple(sign_sets)
        signs = {ord(sign) for each in every for sign in each.characters}
        self._likely = tuple(dict.fromkeys(sign for each in every for sign in each.characters[:2]))
        self._foreign = any(each.non_ascii for each in every)
        self._pieces = tuple(piece for each in every for piece in each.substrings)
        self._run = bytes([WORD_BYTE]) * min(
            (each.long_word_bytes for each in every if each.long_word_bytes),
            default=0,
        )
        self._within = tuple(piece.encode() for each in every for piece in each.long_word_substrings)
        self._drawing = bytes(
            SIGN_BYTE if byte in signs else SPACE_BYTE if byte < 128 and chr(byte).isspace() else WORD_BYTE
            for byte in range(256)
        )

    def __call__(self, text: str) -> bool:
        if self._foreign and not text.isascii():
            return True
        for sign in self._likely:
            if sign in text:
                return True
        for piece in self._pieces:
            if piece in text:
                return True
        said = text.encode("utf-8", "replace")
        drawn = said.translate(self._drawing)
        if SIGN_BYTE in drawn:
            return True
        run = self._run
        if not run:
            return False
        start = drawn.find(run)
        while start >= 0:
            end = drawn.find(SPACE_BYTE, start)
            if end < 0:
                end = len(said)
            word = said[start:end]
            if not word.islower():
                return True
            for within in self._within:
                if word.find(within) >= 0:  # faster than `in`, which first checks for an integer
                    return True
            start = drawn.find(run, end)
        return False
