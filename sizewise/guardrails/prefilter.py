"""Whether a text has a trace of what guards look for, told by one look for all of them; finds nothing itself.

Most requests and replies have none. A guard that says which traces whatever it finds leaves is asked where one is.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sizewise.guardrails.base import Finding, Guard

BLANK, WORD, SIGN = tuple(b" w!")
"""What a byte is drawn as: it parts words, it is of one, it is a trace."""


class Traces(Struct, frozen=True):
    """Every text in which a guard finds something has one of these."""

    signs: str
    """Characters of ASCII, the two likeliest first: they are looked for before all others."""
    foreign: bool = False
    """Any character beyond ASCII."""
    pieces: tuple[str, ...] = ()
    """Texts of ASCII."""
    long: int = 0
    """A word of so many bytes of UTF-8 in which there is a capital, or one of `within`."""
    within: tuple[str, ...] = ()
    """Texts of ASCII."""


class Traced(Struct, frozen=True):
    """A guard that leaves traces."""

    find: Guard
    traces: Traces

    def __call__(self, text: str) -> list[Finding]:
        return self.find(text)


class FirstLook:
    """False of a text in which guards with these traces find nothing; True says no more than that they are to be asked.

    Of several texts, each on lines of its own, it says the same as of them one by one.
    """

    __slots__ = ("_drawing", "_foreign", "_likely", "_pieces", "_run", "_within")

    def __init__(self, traces: Iterable[Traces]) -> None:
        every = tuple(traces)
        signs = {ord(sign) for each in every for sign in each.signs}
        self._likely = tuple(dict.fromkeys(sign for each in every for sign in each.signs[:2]))
        self._foreign = any(each.foreign for each in every)
        self._pieces = tuple(piece for each in every for piece in each.pieces)
        self._run = bytes([WORD]) * min((each.long for each in every if each.long), default=0)
        self._within = tuple(piece.encode() for each in every for piece in each.within)
        self._drawing = bytes(
            SIGN if byte in signs else BLANK if byte < 128 and chr(byte).isspace() else WORD for byte in range(256)
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
        if SIGN in drawn:
            return True
        run = self._run
        if not run:
            return False
        start = drawn.find(run)
        while start >= 0:
            end = drawn.find(BLANK, start)
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
