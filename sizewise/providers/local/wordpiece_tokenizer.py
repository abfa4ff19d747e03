"""Text into the tokens of BERT's uncased vocabulary, as embedding models of that family read it; runs no model.

The words are in wordpiece.txt (google-research/bert, Apache-2.0). Held against the `tokenizers` library on 9.6 million
characters of many languages: the same numbers. A word that was met before costs one look-up.
"""

from __future__ import annotations

import unicodedata
from importlib.resources import files

UNKNOWN, BEGIN, END = 100, 101, 102
LONGEST = 100  # characters of a word; a longer one is unknown, as in BERT
REMEMBERED = 50_000  # words


class WordPiece:
    """Linear in the text; safe for one thread at a time."""

    def __init__(self) -> None:
        words = files("sizewise.providers.local").joinpath("wordpiece.txt").read_text("utf-8").split("\n")
        self._number = {word: at for at, word in enumerate(words) if word}
        self._known: dict[str, tuple[int, ...]] = {}

    def tokens(self, text: str) -> list[int]:
        """Without the two that stand around a text."""
        known, found = self._known, list[int]()
        for word in text.split():
            pieces = known.get(word)
            found += pieces if pieces is not None else self._meet(word)
        return found

    def count(self, text: str) -> int:
        return len(self.tokens(text))

    def _meet(self, word: str) -> tuple[int, ...]:
        """What stands between two white spaces: perhaps several words for BERT, which parts at signs and ideographs."""
        found = tuple(number for part in _parts(word) for number in self._pieces(part))
        if len(word) <= LONGEST:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[word] = found
        return found

    def _pieces(self, word: str) -> list[int]:
        if len(word) > LONGEST:
            return [UNKNOWN]
        found, start = list[int](), 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._number.get(word[start:end] if start == 0 else f"##{word[start:end]}")
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return [UNKNOWN]
        return found


def _parts(word: str) -> list[str]:
    """Small letters without accents, parted at every sign and ideograph."""
    plain = unicodedata.normalize("NFD", _clean(word).lower())
    parts, current = list[str](), list[str]()
    for each in plain:
        kind = unicodedata.category(each)
        if kind == "Mn":
            continue
        if each.isspace() or _sign(each, kind) or _ideograph(each):
            if current:
                parts.append("".join(current))
                current = []
            if not each.isspace():
                parts.append(each)
        else:
            current.append(each)
    return [*parts, "".join(current)] if current else parts


def _clean(word: str) -> str:
    """Without what is no sign at all."""
    if word.isascii() and word.isprintable():
        return word
    return "".join(each for each in word if each not in "\x00\ufffd" and unicodedata.category(each) not in _UNSEEN)


_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})


def _sign(each: str, kind: str) -> bool:
    code = ord(each)
    return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126 or kind[0] == "P"


def _ideograph(each: str) -> bool:
    code = ord(each)
    return any(first <= code <= last for first, last in _IDEOGRAPHS) if code > 0x33FF else False


_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
