"""Prefilter: one cheap scan that tells whether any guard could find something in a text.

Most requests and replies have none. A guard that says which traces whatever it finds leaves is asked where one is.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sizewise.guardrails.base import Finding, Guard

SPACE_BYTE, WORD_BYTE, SIGN_BYTE = tuple(b" w!")
"""What a byte is drawn as: it parts words, it is of one, it is a trace."""


class PrefilterSigns(Struct, frozen=True):
    """Every text in which a guard finds something has one of these."""

    characters: str
    """Characters of ASCII, the two likeliest first: they are looked for before all others."""
    non_ascii: bool = False
    """Any character beyond ASCII."""
    substrings: tuple[str, ...] = ()
    """Texts of ASCII."""
    long_word_bytes: int = 0
    """A word of so many bytes of UTF-8 in which there is a capital, or one of `long_word_substrings`."""
    long_word_substrings: tuple[str, ...] = ()
    """Texts of ASCII."""


class PrefilteredGuard(Struct, frozen=True):
    """A guard that leaves traces."""

    find: Guard
    signs: PrefilterSigns

    def __call__(self, text: str) -> list[Finding]:
        return self.find(text)


class Prefilter:
    """False of a text in which guards with these traces find nothing; True says no more than that they are to be asked.

    Of several texts, each on lines of its own, it says the same as of them one by one.
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
                if word.find(within) >= 0:  # faster than `in`, which asks first whether it is a number
                    return True
            start = drawn.find(run, end)
        return False
